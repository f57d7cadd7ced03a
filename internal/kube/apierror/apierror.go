// Package apierror turns the error of a Kubernetes API request into one that people can act on.
package apierror

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Side is the system that a *release.Fault names when a cluster failed.
const Side = "cluster"

// maxText is how much of an error's text is printed, in bytes.
const maxText = 1024

// Fault makes a *release.Fault for a failed request to the cluster at host; format and subjects say what was attempted. If ctx
// was cancelled, the error wraps context.Canceled. If err wraps a *release.Fault, from getting the token, that Fault is returned.
func Fault(ctx context.Context, host string, err error, format string, subjects ...any) error {
	advice := ""
	var inner *release.Fault
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf(format+": %w", append(subjects, context.Canceled)...)
	case errors.As(err, &inner):
		return inner
	case apierrors.IsUnauthorized(err):
		advice = "the credentials are refused or expired; see the user of the kubeconfig's context or, on EKS, whether the role has an access entry"
	case apierrors.IsForbidden(err):
		advice = "ask a cluster administrator for a Role that allows it"
	case apierrors.ReasonForError(err) == "":
		advice = fmt.Sprintf("check whether %s can be reached from here", host)
	}
	return release.NewFault(Side, advice, Sanitized{err}, format, subjects...)
}

// Sanitized is an error whose text is one printable line of at most 1024 bytes: the API's message may contain text of others,
// such as an admission webhook's.
type Sanitized struct{ Err error }

func (s Sanitized) Error() string { return text.Line(s.Err.Error(), maxText) }

// Unwrap returns the error as the API returned it.
func (s Sanitized) Unwrap() error { return s.Err }
