package failure

import (
	"regexp"

	"github.com/onedigest/onedigest/internal/text"
)

// maxText bounds a text of the cluster's, in bytes.
const maxText = 1000

// quotedObject is an object that the apiserver quotes whole, as when it cannot apply a patch. It is too long to read, and a
// Secret's contains its values.
var quotedObject = regexp.MustCompile(`Invalid value: "\{(?:[^"\\]|\\.)*"`)

// Sanitize makes a text of the cluster's fit for the log: one line of at most 1000 bytes, without objects that are quoted whole.
func Sanitize(s string) string {
	return text.Line(quotedObject.ReplaceAllString(text.Line(s, text.NoLimit), "Invalid value: {…}"), maxText)
}

// sanitized is an error whose text is fit for the log. It unwraps to the original.
type sanitized struct{ error }

func (s sanitized) Error() string { return Sanitize(s.error.Error()) }

func (s sanitized) Unwrap() error { return s.error }
