package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// foresee says before anything changes whether a failure could be undone.
func (d *deploy) foresee(held context.Context) {
	d.Reporter.Infof("time: %s", d.budget)
	if d.settings.Rollback == rollbackOff {
		return
	}
	if len(d.revisions) == 0 {
		d.Reporter.Infof("first install: if it fails, it is %s", map[string]string{keepFailed: "kept for inspection", uninstallFailed: "uninstalled"}[d.settings.FailedInstall])
		return
	}
	way, err := d.Chart.RollbackTarget(held, d.deployment)
	if err != nil {
		way.Obstacles = append(way.Obstacles, err.Error())
	}
	if way.Revision > 0 && way.Image.Digest != (release.Digest{}) {
		_, found, err := d.Registry.Describe(held, way.Image)
		switch {
		case err != nil:
			way.Obstacles = append(way.Obstacles, fmt.Sprintf("whether its image %s is still in the registry cannot be told: %v", way.Image, err))
		case !found:
			way.Obstacles = append(way.Obstacles, fmt.Sprintf("its image %s is gone from the registry", way.Image))
		}
	}
	d.way = way
	for _, obstacle := range way.Obstacles {
		d.Reporter.Warnf("%s a failure could not be undone: %s", causes.RollbackBlocked, obstacle)
	}
	if serves, found := live(d.revisions); found && !serves.Verified && serves.Number != way.Revision && way.Revision > 0 {
		d.Reporter.Warnf("revision %d serves%s, and no deploy has verified it: a failure would go back past it, to revision %d", serves.Number,
			after(", commit ", serves.Commit.Short()), way.Revision)
	}
	if len(way.Obstacles) == 0 {
		d.Reporter.Infof("if it fails, it goes back to revision %d%s", way.Revision, after(", commit ", way.Commit.Short()))
	}
}

// undo explains a failure and then puts the release back to where it was good. A run that was stopped undoes nothing: the
// time that a runner gives it is too short.
func (d *deploy) undo(ctx, held context.Context, failure error) (Result, error) {
	d.tell(failure)
	if smoke := new(smokeFailed); errors.As(failure, &smoke) {
		d.done.Code = causes.SmokeFailed
	}
	switch {
	case ctx.Err() != nil:
		return d.stopped(d.interrupted(), failure)
	case held.Err() != nil:
		d.done.State = "another run has the release now"
		return d.result(), errors.Join(failure, context.Cause(held))
	case !undone(failure) || d.applied.Revision == 0 || d.applied.Outcome == release.Unchanged:
		return d.result(), failure
	case len(d.revisions) == 0:
		return d.firstFailed(held, failure)
	case d.settings.Rollback == rollbackOff:
		d.done.State = fmt.Sprintf("revision %d stays as it is, because rollback is off", d.applied.Revision)
		d.Reporter.Infof("%s", d.done.State)
		return d.result(), failure
	}
	return d.goBack(held, failure)
}

// undone tells whether a failure is one that going back mends: a rollout, a hook or a smoke that failed. A load balancer that
// is late, or a service that could not be asked, says nothing against the release.
func undone(failure error) bool {
	var diagnosed release.Diagnosed
	if errors.As(failure, &diagnosed) {
		return diagnosed.Diagnosis().Code != causes.NoAddress
	}
	var smoke *smokeFailed
	var failed *release.Failure
	return errors.As(failure, &smoke) || errors.As(failure, &failed)
}

// stopped is a run that somebody ended; it says what state the cluster is in.
func (d *deploy) stopped(state string, failure error) (Result, error) {
	d.done.State = state
	d.Reporter.Infof("stopped: %s", state)
	return d.result(), &release.Failure{What: "stopped on the way: " + state, Err: failure}
}

func (d *deploy) interrupted() string {
	switch {
	case d.applied.Revision == 0:
		return "nothing was applied"
	case len(d.revisions) == 0:
		return fmt.Sprintf("the first revision is there in part and marked as failed; the next deploy goes on from it (%d objects)", len(d.applied.Objects))
	}
	return fmt.Sprintf("revision %d is there in part and marked as failed, pods of revision %d may still serve; the next deploy goes on from here",
		d.applied.Revision, d.revisions[0].Number)
}

func (d *deploy) firstFailed(held context.Context, failure error) (Result, error) {
	if d.settings.FailedInstall == keepFailed {
		d.done.State = "the failed install stays for inspection; the next deploy goes on from it"
		d.Reporter.Infof("%s", d.done.State)
		return d.result(), failure
	}
	ctx, cancel := context.WithTimeout(held, max(settleTime, d.budget.of(release.PhaseRollback)))
	defer cancel()
	if err := d.Chart.Uninstall(ctx, d.settings.Release); err != nil {
		return d.result(), errors.Join(failure, fmt.Errorf("uninstalling the failed install: %w", err))
	}
	d.done.State = "the failed install is uninstalled"
	d.Reporter.Infof("%s", d.done.State)
	return d.result(), failure
}

// goBack rolls back to the verified revision and watches it like any rollout, on time that was kept for it.
func (d *deploy) goBack(held context.Context, failure error) (Result, error) {
	if d.way.Revision == 0 {
		return d.stuck(failure, errors.New("there is no verified revision to go back to"))
	}
	budget := d.budget.back()
	ctx, cancel := budget.until(held, release.PhaseRollout)
	defer cancel()
	began := time.Now()
	end := d.Reporter.Group(fmt.Sprintf("rollback to revision %d", d.way.Revision))
	back, err := d.Chart.Rollback(ctx, d.settings.Release, d.way.Revision, d.waiting(budget))
	end()
	switch {
	case errors.Is(held.Err(), context.Canceled) && errors.Is(context.Cause(held), context.Canceled):
		return d.stopped(fmt.Sprintf("revision %d failed, and going back from it to revision %d was stopped; the next deploy goes on from here",
			d.applied.Revision, d.way.Revision), errors.Join(failure, err))
	case err != nil:
		return d.stuck(failure, err)
	}
	if err := d.Chart.MarkVerified(ctx, d.settings.Release, back.Revision); err != nil {
		d.Reporter.Warnf("revision %d runs, and could not be marked as verified: %v", back.Revision, err)
	}
	d.done.Outcome, d.done.Revision = release.RolledBack, back.Revision
	d.runsAgain(ctx)
	d.done.State = fmt.Sprintf("rolled back to revision %d%s%s as revision %d, ready after %.1f s", d.way.Revision,
		after(", commit ", d.way.Commit.Short()), after(", digest ", d.way.Digest.Short()), back.Revision, time.Since(began).Seconds())
	d.Reporter.Infof("%s", d.done.State)
	return d.result(), failure
}

// runsAgain says what the pods run after going back, as the kubelet reports it.
func (d *deploy) runsAgain(ctx context.Context) {
	d.done.Pods, d.done.Digest = nil, release.Digest{}
	if d.way.Digest == (release.Digest{}) {
		return
	}
	images, err := d.Cluster.Images(ctx, d.settings.Namespace, d.settings.Release)
	if err != nil {
		d.Reporter.Warnf("what the pods run after going back was not seen: %v", err)
		return
	}
	pods, others := release.SplitByDigest(images, d.way.Digest)
	for _, other := range others {
		d.Reporter.Warnf("pod %q runs %s, not %s", other.Pod, other.Digest, d.way.Digest)
	}
	if d.done.Pods = pods; len(pods) > 0 && len(others) == 0 {
		d.done.Digest = d.way.Digest
	}
}

// stuck tells both errors, and again what was known to be in the way.
func (d *deploy) stuck(failure, err error) (Result, error) {
	d.done.State = fmt.Sprintf("revision %d failed and could not be rolled back", d.applied.Revision)
	for _, obstacle := range d.way.Obstacles {
		err = fmt.Errorf("%w (%s %s)", err, causes.RollbackBlocked, obstacle)
	}
	back := &release.Failure{What: fmt.Sprintf("%s going back failed too", causes.RollbackFailed), Err: err, Do: causes.RollbackFailed.Cause().Advice}
	if d.way.Revision > 0 {
		d.tell(err)
	}
	return d.result(), errors.Join(failure, back)
}

// tell shows the evidence of a failed rollout before anything else happens to it: events and log lines are outsiders' text.
func (d *deploy) tell(err error) {
	var diagnosed release.Diagnosed
	if !errors.As(err, &diagnosed) {
		return
	}
	diagnosis := diagnosed.Diagnosis()
	if d.done.Diagnosis == nil {
		d.done.Diagnosis, d.done.Code = &diagnosis, diagnosis.Code
	}
	d.Reporter.Infof("%s %s %s: %s %s", diagnosis.Code, diagnosis.Object, diagnosis.Container, diagnosis.Reason, diagnosis.Message)
	show := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		d.Reporter.Infof("%s:", title)
		for _, line := range lines {
			d.Reporter.Raw(line)
		}
	}
	show("last events", diagnosis.Events)
	show(fmt.Sprintf("last lines of %q", diagnosis.Container), diagnosis.Logs)
	show(fmt.Sprintf("last lines of %q's run before", diagnosis.Container), diagnosis.Previous)
	if diagnosis.Advice != "" {
		d.Reporter.Infof("try: %s", diagnosis.Advice)
	}
}
