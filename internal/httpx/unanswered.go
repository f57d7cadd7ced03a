package httpx

import (
	"context"
	"errors"
	"net/http"
	"syscall"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/onedigest/onedigest/internal/text"
)

const (
	maxRestartWait = 2 * time.Second
	// startupTime is how long after a restart a server may refuse requests that it otherwise allows.
	startupTime = 5 * time.Second
	maxReason   = 300 // bytes of an error that is logged
)

// RestartBackoff is for a server that is restarting: it waits 250 ms, 500 ms, 1 s, then 2 s between attempts, and ends after
// maxTime.
func RestartBackoff(maxTime time.Duration) retry.Backoff {
	return retry.WithMaxDuration(maxTime, retry.WithCappedDuration(maxRestartWait, retry.NewExponential(firstWait)))
}

// RetryUnanswered wraps a transport so that it retries requests that got no answer, for at most maxTime each: a server's restart
// must not leave a change half done. It retries requests that were never sent, and every method except POST. A PATCH or PUT must
// therefore be safe to carry out twice. After such a retry it also repeats a request that an apiserver refuses or fails while it
// starts. RetryTransport is for servers that throttle or fail. The wait ends with ctx. log gets one line for each request that is
// retried.
func RetryUnanswered(ctx context.Context, maxTime time.Duration, log func(line string)) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			backoff, lastUnanswered := RestartBackoff(maxTime), time.Time{}
			for {
				response, err := next.RoundTrip(request)
				unanswered := isUnanswered(request, err)
				if !unanswered && lastUnanswered.IsZero() {
					return response, err // the usual case
				}
				if unanswered {
					if lastUnanswered.IsZero() {
						log("WARNING: " + request.URL.Host + " does not answer, retrying: " + text.Line(err.Error(), maxReason))
					}
					lastUnanswered = time.Now()
				} else if err != nil || !isStartingUp(response) || time.Since(lastUnanswered) > startupTime {
					return response, err
				}
				again, replayErr := Replay(request)
				wait, stop := backoff.Next()
				if replayErr != nil || stop {
					return response, err
				}
				if response != nil {
					Drain(response)
				}
				request = again
				if err := sleep(ctx, wait); err != nil {
					return nil, err
				}
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// sleep waits; if ctx ends first, it returns the cause.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isUnanswered reports whether a request got no answer and may be sent again.
func isUnanswered(request *http.Request, err error) bool {
	switch {
	case err == nil, request.Context().Err() != nil:
		return false
	case errors.Is(err, syscall.ECONNREFUSED): // it was never sent
		return true
	}
	return request.Method != http.MethodPost && IsTransient(err)
}

// isStartingUp reports whether a response is one that an apiserver gives while it starts.
func isStartingUp(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized, http.StatusInternalServerError, http.StatusServiceUnavailable:
		return true
	}
	return false
}
