package failure

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/text"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxText bounds a text of the cluster's, in bytes.
const maxText = 1000

// quotedValue begins a value that the apiserver quotes and that has fields or items: as JSON, as JSON in a string, or as Go writes its
// own types, as the whole pod template of a Job whose template was changed.
// Source: k8s.io/apimachinery, pkg/util/validation/field/errors.go, ErrorBody.
var quotedValue = regexp.MustCompile(`(?:Invalid value|Unsupported value|Duplicate value|Not found|Forbidden): (?:"\{|\{|\[|&?(?:\[\]|map\[[\w.]+\])*\*?[\w.]+\{)`)

// Sanitize makes a text of the cluster's fit for the log: one line of at most 1000 bytes, without values that are quoted with their
// fields. They are too long to read, and contain what Secrets, environment variables and arguments are set to.
func Sanitize(s string) string {
	return text.Line(withoutQuoted(text.Line(s, text.NoLimit)), maxText)
}

// withoutQuoted replaces the quoted values by "{…}".
func withoutQuoted(s string) string {
	var kept strings.Builder
	for {
		match := quotedValue.FindStringIndex(s)
		if match == nil {
			kept.WriteString(s)
			return kept.String()
		}
		value := match[0] + strings.Index(s[match[0]:], ": ") + len(": ")
		kept.WriteString(s[:value] + "{…}")
		s = s[value+lengthOfQuoted(s[value:]):]
	}
}

// lengthOfQuoted returns how long the value is that a text begins with, in bytes: up to the brace that closes it, or to the end of the
// string that holds it. One that is not complete has the whole text.
func lengthOfQuoted(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '`':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && c == '"' {
					i++
				}
			}
			if depth == 0 && i < len(s) {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 && !strings.HasPrefix(s[i+1:], "{") && !isGoName(s, i) {
				return i + 1
			}
		}
	}
	return len(s)
}

// isGoName reports whether the bracket at i ends the beginning of a type's name, as in []core.Container{…}.
func isGoName(s string, i int) bool {
	return s[i] == ']' && i+1 < len(s) && (s[i+1] == '*' || isLetter(s[i+1]) || s[i+1] == '[')
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// sanitized is an error whose text is fit for the log. It unwraps to the original.
type sanitized struct{ error }

func (s sanitized) Error() string {
	// client-go's word where it cannot read the cluster's answer, as in discovery.
	var status apierrors.APIStatus
	if errors.As(s.error, &status) && status.Status().Message == "unknown" {
		return Sanitize(fmt.Sprintf("the cluster answers with status %d %s", status.Status().Code, status.Status().Reason))
	}
	return Sanitize(s.error.Error())
}

func (s sanitized) Unwrap() error { return s.error }
