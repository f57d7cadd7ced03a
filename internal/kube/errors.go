package kube

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// RolloutError says why a rollout cannot become ready, or was not ready in time: its code, the object, the container, the reason.
type RolloutError struct{ diagnosis release.Diagnosis }

// Diagnosis is the evidence.
func (e *RolloutError) Diagnosis() release.Diagnosis { return e.diagnosis }

func (e *RolloutError) Error() string {
	text := e.diagnosis.Object.String()
	if e.diagnosis.Code != "" {
		text = string(e.diagnosis.Code) + " " + text
	}
	if e.diagnosis.Container != "" {
		text += fmt.Sprintf(" container %q", e.diagnosis.Container)
	}
	text += ": " + e.diagnosis.Reason
	if e.diagnosis.Message != "" {
		text += ": " + e.diagnosis.Message
	}
	return text
}

// Fault describes a failed request to the cluster as a *release.Fault with advice for the usual causes; format and subjects say
// what was being done. A cancelled context is context.Canceled, and a failure to get a token is that failure. The API may repeat
// an outsider's text (that of an admission webhook), so that its message is made printable.
func (c *Client) Fault(ctx context.Context, err error, format string, subjects ...any) error {
	do := ""
	var token *release.Fault // what gives the tokens failed, and says so itself
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf(format+": %w", append(subjects, context.Canceled)...)
	case errors.As(err, &token):
		return token
	case apierrors.IsUnauthorized(err):
		do = "the credentials are refused or expired; see the user of the kubeconfig's context or, on EKS, whether the role has an access entry"
	case apierrors.IsForbidden(err):
		do = "ask whoever rules the cluster for a Role that allows it"
	case apierrors.ReasonForError(err) == "":
		do = fmt.Sprintf("see whether %s can be reached from here", c.Host)
	}
	return release.NewFault(Side, do, Printable{err}, format, subjects...)
}

// Printable is an error whose text is one line without control characters, at most 1 KiB.
type Printable struct{ Err error }

// Error is the printable text.
func (p Printable) Error() string { return cut(printable(p.Err.Error()), 1024) }

// Unwrap is the error itself.
func (p Printable) Unwrap() error { return p.Err }
