package helm

import (
	"context"
	"errors"
	"net/http"
	"syscall"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/httpx"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/transport"
)

const (
	minRetryWait = 250 * time.Millisecond
	maxRetryWait = 2 * time.Second
	// startupTime is how long an apiserver that has just come back may refuse what it is going to allow.
	startupTime = 5 * time.Second
)

// retryUnanswered retries requests that the cluster did not answer, for at most a given time each: an apiserver that restarts
// is no reason to leave half a release behind. It retries only requests that are idempotent or were never sent: our
// patches state the desired fields. httpx.RetryTransport has another policy, for servers that throttle or fail: it retries reads
// only, a few times, and client-go itself retries what an apiserver throttles.
func retryUnanswered(ctx context.Context, maxTime time.Duration, log func(string)) transport.WrapperFunc {
	sleep := sleeper(ctx)
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			began, lastUnanswered := time.Now(), time.Time{}
			for wait := minRetryWait; ; wait = min(2*wait, maxRetryWait) {
				response, err := next.RoundTrip(r)
				unanswered := isUnanswered(r, err)
				if !unanswered && lastUnanswered.IsZero() {
					return response, err // the usual case
				}
				if unanswered {
					if lastUnanswered.IsZero() {
						log("WARNING: the cluster does not answer, retrying: " + failure.Sanitize(err.Error()))
					}
					lastUnanswered = time.Now()
				} else if err != nil || !isStartingUp(response) || time.Since(lastUnanswered) > startupTime {
					return response, err
				}
				again, replayErr := httpx.Replay(r)
				if replayErr != nil || time.Since(began) > maxTime {
					return response, err
				}
				if response != nil {
					httpx.Drain(response)
				}
				if r = again; !sleep(wait) {
					return nil, context.Cause(ctx)
				}
			}
		})
	}
}

// isUnanswered reports whether a request got no answer and may be sent again.
func isUnanswered(r *http.Request, err error) bool {
	switch {
	case err == nil, r.Context().Err() != nil:
		return false
	case errors.Is(err, syscall.ECONNREFUSED): // it was never sent
		return true
	case r.Method == http.MethodPost:
		return false
	}
	return utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err)
}

// isStartingUp reports whether an answer is one that an apiserver gives while it starts.
func isStartingUp(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized, http.StatusInternalServerError, http.StatusServiceUnavailable:
		return true
	}
	return false
}
