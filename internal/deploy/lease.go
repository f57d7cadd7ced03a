package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
)

// releaseTime limits the request that releases a Lease.
const releaseTime = 2 * time.Second

// enforces says which pods a namespace admits.
func enforces(security release.PodSecurity) string {
	if security == release.PodSecurityNone {
		return "enforces the cluster's default Pod Security Standard"
	}
	return fmt.Sprintf("enforces the %s Pod Security Standard", security)
}

// acquireLease acquires the release's Lease, and waits until then for another run that holds it. leaseCtx ends when the Lease is
// lost; the caller must call releaseLease.
func (r request) acquireLease(ctx context.Context, until time.Time) (lease release.Lease, leaseCtx context.Context, releaseLease func(), err error) {
	if r.settings.CreateNamespace {
		created, err := r.Cluster.CreateNamespace(ctx, r.settings.Namespace, r.settings.Environment, r.settings.PodSecurity)
		if err != nil {
			return nil, nil, nil, err
		}
		if created {
			r.Reporter.Infof("created namespace %q, which %s", r.settings.Namespace, enforces(r.settings.PodSecurity))
		}
	}
	waiting, stop := context.WithDeadline(ctx, until)
	defer stop()
	lease, err = r.Cluster.AcquireLease(waiting, release.LeaseRequest{Release: r.settings.Release, Namespace: r.settings.Namespace,
		Holder: r.Holder, Duration: r.settings.LeaseDuration}, r.info)
	if err != nil {
		return nil, nil, nil, err
	}
	leaseCtx, cancel := lease.Context(ctx)
	return lease, leaseCtx, func() {
		cancel()
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer stop()
		if err := lease.Release(ctx); err != nil {
			r.Reporter.Warnf("could not release the Lease of release %q, it expires after %s: %v", r.settings.Release, text.Duration(r.settings.LeaseDuration), err)
		}
	}, nil
}

// info logs one line. Adapters call it with a complete sentence.
func (r request) info(line string) { r.Reporter.Infof("%s", line) }

// heal marks a revision that a killed run left pending as failed, and returns it; nil if there is none.
func (r request) heal(leaseCtx context.Context, lease release.Lease) (*release.Healed, error) {
	healed, err := r.Chart.Heal(leaseCtx, r.settings.Release, r.info)
	if err != nil || healed == nil {
		return nil, err
	}
	by := healed.RunURL
	if previous, found := lease.Previous(); by == "" && found {
		by = previous.URL
	}
	now := "it is marked as failed now"
	if healed.Whole {
		now = "nothing of it was deleted, and it counts as installed"
	}
	r.Reporter.Warnf("healed: revision %d was left %s at %s%s; %s", healed.Revision, healed.Status, healed.At.UTC().Format(time.RFC3339), prefixIfSet(" by ", by), now)
	if healed.Uninstalling() && !r.settings.Heal {
		r.Reporter.Warnf("an uninstall of the release had begun: this deploy installs it again, and no rollback goes back to what was there before; to finish the uninstall, run uninstall instead")
	}
	return healed, nil
}

// prefixIfSet returns the text with a prefix, or "" if there is no text.
func prefixIfSet(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

// healRelease only heals the release, for a workflow step that always runs. It does nothing if another run holds the release.
func healRelease(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	r := request{Deps: deps, settings: settings}
	result := r.result()
	result.Outcome = release.Unchanged
	_, err := r.Cluster.Check(ctx, settings.Namespace, false)
	var absent *release.InputError
	if errors.As(err, &absent) {
		result.State = "nothing to heal: " + absent.Problems[0].What
		r.info(result.State)
		return result, nil
	}
	if err != nil {
		return r.result(), err
	}
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	result.Healed, err = r.healUnderLease(ctx)
	switch {
	case heldByAnotherRun(ctx, err):
		r.Reporter.Infof("%v", err)
		result.State = "another run holds the release; it was left alone"
		return result, nil
	case err != nil:
		return r.result(), err
	case result.Healed != nil && result.Healed.Uninstalling():
		result.Outcome, result.State = release.OutcomeHealed, "no revision is pending any more, and a part of its objects is gone: run uninstall to finish that, or deploy to install the release again"
	case result.Healed != nil:
		result.Outcome, result.State = release.OutcomeHealed, "no revision is pending any more; the next deploy can go ahead"
	default:
		result.State = "no revision was pending"
	}
	r.Reporter.Infof("release %q in namespace %q: %s", settings.Release, settings.Namespace, result.State)
	return result, nil
}

// healUnderLease waits for the Lease, long enough for a killed run's Lease to expire, and then heals the release.
func (r request) healUnderLease(ctx context.Context) (*release.Healed, error) {
	lease, leaseCtx, releaseLease, err := r.acquireLease(ctx, time.Now().Add(2*r.settings.LeaseDuration+releaseTime))
	if err != nil {
		return nil, err
	}
	defer releaseLease()
	healed, err := r.heal(leaseCtx, lease)
	if err != nil {
		return nil, err
	}
	_, err = r.Chart.History(leaseCtx, r.settings.Release) // logs the records that cannot be read
	return healed, err
}

// heldByAnotherRun reports whether an error says that another run holds the release.
func heldByAnotherRun(ctx context.Context, err error) bool {
	var failure *release.Failure
	return ctx.Err() == nil && errors.As(err, &failure) && strings.HasPrefix(failure.What, string(causes.ReleaseHeld))
}
