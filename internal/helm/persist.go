package helm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/transport"
)

// Times between tries of a request that the cluster did not answer.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 2 * time.Second
	// starting is how long an apiserver that has just come back may forbid what it is going to allow, or be unavailable.
	starting = 5 * time.Second
)

// persistent sends a request again that the cluster did not answer: an apiserver that restarts is no reason to leave half a
// release behind. Only what may be sent twice is (a patch says what shall be, not what to do), or what was never sent.
func persistent(ctx context.Context, patience time.Duration, log func(string)) transport.WrapperFunc {
	pause := pausing(ctx)
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			began, back := time.Now(), time.Time{}
			for wait := firstPause; ; wait = min(2*wait, lastPause) {
				response, err := next.RoundTrip(r)
				lost := unanswered(r, err)
				if !lost && back.IsZero() {
					return response, err // the usual case
				}
				if lost {
					if back.IsZero() {
						log("WARNING: the cluster does not answer, asking again: " + told(err.Error()))
					}
					back = time.Now()
				} else if err != nil || !unready(response) || time.Since(back) > starting {
					return response, err
				}
				again, ok := resend(r)
				if !ok || time.Since(began) > patience {
					return response, err
				}
				if response != nil {
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
				if r = again; !pause(wait) {
					return nil, context.Cause(ctx)
				}
			}
		})
	}
}

// unanswered tells whether a request got no answer, and may be sent again.
func unanswered(r *http.Request, err error) bool {
	switch {
	case err == nil, r.Context().Err() != nil:
		return false
	case errors.Is(err, syscall.ECONNREFUSED): // never sent
		return true
	case r.Method == http.MethodPost:
		return false
	}
	return utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err)
}

// unready tells whether an answer is one that a starting apiserver gives.
func unready(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized, http.StatusInternalServerError, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// resend is the request once more, with its body from the start.
func resend(r *http.Request) (*http.Request, bool) {
	again := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return again, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	again.Body = body
	return again, true
}
