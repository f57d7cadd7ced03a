package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// fatal words an error that waiting does not heal; nil for any other.
func (t *taker) fatal(ctx context.Context, err error) error {
	var asked *verbError
	if err == nil || !errors.As(err, &asked) {
		return err
	}
	doing := fmt.Sprintf("holding release %q: to %s Lease %q in namespace %q", t.hold.Release, asked.verb, t.name, t.hold.Namespace)
	switch {
	case apierrors.HasStatusCause(err, core.NamespaceTerminatingCause):
		return &release.Fault{Side: Side, Err: fmt.Errorf("%s: the namespace is being deleted", doing), Do: "wait until it is gone, or give another"}
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		if t.worked[asked.verb] {
			if t.forbidden.IsZero() {
				t.forbidden = time.Now()
			}
			if time.Since(t.forbidden) < refusalTime {
				return nil
			}
		}
		return t.client.leaseFault(ctx, err, doing)
	case asked.verb == "create" && apierrors.IsNotFound(err):
		return release.BadInput("--namespace (INPUT_NAMESPACE)", fmt.Sprintf("namespace %q does not exist in %s", t.hold.Namespace, t.client.Host),
			"give --create-namespace, or create it")
	case apierrors.IsNotFound(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return t.client.leaseFault(ctx, err, doing)
	}
	return nil
}

// leaseFault words a request for a Lease that went wrong.
func (c *Client) leaseFault(ctx context.Context, err error, doing string) error {
	if apierrors.IsForbidden(err) {
		return release.NewFault(Side, "ask whoever rules the cluster for a Role that allows get, list, watch, create and update of leases in coordination.k8s.io",
			Printable{err}, "%s", doing)
	}
	return c.Fault(ctx, err, "%s", doing)
}

// ended is the end of the wait.
func (t *taker) ended(ctx context.Context, trouble error) error {
	if errors.Is(trouble, ctx.Err()) {
		trouble = t.trouble
	}
	if t.blocking == nil {
		if trouble == nil {
			trouble = ctx.Err()
		}
		return t.client.leaseFault(ctx, trouble, fmt.Sprintf("holding release %q in namespace %q", t.hold.Release, t.hold.Namespace))
	}
	failure := &release.Failure{
		What: fmt.Sprintf("%s release %q in namespace %q is held by %s%s, and did not get free in time", causes.ReleaseHeld,
			t.hold.Release, t.hold.Namespace, who(*t.blocking), t.sinceWhen()),
		Do: causes.ReleaseHeld.Cause().Advice,
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		failure.Err = context.Canceled
	case trouble != nil:
		failure.Err = fmt.Errorf("the cluster does not answer either: %w", Printable{trouble})
	}
	return failure
}
