package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// rollBackFailedSmoke rolls back a release whose live revision is marked as failed by smoke, for a workflow step that runs after
// smoke. It changes nothing if no smoke has failed the live revision.
func rollBackFailedSmoke(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	r := request{Deps: deps, settings: settings, deployment: release.Deployment{Name: settings.Release, Namespace: settings.Namespace,
		Environment: settings.Environment, RunURL: deps.Holder.URL, Actor: deps.Holder.Actor}}
	deadline, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	_, err := r.Cluster.Check(deadline, settings.Namespace, false)
	if absent := new(release.InputError); errors.As(err, &absent) {
		return r.nothingToRollBack(absent.Problems[0].What), nil
	}
	if err != nil {
		return r.result(), err
	}
	lease, leaseCtx, releaseLease, err := r.acquireLease(deadline, time.Now().Add(settings.Timeout/2))
	if err != nil {
		return r.result(), err
	}
	defer releaseLease()
	r.lease = lease
	if _, err := r.heal(leaseCtx, lease); err != nil {
		return r.result(), err
	}
	revisions, err := r.Chart.History(leaseCtx, settings.Release)
	if err != nil {
		return r.result(), err
	}
	live, found := liveRevision(revisions)
	if !found {
		return r.nothingToRollBack("no revision is live"), nil
	}
	if live.Mark != release.MarkFailed {
		return r.nothingToRollBack(fmt.Sprintf("no smoke has failed the live revision %d", live.Number)), nil
	}
	return r.rollBackFrom(leaseCtx, live, revisions)
}

// nothingToRollBack returns the result for a release that is not changed, and reports the reason.
func (r request) nothingToRollBack(why string) Result {
	result := r.result()
	result.Outcome, result.State = release.Unchanged, "nothing to roll back: "+why
	r.Reporter.Infof("release %q in namespace %q: %s", r.settings.Release, r.settings.Namespace, result.State)
	return result
}

// named gives images of an earlier revision, which has no names of them, the names that the settings have for their repositories. Further ones whose repository the
// settings do not name are left out.
func (r request) named(images []release.Image) []release.BuiltImage {
	all := []release.BuiltImage{{Image: images[0]}}
	for _, image := range images[1:] {
		for _, given := range r.settings.Images {
			if given.Name != "" && given.Image.Repository == image.Repository {
				all = append(all, release.BuiltImage{Name: given.Name, Image: image})
			}
		}
	}
	return all
}

// rollBackFrom rolls a release back from its live revision, whose smoke failed. It may use all the remaining time.
func (r request) rollBackFrom(leaseCtx context.Context, live release.Revision, revisions []release.Revision) (Result, error) {
	timeLeft := r.settings.Timeout
	if deadline, ok := leaseCtx.Deadline(); ok {
		timeLeft = time.Until(deadline)
	}
	failed := failedRollout{request: r, revisions: revisions, applied: release.Deployed{Revision: live.Number}, result: r.result(),
		budget: budget{began: time.Now(), shares: []share{{release.PhaseRollback, timeLeft}}}}
	failed.result.Revision, failed.result.Commit, failed.result.Code = live.Number, live.Commit, causes.SmokeFailed
	r.Reporter.Infof("the smoke of revision %d%s failed", live.Number, prefixIfSet(", commit ", live.Commit.Short()))
	if r.Announcer != nil && live.Commit != "" {
		// After the rollback, which does not wait for GitHub.
		defer r.Announcer.Failed(context.WithoutCancel(leaseCtx), live.Commit, live.Digest, fmt.Sprintf("%s %s: revision %d", causes.SmokeFailed, causes.SmokeFailed.Cause().Name, live.Number))
	}
	target, err := r.Chart.LiveRollbackTarget(leaseCtx, r.deployment)
	failed.target = r.checkTarget(leaseCtx, target, err)
	for _, obstacle := range failed.target.Obstacles {
		r.Reporter.Warnf("%s %s", causes.RollbackBlocked, obstacle)
	}
	if failed.target.Revision == 0 {
		failure := &release.Failure{What: fmt.Sprintf("%s the smoke of revision %d failed, and no revision is known that it could be rolled back to", causes.RollbackBlocked, live.Number),
			Do: "deploy a commit that is known to be good"}
		if len(revisions) == 1 {
			return failed.firstInstallFailed(leaseCtx, failure)
		}
		return failed.result, failure
	}
	result, err := failed.rollback(leaseCtx, nil)
	if result.Outcome == release.RolledBack {
		const unchecked = "its answers were not checked again: run smoke"
		result.State += "; " + unchecked
		r.Reporter.Infof("%s", unchecked)
		if len(failed.target.Images) > 0 {
			r.announce(leaseCtx, failed.target.Commit, r.named(failed.target.Images))(result, nil)
		}
	}
	return result, err
}
