package helm

import (
	"sync"

	"github.com/onedigest/onedigest/internal/helm/failure"
)

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
