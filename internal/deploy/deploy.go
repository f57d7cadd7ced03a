// Package deploy is the verb that installs or upgrades a Helm release, watches the rollout until it is ready, and rolls
// back a rollout that fails.
package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
)

// Result is what a deploy did.
type Result struct {
	Outcome      release.Outcome       `json:"outcome"`
	Environment  release.Environment   `json:"environment"`
	Release      string                `json:"release"`
	Namespace    string                `json:"namespace"`
	Revision     int                   `json:"revision"` // the live one
	URL          string                `json:"url"`
	Image        release.Image         `json:"image"`  // the main one
	Digest       release.Digest        `json:"digest"` // of the running image as the kubelets report it; zero if a pod runs another one
	Commit       release.Commit        `json:"commit,omitempty"`
	Images       []ImageResult         `json:"images,omitempty"` // all, the main one first
	Chart        *release.LocatedChart `json:"chart,omitempty"`
	Pods         []string              `json:"pods"`
	Seconds      float64               `json:"readySeconds"`           // from applying the release until it was ready
	State        string                `json:"state,omitempty"`        // state of the cluster in words, where the outcome does not say it all
	Code         causes.Code           `json:"code,omitempty"`         // cause of the failure
	Previous     *PastRevision         `json:"previous,omitempty"`     // the one that was live before; nil if none was, or if that is not known
	Restored     *PastRevision         `json:"rolledBackTo,omitempty"` // the one that the rollback applied again
	NewerRun     string                `json:"newerRun,omitempty"`     // URL of the run that deployed the newer commit
	Plan         *release.Plan         `json:"plan,omitempty"`         // result of a dry run
	PlanDigest   release.Digest        `json:"planDigest,omitzero"`    // of the plan that a dry run has kept, or that was carried out
	Diagnosis    *release.Diagnosis    `json:"diagnosis,omitempty"`    // of the failed rollout
	Gates        []ImageGate           `json:"gates,omitempty"`        // what the rules ask for, and what was found, for each image
	Healed       *release.Healed       `json:"healed,omitempty"`       // revision that a killed run left pending
	Deploys      []Result              `json:"deploys,omitempty"`      // results of a matrix
	matrix.Part                        // of the matrix, in Deploys
	ConfigCommit release.Commit        `json:"configCommit,omitempty"` // of the configuration repository by which a GitOps controller has applied it
	Proposal     *release.Proposal     `json:"proposal,omitempty"`     // of a change that somebody has to merge
	Pinned       bool                  `json:"pinned,omitempty"`       // the release is pinned at the commit now
	Unpinned     release.Commit        `json:"unpinned,omitempty"`     // the commit at which the release was pinned until now
	Skipped      int                   `json:"skipped,omitempty"`      // deploys of a matrix that were not started because an earlier wave failed
}

// PastRevision is an earlier revision of the release.
type PastRevision struct {
	Revision int            `json:"revision"`
	Commit   release.Commit `json:"commit,omitempty"` // "" if another tool made it
	Digest   release.Digest `json:"digest,omitzero"`  // of the main image; zero if another tool made it
	Mark     release.Mark   `json:"mark,omitempty"`
}

// previousOf returns the revision that is live, nil if there is none.
func previousOf(revisions []release.Revision) *PastRevision {
	live, found := liveRevision(revisions)
	if !found {
		return nil
	}
	return &PastRevision{Revision: live.Number, Commit: live.Commit, Digest: live.Digest, Mark: live.Mark}
}

// Run deploys the image to the environment. It checks everything before it changes anything, holds the release's Lease
// while it works, watches the rollout until it is ready, and returns the digest that the kubelet reports. A failed rollout
// is explained and then rolled back. Bad input is a *release.InputError, a policy that says no a *release.Refusal, and a
// rollout that failed a *release.Failure.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	if settings.Heal {
		return healRelease(ctx, settings, deps)
	}
	if settings.RollbackFailedSmoke {
		return rollBackFailedSmoke(ctx, settings, deps)
	}
	began := time.Now()
	request, err := preflight(ctx, settings, deps)
	if err != nil {
		return request.result(), err
	}
	return request.run(ctx, began)
}

// run deploys what preflight has checked. The timeout counts from began. Waits before the first change (for another run, another
// Helm, or the history of a remote) may use half of it.
func (r request) run(ctx context.Context, began time.Time) (Result, error) {
	if r.settings.DryRun {
		return r.dryRun(ctx)
	}
	half := began.Add(r.settings.Timeout / 2)
	lease, leaseCtx, releaseLease, err := r.acquireLease(ctx, half)
	if err != nil {
		return r.result(), err
	}
	defer releaseLease()
	r.lease = lease
	waiting, stop := context.WithDeadlineCause(leaseCtx, half, &release.Failure{
		What: fmt.Sprintf("half of the timeout (%s) was over before release %q could be changed", text.Duration(r.settings.Timeout), r.settings.Release), Do: "raise --timeout"})
	defer stop()
	result := r.result()
	if result.Healed, err = r.heal(waiting, lease); err != nil {
		return result, err
	}
	order, err := r.checkPinAndOrder(waiting, lease)
	if err != nil {
		return result, err
	}
	result.Previous = previousOf(order.revisions)
	if order.supersededBy != nil {
		return r.supersededResult(result, *order.supersededBy), nil
	}
	if err := r.checkPlan(waiting); err != nil {
		return result, err
	}
	r.gates, err = r.checkRulesAgain(waiting)
	if result.Gates = r.gates; err != nil {
		return result, err
	}
	if err := r.Chart.CheckChangeable(waiting, r.deployment); err != nil {
		return result, err
	}
	if proposed, err := r.propose(waiting, &result, order); proposed || err != nil {
		return result, err
	}
	if err := r.recordOverrides(waiting); err != nil {
		return result, err
	}
	ended := r.announce(ctx, r.deployment.Commit, r.deployment.Images)
	result, err = r.change(ctx, leaseCtx, began, order, result)
	ended(result, err)
	return result, err
}

// announce announces that the release is about to be changed; ended announces the result.
func (r request) announce(ctx context.Context, commit release.Commit, images []release.BuiltImage) (ended func(Result, error)) {
	if r.Announcer == nil {
		return func(Result, error) {}
	}
	return r.Announcer.Begin(ctx, commit, images)
}

// change applies the release and watches it, and rolls back what fails.
func (r request) change(ctx, leaseCtx context.Context, began time.Time, order order, result Result) (Result, error) {
	budget := splitTimeout(r.settings, r.settings.Timeout-time.Since(began))
	target := r.checkRollback(leaseCtx, budget, order.revisions)
	rolledOut, err := r.rollout(leaseCtx, budget)
	result = rolledOut.addTo(result)
	if err != nil {
		failed := failedRollout{request: r, budget: budget, revisions: order.revisions, target: target, applied: rolledOut.applied, result: result}
		return failed.handle(ctx, leaseCtx, err)
	}
	if err := r.markVerified(leaseCtx, rolledOut, order); err != nil {
		result.State = fmt.Sprintf("revision %d is live and ready, but could not be marked as one to roll back to", rolledOut.applied.Revision)
		r.info(result.State)
		return result, err
	}
	if err := r.changePin(leaseCtx, r.lease, order); err != nil {
		result.State = fmt.Sprintf("revision %d is live and ready, but its release's pin could not be changed", rolledOut.applied.Revision)
		r.info(result.State)
		return result, err
	}
	if result.Pinned = order.pins; order.unpins != nil {
		result.Unpinned = order.unpins.Commit
	}
	if err := r.recordDeployed(leaseCtx, result); err != nil {
		result.State = fmt.Sprintf("revision %d is live and ready, but that could not be recorded", rolledOut.applied.Revision)
		r.info(result.State)
		return result, err
	}
	return result, nil
}
