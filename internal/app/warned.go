package app

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// warned knows the warnings that were given: by this process, and on GitHub by the earlier steps of the job, which a file names by their hashes.
type warned struct {
	file string // "" for none
	told map[string]bool
}

// newWarned returns what knows the warnings of a job, whose RUNNER_TEMP the runner empties before it.
// Source: GitHub Docs, "Variables reference", RUNNER_TEMP.
func newWarned(runnerTemp string) *warned {
	w := &warned{told: map[string]bool{}}
	if runnerTemp == "" {
		return w
	}
	w.file = filepath.Join(runnerTemp, "onedigest-warnings")
	content, err := os.ReadFile(w.file)
	if err != nil { // the first step
		return w
	}
	for _, hash := range strings.Fields(string(content)) {
		w.told[hash] = true
	}
	return w
}

// first reports whether a warning is given for the first time. A file that cannot be written lets a later step repeat it.
func (w *warned) first(message string) bool {
	sum := sha256.Sum256([]byte(message))
	hash := hex.EncodeToString(sum[:])
	if w.told[hash] {
		return false
	}
	w.told[hash] = true
	if w.file == "" {
		return true
	}
	if file, err := os.OpenFile(w.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err == nil {
		_, _ = file.WriteString(hash + "\n")
		_ = file.Close()
	}
	return true
}
