// Package httpx has the code that the HTTP adapters share: bodies of bounded size, requests that can be sent again, and retries.
package httpx
