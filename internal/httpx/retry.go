package httpx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/onedigest/onedigest/internal/text"
)

// Limits of a RetryTransport.
const (
	MaxThrottled   = 10              // retries after "slow down"
	MaxUnavailable = 4               // retries after a failure or no answer
	MaxWait        = 2 * time.Minute // in all; also the longest Retry-After that is waited for
	firstWait      = 250 * time.Millisecond
	longestWait    = 20 * time.Second // between two attempts, without Retry-After
	jitterPercent  = 20
	maxKept        = 64 << 10 // bytes kept of a refused attempt's body
)

// Backoff waits 250 ms, 500 ms, 1 s … between attempts, and ends after the given number of retries. It is for an operation of
// several requests; RetryTransport retries single requests.
func Backoff(retries uint64) retry.Backoff {
	return retry.WithMaxRetries(retries, retry.NewExponential(firstWait))
}

// RetryTransport retries a request if a retry can help and can do no harm.
//
// A 429 means that the server did nothing, so any request whose body can be read again is retried. After 500, 502, 503, 504 or no
// answer the server may have done its work: only GET, HEAD and POST without a body are retried. The wait is that of Retry-After;
// without it, the wait doubles each time. When attempts or time are used up, the last response is returned, with the first 64 KiB of its
// body.
type RetryTransport struct {
	Next http.RoundTripper
	// Throttled reports whether a response other than 429 also means "slow down"; nil: none does. It may call Peek.
	Throttled func(*http.Response) bool
	// Transient reports whether an error may not occur at the next attempt; nil: IsTransient.
	Transient func(error) bool
	// Log gets one line for each wait; nil: nothing is logged.
	Log func(line string)
}

// RoundTrip implements http.RoundTripper.
func (t *RetryTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	course := &attempts{policy: t, request: request}
	response, err := retry.DoValue(request.Context(), course, func(context.Context) (*http.Response, error) {
		return course.send()
	})
	var last *responseError
	if errors.As(err, &last) {
		return last.response, nil
	}
	return response, err
}

// attempts sends one request until it succeeds or may not be retried. It is also go-retry's Backoff for the request, because the
// wait depends on the last response.
type attempts struct {
	policy  *RetryTransport
	request *http.Request

	sent        int
	throttled   int
	unavailable int
	waited      time.Duration
	retryAfter  time.Duration // of the last response; 0: none
	reason      string
}

// responseError passes a response that is worth a retry through go-retry, which retries errors only.
type responseError struct{ response *http.Response }

func (e *responseError) Error() string { return e.response.Status }

// send sends the request once and decides whether another attempt may follow.
func (a *attempts) send() (*http.Response, error) {
	request := a.request
	if a.sent > 0 {
		again, err := Replay(a.request)
		if err != nil {
			return nil, err
		}
		request = again
	}
	a.sent++
	response, err := a.policy.Next.RoundTrip(request)
	replayable := Replayable(a.request)
	switch {
	case err != nil:
		if replayable && mayRunTwice(a.request) && a.transient(err) {
			a.unavailable++
			a.retryAfter, a.reason = 0, "no answer"
			return nil, retry.RetryableError(err)
		}
		return nil, err
	case a.isThrottled(response):
		if replayable {
			a.throttled++
			return nil, a.prepareRetry(response, "the server asks to slow down")
		}
	case IsUnavailable(response.StatusCode):
		if replayable && mayRunTwice(a.request) {
			a.unavailable++
			return nil, a.prepareRetry(response, response.Status)
		}
	}
	return response, nil
}

// prepareRetry buffers the start of the response, in case it is the last one, and closes the response so that its connection is free.
func (a *attempts) prepareRetry(response *http.Response, reason string) error {
	a.retryAfter, a.reason = retryAfter(response), reason
	start, _ := io.ReadAll(io.LimitReader(response.Body, maxKept))
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(start))
	return retry.RetryableError(&responseError{response})
}

// Next returns the wait before the next attempt; true if there is no next attempt.
func (a *attempts) Next() (time.Duration, bool) {
	if a.throttled > MaxThrottled || a.unavailable > MaxUnavailable {
		return 0, true
	}
	wait := a.retryAfter
	if wait <= 0 {
		wait, _ = retry.WithJitterPercent(jitterPercent, retry.BackoffFunc(func() (time.Duration, bool) {
			return min(firstWait<<(a.sent-1), longestWait), false
		})).Next()
	}
	if a.waited += wait; a.waited > MaxWait {
		return 0, true
	}
	if a.policy.Log != nil {
		a.policy.Log(fmt.Sprintf("%s %s: %s, trying again in %s", a.request.Method, a.request.URL.Host, text.Line(a.reason, 100), text.Duration(wait.Round(time.Millisecond))))
	}
	return wait, false
}

func (a *attempts) isThrottled(response *http.Response) bool {
	return response.StatusCode == http.StatusTooManyRequests || a.policy.Throttled != nil && a.policy.Throttled(response)
}

func (a *attempts) transient(err error) bool {
	if a.policy.Transient != nil {
		return a.policy.Transient(err)
	}
	return IsTransient(err)
}

// mayRunTwice reports whether the server may carry a request out twice: a GET or HEAD, or a POST without a body. Such a POST opens
// an upload; a second one leaves an empty upload, which expires.
func mayRunTwice(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPost:
		return request.Body == nil || request.Body == http.NoBody
	}
	return false
}

// retryAfter parses both forms of Retry-After, seconds and a date; 0 if the header is neither. Source: RFC 9110, section 10.2.3.
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
