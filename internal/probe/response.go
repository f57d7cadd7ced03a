package probe

import (
	"compress/gzip"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// response is what a server sent.
type response struct {
	status    int
	header    http.Header
	body      []byte
	truncated bool // the body is longer than the limit
	latency   time.Duration
	asked     *url.URL // what the check requests
	at        *url.URL // what this is the response to, after redirects
	cookies   []*http.Cookie
	peer      []*x509.Certificate // the certificates of the server; none without TLS
	gateway   bool                // the request went to a pod without TLS, behind a gateway with TLS
	now       time.Time
}

// newResponse takes what a response says besides its body; nil if there is none.
func (p *Prober) newResponse(reply *http.Response, to Target) response {
	if reply == nil {
		return response{}
	}
	got := response{status: reply.StatusCode, header: reply.Header, cookies: reply.Cookies(), now: time.Now()}
	if reply.Request != nil {
		got.at = reply.Request.URL
	}
	if reply.TLS != nil {
		got.peer = reply.TLS.PeerCertificates
	}
	got.gateway = to.Dial != nil && to.Proto == "https" && reply.TLS == nil
	return got
}

// isWithoutTarget reports whether an Application Load Balancer answered itself, since its target group has no target that it may
// send requests to: one that is registered is still being checked, or none is registered yet. A response of the service has the
// service's own Server header, or none.
// Source: Elastic Load Balancing, Application Load Balancers, "HTTP 503: Service unavailable".
func (r response) isWithoutTarget() bool {
	return r.status == http.StatusServiceUnavailable && strings.HasPrefix(r.header.Get("Server"), "awselb/")
}

// withoutTarget describes a response that isWithoutTarget.
func (r response) withoutTarget() string {
	return "HTTP 503 of the load balancer itself (" + excerpt(r.header.Get("Server")) + "): it has no target yet"
}

// encodingError says that a body is not in the encoding its header names.
type encodingError struct{ got string }

func (e *encodingError) Error() string { return "body: expected no encoding or gzip, got " + e.got }

// readBody reads at most limit bytes of a body, counted before and after decompression, so that neither an endless nor a
// highly compressed body costs more. A longer body is truncated, not refused: checks may find what they expect at its start.
func readBody(reply *http.Response, limit int64) (body []byte, truncated bool, err error) {
	compressed := &io.LimitedReader{R: reply.Body, N: limit + 1}
	var source io.Reader = compressed
	switch encoding := strings.ToLower(reply.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		decompressed, err := gzip.NewReader(compressed)
		if errors.Is(err, io.EOF) { // no body at all, as after HEAD
			return nil, false, nil
		}
		if err != nil {
			return nil, false, &encodingError{got: fmt.Sprintf("gzip that cannot be read: %v", err)}
		}
		source = decompressed
	default:
		return nil, false, &encodingError{got: quote(encoding)}
	}
	body, err = io.ReadAll(io.LimitReader(source, limit+1))
	truncated = int64(len(body)) > limit || compressed.N == 0
	body = body[:min(int64(len(body)), limit)]
	switch {
	case truncated:
		return body, true, nil
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return body, false, &encodingError{got: fmt.Sprintf("gzip that cannot be read: %v", err)}
	}
	return body, false, err
}

// excerpt is the start of the body in quotes.
func (r response) excerpt() string {
	text := quote(string(r.body[:min(len(r.body), 4*maxExcerpt)]))
	if r.truncated {
		text += fmt.Sprintf(" (the first %d bytes of a longer body)", len(r.body))
	}
	return text
}
