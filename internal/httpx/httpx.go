// Package httpx is what the adapters that speak HTTP share: bodies of bounded size, requests that can be sent again, and
// one policy of retrying.
package httpx
