package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// fatalError returns the error to give up with if waiting cannot help, or nil.
func (a *acquirer) fatalError(ctx context.Context, err error) error {
	var failed *requestError
	if err == nil || !errors.As(err, &failed) {
		return err
	}
	doing := fmt.Sprintf("holding release %q: to %s Lease %q in namespace %q", a.request.Release, failed.verb, a.name, a.request.Namespace)
	switch {
	case apierrors.HasStatusCause(err, core.NamespaceTerminatingCause):
		return &release.Fault{Side: apierror.Side, Err: fmt.Errorf("%s: the namespace is being deleted", doing), Do: "wait until it is deleted, or give another namespace"}
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		if a.allowedVerbs[failed.verb] {
			if a.forbiddenSince.IsZero() {
				a.forbiddenSince = time.Now()
			}
			if time.Since(a.forbiddenSince) < forbiddenTime {
				return nil
			}
		}
		return leaseFault(ctx, a.host, err, doing)
	case failed.verb == "create" && apierrors.IsNotFound(err):
		return release.BadSetting("namespace", fmt.Sprintf("namespace %q does not exist in %s", a.request.Namespace, a.host),
			"give --create-namespace, or create it")
	case apierrors.IsNotFound(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return leaseFault(ctx, a.host, err, doing)
	}
	return nil
}

// leaseFault returns the error for a failed request for a Lease; doing says what was attempted.
func leaseFault(ctx context.Context, host string, err error, doing string) error {
	if apierrors.IsForbidden(err) {
		return release.NewFault(apierror.Side, "ask a cluster administrator for a Role that allows get, list, watch, create and update of leases in coordination.k8s.io",
			apierror.Sanitized{Err: err}, "%s", doing)
	}
	return apierror.Fault(ctx, host, err, "%s", doing)
}

// timeoutError returns the error if ctx ended before this run acquired the Lease. It names the holder; without one it contains err.
func (a *acquirer) timeoutError(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		err = a.lastErr
	}
	if a.blockedBy == nil {
		if err == nil {
			err = ctx.Err()
		}
		return leaseFault(ctx, a.host, err, fmt.Sprintf("holding release %q in namespace %q", a.request.Release, a.request.Namespace))
	}
	failure := &release.Failure{
		What: fmt.Sprintf("%s release %q in namespace %q is held by %s, and was not released in time", causes.ReleaseHeld,
			a.request.Release, a.request.Namespace, a.describeBlocker()),
		Do: causes.ReleaseHeld.Cause().Advice,
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		failure.Err = context.Canceled
	case err != nil:
		failure.Err = fmt.Errorf("the cluster does not answer either: %w", apierror.Sanitized{Err: err})
	}
	return failure
}
