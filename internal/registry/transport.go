package registry

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
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

// sendToOtherHost sends a request that a redirect or a Location header led to another host: without credentials and cookies,
// never to an address inside the machine's or the cloud's own network, never from TLS to plain text. ECR redirects blob reads
// to S3, with the permission in the URL.
func (s *session) sendToOtherHost(request *http.Request) (*http.Response, error) {
	request.Header.Del("Authorization")
	request.Header.Del("Cookie")
	if err := s.checkTarget(request.URL); err != nil {
		return nil, err
	}
	return s.next.RoundTrip(request)
}

// checkTarget refuses to leave the registry for a plain-text or an inner address.
func (s *session) checkTarget(target *url.URL) error {
	if target.Scheme != "https" && s.scheme == "https" {
		return &blockedError{from: s.registry.RegistryStr(), to: target.Host, why: "without TLS"}
	}
	// A name may resolve to a private address, as S3's name does inside a VPC; the dialer refuses only link-local addresses.
	onMachine := isLoopback(target.Host) && isLoopback(s.registry.RegistryStr())
	if httpx.IsPrivateHost(target.Hostname()) && !onMachine {
		return &blockedError{from: s.registry.RegistryStr(), to: target.Host, why: "inside a private network"}
	}
	return nil
}

// checkRedirect refuses a redirect before a connection is made, and a fourth one in a row.
func (s *session) checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("redirected more than three times")
	}
	if s.isRegistry(request.URL) {
		return nil
	}
	return s.checkTarget(request.URL)
}

// isRegistry reports whether an address is at the session's registry. A default port that is written out, and the case of
// letters, make no other host. Source: RFC 3986, sections 3.2.2 and 3.2.3.
func (s *session) isRegistry(target *url.URL) bool {
	return hostPort(target.Host, s.scheme) == hostPort(s.registry.RegistryStr(), s.scheme)
}

// hostPort returns a host with its port, that of the scheme if it names none.
func hostPort(host, scheme string) string {
	host = strings.ToLower(host)
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
		return host
	}
	port := "443"
	if scheme == "http" {
		port = "80"
	}
	return net.JoinHostPort(strings.Trim(strings.TrimSuffix(host, ":"), "[]"), port)
}

// schemeOf returns "http" for a registry on this machine or in the options, and "https" for every other.
func (c *Client) schemeOf(address string) string {
	if isLoopback(address) || slices.Contains(c.options.PlainHTTP, address) {
		return "http"
	}
	return "https"
}

// isLoopback reports whether a host, with or without a port, is this machine.
func isLoopback(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
