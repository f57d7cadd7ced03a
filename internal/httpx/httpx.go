// Package httpx is what the HTTP adapters share: bodies of bounded size, requests that can be sent again, and retries.
package httpx
