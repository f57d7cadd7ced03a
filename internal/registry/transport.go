package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sethvargo/go-retry"
)

// How long a request is tried. ECR's slowest limit is 10 a second (PutImage), so a minute of patience outlasts any
// burst of this program's own making.
const (
	maxThrottled   = 10              // times that a registry may ask to slow down
	maxUnavailable = 4               // times that it may fail or not answer
	maxWait        = 2 * time.Minute // in all, and the longest Retry-After that is honoured
	firstWait      = 250 * time.Millisecond
	longestStep    = 20 * time.Second
)

// defaultTransport limits the time of each stage; the body's is the context's affair.
func defaultTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second, ControlContext: refuseLinkLocal}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   2 * jobs,
	}
}

// refuseLinkLocal keeps every name, whatever it resolves to, away from the cloud's metadata service
// (169.254.169.254, fd00:ec2::254), where no registry is.
func refuseLinkLocal(_ context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	ip := target.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip == netip.MustParseAddr("fd00:ec2::254") {
		return &strayError{to: ip.String(), why: "inside a private network"}
	}
	return nil
}

// patient waits and tries again where that may help and cannot do harm.
//
// A registry that asks to slow down (429, or ECR's HTTP 400 ThrottlingException) did nothing, so any request whose body
// can be sent again is. One that failed or did not answer may have done it: only requests that may be repeated are; a
// blob's upload starts over above, and a manifest is re-read first.
type patient struct {
	next http.RoundTripper
	log  func(string)
}

func (p *patient) RoundTrip(request *http.Request) (*http.Response, error) {
	attempt := &attempts{request: request, log: p.log}
	response, err := retry.DoValue(request.Context(), attempt, func(context.Context) (*http.Response, error) {
		return attempt.once(p.next)
	})
	var answered *answeredError
	if errors.As(err, &answered) {
		return answered.response, nil
	}
	return response, err
}

// attempts is the course of one request. It is go-retry's backoff as well, for only it knows what the last answer
// asked for.
type attempts struct {
	request *http.Request
	log     func(string)

	made        int
	throttled   int
	unavailable int
	waited      time.Duration
	asked       time.Duration // by Retry-After; 0: nothing
	why         string
}

// answeredError carries an answer that is worth another attempt through go-retry.
type answeredError struct{ response *http.Response }

func (e *answeredError) Error() string { return e.response.Status }

func (a *attempts) once(next http.RoundTripper) (*http.Response, error) {
	request := a.request
	if a.made > 0 {
		again, ok := replay(a.request)
		if !ok {
			return nil, errors.New("sending the body again: it cannot be read twice")
		}
		request = again
	}
	a.made++
	response, err := next.RoundTrip(request)
	replayable := replayableBody(a.request)
	switch {
	case err != nil:
		if replayable && repeatable(a.request) && passing(err) {
			a.unavailable++
			a.asked, a.why = 0, "no answer"
			return nil, retry.RetryableError(err)
		}
		return nil, err
	case slowDown(response):
		if replayable {
			a.throttled++
			a.asked, a.why = retryAfter(response), "the registry asks to slow down"
			return nil, a.again(response)
		}
	case unavailable(response.StatusCode):
		if replayable && repeatable(a.request) {
			a.unavailable++
			a.asked, a.why = retryAfter(response), response.Status
			return nil, a.again(response)
		}
	}
	return response, nil
}

// again keeps the answer's beginning for the case that it stays the last one, and frees its connection.
func (a *attempts) again(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(text))
	return retry.RetryableError(&answeredError{response})
}

// Next says how long to wait: what the registry asked for, else twice as long each time.
func (a *attempts) Next() (time.Duration, bool) {
	if a.throttled > maxThrottled || a.unavailable > maxUnavailable {
		return 0, true
	}
	wait := a.asked
	if wait <= 0 {
		wait, _ = retry.WithJitterPercent(20, retry.BackoffFunc(func() (time.Duration, bool) {
			return min(firstWait<<(a.made-1), longestStep), false
		})).Next()
	}
	if a.waited += wait; a.waited > maxWait {
		return 0, true
	}
	a.log(fmt.Sprintf("%s %s: %s, trying again in %s", a.request.Method, a.request.URL.Host, safe(a.why), wait.Round(time.Millisecond)))
	return wait, false
}

func replayableBody(request *http.Request) bool {
	return request.Body == nil || request.Body == http.NoBody || request.GetBody != nil
}

// repeatable requests leave things as they are when they are made twice: reads, and the opening of an upload, which at
// worst leaves an empty one for the registry to expire.
func repeatable(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPost:
		return request.Body == nil || request.Body == http.NoBody
	}
	return false
}

// passing faults may be gone at the next attempt: not a name that does not exist, a certificate that is not trusted, or
// an address that is refused.
func passing(err error) bool {
	var (
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		header      tls.RecordHeaderError
		stray       *strayError
		mismatch    *mismatchError
	)
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &certificate), errors.As(err, &header), errors.As(err, &stray),
		errors.As(err, &mismatch):
		return false
	case errors.As(err, &name):
		return !name.IsNotFound
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "server closed") || strings.Contains(err.Error(), "http2: ")
}

func unavailable(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// slowDown tells whether a registry throttles: by 429 (OCI distribution-spec, TOOMANYREQUESTS), or as AWS APIs do, by
// 400 with ThrottlingException in the body (AWS, "Error retries and exponential backoff").
func slowDown(response *http.Response) bool {
	if response.StatusCode == http.StatusTooManyRequests {
		return true
	}
	if response.StatusCode != http.StatusBadRequest {
		return false
	}
	text := peek(response)
	return bytes.Contains(text, []byte("ThrottlingException")) || bytes.Contains(text, []byte("TOOMANYREQUESTS")) ||
		bytes.Contains(text, []byte("Rate exceeded"))
}

// retryAfter reads the header's two forms, seconds and a date. Source: RFC 9110, section 10.2.3.
func retryAfter(response *http.Response) time.Duration {
	value := response.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}
