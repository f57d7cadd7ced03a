package helm

import "sync"

// maxWarnings bounds what one operation passes on of the apiserver's warnings, in lines.
const maxWarnings = 20

// warnings passes on what the apiserver warns of, each once: a field of the chart that it does not know, for one, which
// it drops and Helm accepts.
type warnings struct {
	log func(line string)

	mu   sync.Mutex
	told map[string]bool
}

// HandleWarningHeader takes one warning. Source: kubernetes.io, "Kubernetes API Concepts", Warnings (code 299).
func (w *warnings) HandleWarningHeader(code int, _, text string) {
	if code != 299 || text == "" {
		return
	}
	line := told(text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[line] || len(w.told) >= maxWarnings {
		return
	}
	w.told[line] = true
	w.log("WARNING: " + line)
}
