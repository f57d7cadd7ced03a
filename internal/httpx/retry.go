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

// The policy of a RetryTransport.
const (
	MaxThrottled   = 10              // times that a server may ask to slow down
	MaxUnavailable = 4               // times that it may fail or not answer
	MaxWait        = 2 * time.Minute // in all, and the longest Retry-After that is honoured
	firstWait      = 250 * time.Millisecond
	longestWait    = 20 * time.Second // between two attempts, unless Retry-After says otherwise
	jitterPercent  = 20
	maxKept        = 64 << 10 // bytes of a refused attempt's body
)

// Backoff waits 250 ms, 500 ms, 1 s … between attempts, and ends after the given number of retries. It is for operations
// that are more than one request; a single one is retried by RetryTransport.
func Backoff(retries uint64) retry.Backoff {
	return retry.WithMaxRetries(retries, retry.NewExponential(firstWait))
}

// RetryTransport sends a request again where that may help and cannot do harm.
//
// A server that asks to slow down (429) did nothing, so every request is sent again whose body can be read again. One that
// failed (500, 502, 503, 504) or did not answer may have done it: only GET, HEAD and a POST without a body are sent again.
// Retry-After is honoured; otherwise the wait doubles each time. When the attempts or the time are used up, the last answer
// is returned as it came, with the first 64 KiB of its body.
type RetryTransport struct {
	Next http.RoundTripper
	// Throttled reports whether a response that is not 429 asks to slow down too; nil: none does. It may Peek.
	Throttled func(*http.Response) bool
	// Transient reports whether an error may be gone at the next attempt; nil: IsTransient.
	Transient func(error) bool
	// Log gets a line for each wait; nil: nobody.
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

// attempts is the course of one request. It is also its go-retry Backoff, since only it knows what the last response
// asked for.
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

// responseError carries a response that is worth another attempt through go-retry.
type responseError struct{ response *http.Response }

func (e *responseError) Error() string { return e.response.Status }

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
		if replayable && repeatable(a.request) && a.transient(err) {
			a.unavailable++
			a.retryAfter, a.reason = 0, "no answer"
			return nil, retry.RetryableError(err)
		}
		return nil, err
	case a.isThrottled(response):
		if replayable {
			a.throttled++
			return nil, a.again(response, "the server asks to slow down")
		}
	case IsUnavailable(response.StatusCode):
		if replayable && repeatable(a.request) {
			a.unavailable++
			return nil, a.again(response, response.Status)
		}
	}
	return response, nil
}

// again keeps the start of the response, in case it stays the last one, and frees its connection.
func (a *attempts) again(response *http.Response, reason string) error {
	a.retryAfter, a.reason = retryAfter(response), reason
	start, _ := io.ReadAll(io.LimitReader(response.Body, maxKept))
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(start))
	return retry.RetryableError(&responseError{response})
}

// Next is the wait before the next attempt; true if there is none.
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
		a.policy.Log(fmt.Sprintf("%s %s: %s, trying again in %s", a.request.Method, a.request.URL.Host, text.Line(a.reason, 100), wait.Round(time.Millisecond)))
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

// repeatable reports whether a request may be carried out twice: a read, or a POST without a body, as the opening of an
// upload, which at worst leaves an empty one to expire.
func repeatable(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPost:
		return request.Body == nil || request.Body == http.NoBody
	}
	return false
}

// retryAfter reads the header's two forms, seconds and a date; 0 if it has neither. Source: RFC 9110, section 10.2.3.
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
