package manifest

import (
	"regexp"
	"strconv"
	"strings"
)

var plainStep = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// IsPlainStep reports whether a step of a path needs no quotes.
func IsPlainStep(step string) bool { return plainStep.MatchString(step) }

// DottedPath formats a path as people write it: service.annotations."a.b/c".
func DottedPath(path []string) string {
	steps := make([]string, len(path))
	for i, step := range path {
		steps[i] = step
		if !IsPlainStep(step) {
			steps[i] = strconv.Quote(step)
		}
	}
	return strings.Join(steps, ".")
}
