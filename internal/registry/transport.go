package registry

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
)

// defaultTransport limits the time of each stage; the context limits that of the body.
func defaultTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second, ControlContext: refuseForbidden}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   2 * maxParallelBlobs,
	}
}

// refuseForbidden refuses connections to addresses that are never a registry's, such as a cloud's metadata service, whatever name
// resolved to them.
func refuseForbidden(_ context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return &blockedError{to: address, why: "its address cannot be read"}
	}
	if why := httpx.WhyForbidden(target.Addr()); why != "" {
		return &blockedError{to: target.Addr().String(), why: why}
	}
	return nil
}

// isTransient reports whether the next attempt may succeed. A host that must not be reached, and bytes that do not have their
// digest, are permanent errors.
func isTransient(err error) bool {
	var (
		blocked  *blockedError
		mismatch *mismatchError
	)
	return !errors.As(err, &blocked) && !errors.As(err, &mismatch) && httpx.IsTransient(err)
}

// asksToSlowDown reports whether a response that is not 429 throttles, as AWS APIs do: HTTP 400 with ThrottlingException in
// the body. Source: AWS, "Error retries and exponential backoff".
func asksToSlowDown(response *http.Response) bool {
	if response.StatusCode != http.StatusBadRequest {
		return false
	}
	start := httpx.Peek(response, maxErrorBody)
	return bytes.Contains(start, []byte("ThrottlingException")) || bytes.Contains(start, []byte("TOOMANYREQUESTS")) ||
		bytes.Contains(start, []byte("Rate exceeded"))
}
