package helm

import (
	"bytes"
	"context"
	"net/http"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/httpx"
	"k8s.io/client-go/transport"
)

// maxQuotaConflicts is how often a request is sent again that could not be counted against a quota.
const maxQuotaConflicts = 5

// maxPeeked bounds what is read of a refusal to find out whether a quota's conflict is its reason, in bytes.
const maxPeeked = 16 << 10

// retryQuotaConflicts sends a request again that was refused only because other requests counted against the same quota meanwhile. The apiserver has
// tried three times by then, and has stored nothing. Source: k8s.io/apiserver, pkg/admission/plugin/resourcequota, checkQuotas.
func retryQuotaConflicts(lifetime context.Context) transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			wait, backoff := sleeper(lifetime), httpx.Backoff(maxQuotaConflicts)
			for {
				response, err := next.RoundTrip(request)
				if err != nil || response.StatusCode != http.StatusConflict || !bytes.Contains(httpx.Peek(response, maxPeeked), []byte(failure.QuotaConflict)) {
					return response, err
				}
				again, err := httpx.Replay(request)
				pause, stop := backoff.Next()
				if err != nil || stop || !wait(pause) {
					return response, nil
				}
				httpx.Drain(response)
				request = again
			}
		})
	}
}

// maxWarnings bounds how many of the apiserver's warnings one operation logs.
const maxWarnings = 20

// warnings logs each warning of the apiserver once, for example that it drops an unknown field, which Helm accepts.
type warnings struct {
	log func(line string)

	mu   sync.Mutex
	seen map[string]bool
}

// HandleWarningHeader logs one warning. Source: kubernetes.io, "Kubernetes API Concepts", Warnings (code 299).
func (w *warnings) HandleWarningHeader(code int, _, text string) {
	if code != 299 || text == "" {
		return
	}
	line := failure.Sanitize(text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[line] || len(w.seen) >= maxWarnings {
		return
	}
	w.seen[line] = true
	w.log("WARNING: " + line)
}
