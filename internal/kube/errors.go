package kube

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
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

// Fault is apierror.Fault for a request to this cluster.
func (c *Client) Fault(ctx context.Context, err error, format string, subjects ...any) error {
	return apierror.Fault(ctx, c.Host, err, format, subjects...)
}

// Printable is an error whose text is one printable line.
type Printable = apierror.Sanitized
