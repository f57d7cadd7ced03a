package failure

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/onedigest/onedigest/internal/text"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

func (s sanitized) Error() string {
	// client-go's word where it cannot read the cluster's answer, as in discovery.
	var status apierrors.APIStatus
	if errors.As(s.error, &status) && status.Status().Message == "unknown" {
		return Sanitize(fmt.Sprintf("the cluster answers with status %d %s", status.Status().Code, status.Status().Reason))
	}
	return Sanitize(s.error.Error())
}

func (s sanitized) Unwrap() error { return s.error }
