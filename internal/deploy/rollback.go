package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// checkRollback reports, before anything changes, how the time is split, and to which revision a failed rollout could be rolled
// back. It returns no target for a first install and if rollback is off.
func (r request) checkRollback(ctx context.Context, budget budget, revisions []release.Revision) release.RollbackTarget {
	r.Reporter.Infof("time: %s", budget)
	if r.settings.Rollback == rollbackOff {
		return release.RollbackTarget{}
	}
	if neverDeployed(revisions) {
		r.Reporter.Infof("first install: if it fails, it is %s", map[string]string{keepFailed: "kept for inspection", uninstallFailed: "uninstalled"}[r.settings.FailedInstall])
		return release.RollbackTarget{}
	}
	target := r.rollbackTarget(ctx)
	for _, obstacle := range target.Obstacles {
		r.Reporter.Warnf("%s a failed rollout could not be rolled back: %s", causes.RollbackBlocked, obstacle)
	}
	if live, found := liveRevision(revisions); found && live.Number != target.Revision && target.Revision > 0 && !(r.settings.GitOps.GitOps() && live.Digest == r.settings.Image.Digest) {
		r.Reporter.Warnf("a rollback would skip the live revision %d%s, and go to revision %d: revision %d %s", live.Number,
			prefixIfSet(", commit ", live.Commit.Short()), target.Revision, live.Number, whySkipped(live.Mark))
	}
	if len(target.Obstacles) == 0 {
		r.Reporter.Infof("if it fails, it is rolled back to revision %d%s%s", target.Revision, prefixIfSet(", commit ", target.Commit.Short()), meaning(target.Mark))
	}
	return target
}

// whySkipped returns the reason why a rollback skips a revision, as a predicate.
func whySkipped(mark release.Mark) string {
	switch mark {
	case release.MarkReady:
		return "became ready, but no smoke has proved it"
	case release.MarkFailed:
		return "failed its smoke"
	case release.MarkRolledBack:
		return "was rolled back deliberately"
	}
	return "was verified by no deploy"
}

// meaning returns the reason why a revision counts as verified.
func meaning(mark release.Mark) string {
	switch mark {
	case release.MarkReady:
		return " (ready, not smoked)"
	case release.MarkProved:
		return " (its smoke passed)"
	}
	return ""
}

// rollbackTarget asks Helm for the revision to roll back to, and the registry for that revision's image.
func (r request) rollbackTarget(ctx context.Context) release.RollbackTarget {
	target, err := r.Chart.RollbackTarget(ctx, r.deployment)
	return r.checkTarget(ctx, target, err)
}

// checkTarget adds an obstacle to a target whose image no longer exists, or that could not be determined.
func (r request) checkTarget(ctx context.Context, target release.RollbackTarget, err error) release.RollbackTarget {
	if err != nil {
		target.Obstacles = append(target.Obstacles, release.Obstacle{What: err.Error()})
	}
	if target.Revision == 0 {
		return target
	}
	for _, image := range target.Images {
		_, found, err := r.Registry.Describe(ctx, image)
		switch {
		case err != nil:
			target.Obstacles = append(target.Obstacles, release.Obstacle{What: fmt.Sprintf("cannot determine whether its image %s is still in the registry: %v", image, err)})
		case !found:
			target.Obstacles = append(target.Obstacles, release.Obstacle{What: fmt.Sprintf("its image %s is no longer in the registry", image), Forbids: true,
				Do: "build its commit again, which makes the same digest, or deploy a commit that is known to be good"})
		}
	}
	return target
}

// failedRollout is a rollout that failed, with what is needed to roll it back.
type failedRollout struct {
	request
	budget    budget
	revisions []release.Revision // before the deploy, newest first
	target    release.RollbackTarget
	applied   release.Deployed
	result    Result // so far
}

// handle explains the failure, and then rolls back. It does not roll back a run that was stopped, because the runner would kill
// it before the rollback could end. The error is the failure, joined with the rollback's own.
func (f failedRollout) handle(ctx, leaseCtx context.Context, failure error) (Result, error) {
	f.result = f.explain(f.result, failure)
	smokeFailed := errors.As(failure, new(*smokeFailedError))
	if smokeFailed {
		f.result.Code = causes.SmokeFailed
		f.markFailed(leaseCtx)
	}
	switch {
	case ctx.Err() != nil:
		return f.stoppedResult(f.partlyApplied(), failure)
	case leaseCtx.Err() != nil:
		f.result.State = "another run holds the release now"
		return f.result, errors.Join(failure, context.Cause(leaseCtx))
	case !release.IsBadRelease(failure) || f.applied.Revision == 0:
		return f.result, failure
	case f.applied.Outcome == release.Unchanged && !(smokeFailed && f.neverProved()):
		return f.result, failure
	case neverDeployed(f.revisions):
		return f.firstInstallFailed(leaseCtx, failure)
	case f.settings.Rollback == rollbackOff:
		return f.notRolledBack(fmt.Sprintf("revision %d stays as it is, because rollback is off", f.applied.Revision)), failure
	}
	return f.updateTarget(leaseCtx).rollback(leaseCtx, failure)
}

// updateTarget determines the rollback's target again where the deploy may have changed it. A deploy that changed nothing may have had the live
// revision as its target, which has failed its smoke by now. An obstacle may be gone: a deploy that failed early did not run the hook
// that forbids a rollback.
func (f failedRollout) updateTarget(ctx context.Context) failedRollout {
	unchanged := f.applied.Outcome == release.Unchanged
	if !unchanged && len(f.target.Obstacles) == 0 {
		return f
	}
	target, err := f.Chart.LiveRollbackTarget(ctx, f.deployment)
	if err != nil && !unchanged {
		return f // with the target that was found before the deploy
	}
	f.target = f.checkTarget(ctx, target, err)
	return f
}

// notRolledBack returns the result of a failed rollout that is not rolled back, with the state of the release.
func (f failedRollout) notRolledBack(state string) Result {
	f.result.State = state
	f.info(state)
	return f.result
}

// stoppedResult reports the state of the cluster and returns the result of a run that was stopped from outside.
func (f failedRollout) stoppedResult(state string, failure error) (Result, error) {
	f.result.State = state
	f.Reporter.Infof("stopped: %s", state)
	return f.result, &release.Failure{What: "the deploy was stopped: " + state, Err: failure}
}

// partlyApplied describes the state that a stopped run leaves.
func (f failedRollout) partlyApplied() string {
	switch {
	case f.applied.ConfigCommit != "":
		return f.describePushed(f.applied.ConfigCommit)
	case f.applied.Revision == 0:
		return "nothing was applied"
	case neverDeployed(f.revisions):
		return fmt.Sprintf("the first install is partly applied (%d objects) and marked as failed; the next deploy continues from it", len(f.applied.Objects))
	}
	return fmt.Sprintf("revision %d is partly applied and marked as failed, pods of revision %d may still serve; the next deploy continues from here",
		f.applied.Revision, f.revisions[0].Number)
}

// describePushed describes what becomes of a commit that was pushed to the configuration repository.
func (f failedRollout) describePushed(commit release.Commit) string {
	return fmt.Sprintf("commit %s stays on %s; Argo CD will apply it", commit.Short(), cmp.Or(prefixIfSet("branch ", f.settings.GitOps.ConfigBranch), "its branch"))
}

// firstInstallFailed keeps or uninstalls a release that has no earlier revision, as the settings say.
func (f failedRollout) firstInstallFailed(leaseCtx context.Context, failure error) (Result, error) {
	if f.settings.FailedInstall == keepFailed {
		return f.notRolledBack("the failed install is kept for inspection; the next deploy continues from it"), failure
	}
	ctx, cancel := context.WithTimeout(leaseCtx, max(markTime, f.budget.timeFor(release.PhaseRollback)))
	defer cancel()
	err := f.lease.Renew(ctx)
	if err == nil {
		err = f.Chart.Uninstall(ctx, f.settings.Release)
	}
	if err != nil {
		return f.result, errors.Join(failure, fmt.Errorf("uninstalling the failed install: %w", err))
	}
	return f.notRolledBack("the failed install was uninstalled"), failure
}

// rollbackImpossible returns the result of a failed rollout that is not rolled back, because there is no target or an obstacle
// forbids the rollback.
func (f failedRollout) rollbackImpossible(failure error) (Result, error) {
	what, do := "there is no verified revision to roll back to", causes.RollbackBlocked.Cause().Advice
	if len(f.target.Obstacles) > 0 {
		what = joinObstacles(f.target.Obstacles)
	}
	if obstacle, forbidden := f.target.Forbidding(); forbidden {
		do = obstacle.Do
	}
	result := f.notRolledBack(fmt.Sprintf("revision %d failed and stays as it is: %s", f.applied.Revision, what))
	return result, errors.Join(failure, &release.Failure{What: fmt.Sprintf("%s nothing was rolled back: %s", causes.RollbackBlocked, what), Do: do})
}

func joinObstacles(obstacles []release.Obstacle) string {
	var lines []string
	for _, obstacle := range obstacles {
		lines = append(lines, obstacle.What)
	}
	return strings.Join(lines, "; ")
}

// neverDeployed reports whether no revision was ever deployed, or none since the release was uninstalled with its history kept, or an uninstall of it was interrupted: the next
// one is still a first install.
func neverDeployed(revisions []release.Revision) bool {
	for _, revision := range revisions {
		switch {
		case revision.Status == "uninstalled", revision.Uninstalled:
			return true
		case revision.Status == "deployed", revision.Status == "superseded":
			return false
		}
	}
	return true
}

// rollback applies the verified revision again and watches it like any rollout, within the time reserved for it. It changes
// nothing if an obstacle forbids the rollback: an old revision on a database that it does not understand is worse than the failed
// one.
func (f failedRollout) rollback(leaseCtx context.Context, failure error) (Result, error) {
	if _, forbidden := f.target.Forbidding(); forbidden || f.target.Revision == 0 {
		return f.rollbackImpossible(failure)
	}
	budget := f.budget.forRollback()
	ctx, cancel := budget.withDeadline(leaseCtx, release.PhaseRollout)
	defer cancel()
	if err := f.lease.Renew(ctx); err != nil {
		return f.rollbackFailed(failure, err)
	}
	began := time.Now()
	end := f.Reporter.Group(fmt.Sprintf("rollback to revision %d", f.target.Revision))
	before := f.baseline(ctx, f.target.Namespaces...)
	before.Failed = true
	applied, err := f.Chart.Rollback(ctx, f.settings.Release, f.target.Revision, f.wait(budget, before))
	end()
	switch {
	case errors.Is(leaseCtx.Err(), context.Canceled) && errors.Is(context.Cause(leaseCtx), context.Canceled):
		state := fmt.Sprintf("revision %d failed, and the rollback from it to revision %d was stopped; the next deploy continues from here", f.applied.Revision, f.target.Revision)
		if applied.ConfigCommit != "" {
			state += "; " + f.describePushed(applied.ConfigCommit)
		}
		return f.stoppedResult(state, errors.Join(failure, err))
	case err != nil:
		return f.rollbackFailed(failure, err)
	}
	if err := f.Chart.Mark(ctx, f.settings.Release, applied.Revision, f.target.Mark); err != nil {
		f.Reporter.Warnf("revision %d is live, but could not be marked as %s: %v", applied.Revision, f.target.Mark, err)
	}
	f.result.Outcome, f.result.Revision, f.result.ConfigCommit = release.RolledBack, applied.Revision, applied.ConfigCommit
	f.result.Restored = &PastRevision{Revision: f.target.Revision, Commit: f.target.Commit, Digest: f.target.Digest, Mark: f.target.Mark}
	var running []runningImage
	running, f.result.Pods, f.result.Digest = f.podsAfterRollback(ctx)
	f.recordRolledBack(leaseCtx, applied.Revision, running)
	return f.notRolledBack(fmt.Sprintf("rolled back to revision %d%s%s as revision %d, ready after %.1f s", f.target.Revision, prefixIfSet(", commit ", f.target.Commit.Short()),
		prefixIfSet(", digest ", f.target.Digest.Short()), applied.Revision, time.Since(began).Seconds())), failure
}

// runningImage is an image with the number of pods that run it.
type runningImage struct {
	image release.Image
	pods  int
}

// podsAfterRollback lists the pods that run the target's images, as the kubelets report it. The digest is that of the main image, zero if any
// pod runs an unexpected image; then no image counts as running.
func (f failedRollout) podsAfterRollback(ctx context.Context) (images []runningImage, pods []string, main release.Digest) {
	var problems []string
	for _, image := range f.target.Images {
		running, err := f.Cluster.Running(ctx, f.settings.Namespace, f.settings.Release, image)
		var proof release.RunningProof
		if err == nil {
			proof, err = running.Prove(ctx, image, contents{f.Registry, f.Cluster})
		}
		if err != nil {
			f.Reporter.Warnf("cannot determine what the pods run after the rollback: %v", err)
			return nil, nil, release.Digest{}
		}
		pods, problems = append(pods, proof.Pods...), append(problems, proof.Problems...)
		images = append(images, runningImage{image, len(proof.Pods)})
	}
	for _, problem := range problems {
		f.Reporter.Warnf("after the rollback: %s", problem)
	}
	slices.Sort(pods)
	pods = slices.Compact(pods)
	if len(pods) == 0 || len(problems) > 0 {
		return nil, pods, release.Digest{}
	}
	return images, pods, f.target.Digest
}

// recordRolledBack attaches to each image that pods run since the rollback the record that its environment runs it again. A failure to record is a
// warning: the error of the run is why it was rolled back.
func (f failedRollout) recordRolledBack(leaseCtx context.Context, revision int, running []runningImage) {
	if f.Facts == nil {
		return
	}
	ctx, cancel := context.WithTimeout(leaseCtx, markTime)
	defer cancel()
	for _, each := range running {
		if each.pods == 0 {
			continue
		}
		described, _, err := f.Registry.Describe(ctx, each.image)
		if err == nil {
			commit, _ := release.ParseCommit(described.Revision) // "" of an image without a label
			_, _, err = f.Facts.RecordFact(ctx, fact.Fact{Kind: fact.Deployed, Image: each.image, Commit: commit, Environment: f.settings.Environment,
				By: f.Origin.By, Run: f.Origin.Run, At: time.Now().UTC(),
				Deployment: &fact.Deployment{Cluster: f.Target.Cluster, Server: f.Target.Server, Namespace: f.settings.Namespace, Release: f.settings.Release, Revision: revision, Pods: each.pods, RolledBackTo: f.target.Revision}})
		}
		if err != nil {
			f.Reporter.Warnf("%q runs %s again, which could not be recorded: %v; history shows what was deployed before", f.settings.Environment, each.image.Digest, err)
			continue
		}
		f.Reporter.Infof("recorded that %q runs %s again", f.settings.Environment, each.image.Digest)
	}
}

// rollbackFailed returns both errors, together with the obstacles that were known before the rollback.
func (f failedRollout) rollbackFailed(failure, err error) (Result, error) {
	f.result.State = fmt.Sprintf("revision %d failed and could not be rolled back", f.applied.Revision)
	for _, obstacle := range f.target.Obstacles {
		err = fmt.Errorf("%w (%s %s)", err, causes.RollbackBlocked, obstacle)
	}
	if f.target.Revision > 0 {
		f.result = f.explain(f.result, err)
	}
	return f.result, errors.Join(failure, &release.Failure{What: fmt.Sprintf("%s the rollback failed too", causes.RollbackFailed), Err: err,
		Do: causes.RollbackFailed.Cause().Advice})
}
