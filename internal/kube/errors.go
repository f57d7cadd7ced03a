package kube

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
)

// DiagnosedError says why a rollout cannot become ready, or was not ready in time: the cause's code, the object, the container, the
// reason.
type DiagnosedError struct{ Found release.Diagnosis }

// Diagnosis returns the evidence.
func (e *DiagnosedError) Diagnosis() release.Diagnosis { return e.Found }

func (e *DiagnosedError) Error() string {
	text := e.Found.Object.String()
	if e.Found.Code != "" {
		text = string(e.Found.Code) + " " + text
	}
	if e.Found.Container != "" {
		text += fmt.Sprintf(" container %q", e.Found.Container)
	}
	text += ": " + e.Found.Reason
	if e.Found.Message != "" {
		text += ": " + e.Found.Message
	}
	return text
}

// Fault returns a *release.Fault for a request to this cluster that failed; format and subjects say what was attempted. If ctx has ended, it wraps the context's error instead.
func (c *Client) Fault(ctx context.Context, err error, format string, subjects ...any) error {
	return apierror.Fault(ctx, c.Host, err, format, subjects...)
}
