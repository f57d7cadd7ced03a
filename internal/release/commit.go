package release

import (
	"fmt"
	"regexp"
)

// Commit is a full git commit id: 40 lower-case hex digits (SHA-1) or 64 (SHA-256).
type Commit string

var commitPattern = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// ParseCommit accepts a full commit id only: a short id can become ambiguous as the repository grows.
func ParseCommit(text string) (Commit, error) {
	if !commitPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not a full commit id (40 or 64 lower-case hex digits)", text)
	}
	return Commit(text), nil
}

func (c Commit) String() string { return string(c) }

// Short is the first 12 digits, for display only.
func (c Commit) Short() string { return string(c)[:min(12, len(c))] }
