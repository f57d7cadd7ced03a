package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// releaseTime bounds giving a Lease back.
const releaseTime = 2 * time.Second

// hold takes the release's Lease, mends what a dead run left, and reads what is live. The time spent on waiting is this
// run's own. What it returns gives the Lease back.
func (d *deploy) hold(ctx context.Context, patience time.Duration) (held context.Context, giveBack func(), err error) {
	if d.settings.CreateNamespace {
		if err := d.Cluster.CreateNamespace(ctx, d.settings.Namespace, d.settings.Environment); err != nil {
			return nil, nil, err
		}
	}
	waiting, stop := context.WithTimeout(ctx, patience)
	lease, err := d.Cluster.AcquireLease(waiting, d.holding(), func(line string) { d.Reporter.Infof("%s", line) })
	stop()
	if err != nil {
		return nil, nil, err
	}
	d.lease = lease
	held, cancel := lease.Context(ctx)
	giveBack = func() {
		cancel()
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer stop()
		if err := lease.Release(ctx); err != nil {
			d.Reporter.Warnf("the Lease of release %q was not given back; it ends by itself after %s: %v", d.settings.Release, d.settings.LeaseDuration, err)
		}
	}
	if err := d.mend(held); err != nil {
		giveBack()
		return nil, nil, err
	}
	return held, giveBack, nil
}

func (d *deploy) holding() release.LeaseRequest {
	return release.LeaseRequest{Release: d.settings.Release, Namespace: d.settings.Namespace, Holder: d.Holder, Duration: d.settings.LeaseDuration}
}

// mend heals the release and tells of whose remains these were.
func (d *deploy) mend(held context.Context) error {
	healed, err := d.Chart.Heal(held, d.settings.Release, func(line string) { d.Reporter.Infof("%s", line) })
	if err != nil || healed == nil {
		return err
	}
	d.done.Healed = healed
	by := healed.RunURL
	if before, found := d.lease.Previous(); by == "" && found {
		by = before.URL
	}
	d.Reporter.Warnf("healed: revision %d was left %s at %s%s; it is marked as failed now", healed.Revision, healed.Status,
		healed.At.UTC().Format(time.RFC3339), after(" by ", by))
	return nil
}

func after(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

// heal only puts the release in order, for a step that runs whatever happened before. A release that another live run holds
// is that run's.
func (d *deploy) heal(ctx context.Context) (Result, error) {
	err := d.Cluster.Check(ctx, d.settings.Namespace, false)
	var absent *release.InputError
	if errors.As(err, &absent) {
		d.done.Outcome, d.done.State = release.Unchanged, "there is nothing to put in order: "+err.Error()
		d.Reporter.Infof("%s", d.done.State)
		return d.result(), nil
	}
	if err != nil {
		return d.result(), err
	}
	ctx, cancel := context.WithTimeout(ctx, d.settings.Timeout)
	defer cancel()
	_, giveBack, err := d.hold(ctx, 2*d.settings.LeaseDuration+releaseTime)
	if heldElsewhere(ctx, err) {
		d.Reporter.Infof("%v", err)
		d.done.Outcome, d.done.State = release.Unchanged, "held by a live run, which will see to it"
		return d.result(), nil
	}
	if err != nil {
		return d.result(), err
	}
	giveBack()
	d.done.Outcome, d.done.State = release.Unchanged, "nothing was pending"
	if d.done.Healed != nil {
		d.done.Outcome, d.done.State = release.OutcomeHealed, "no revision is pending any more; the next deploy goes on"
	}
	d.Reporter.Infof("release %q in namespace %q: %s", d.settings.Release, d.settings.Namespace, d.done.State)
	return d.result(), nil
}

func heldElsewhere(ctx context.Context, err error) bool {
	var failure *release.Failure
	return ctx.Err() == nil && errors.As(err, &failure)
}

// order keeps time's arrow: what is live and grew from what is to be deployed stays, and so does what is pinned.
func (d *deploy) order(held context.Context) (superseded bool, err error) {
	if d.revisions, err = d.Chart.History(held, d.settings.Release); err != nil {
		return false, err
	}
	if err := d.pinned(held); err != nil {
		return false, err
	}
	live, found := live(d.revisions)
	if !found || live.Commit == "" || d.deployment.Commit == "" || live.Commit == d.deployment.Commit {
		return false, nil
	}
	newer, err := d.Ancestry.IsAncestor(held, d.deployment.Commit, live.Commit)
	switch {
	case err != nil && held.Err() != nil:
		return false, context.Cause(held)
	case err != nil:
		d.Reporter.Warnf("whether commit %s is older than the live %s cannot be told: %v; check out the whole history (fetch-depth: 0)",
			d.deployment.Commit.Short(), live.Commit.Short(), err)
		d.backwards = d.settings.AllowRollback
		return false, nil
	case !newer:
		return false, nil
	case d.settings.AllowRollback:
		d.backwards = true
		d.Reporter.Infof("going back deliberately: from commit %s to its ancestor %s", live.Commit.Short(), d.deployment.Commit.Short())
		return false, nil
	}
	d.done.Outcome, d.done.Revision, d.done.NewerRun = release.Superseded, live.Number, live.RunURL
	d.done.State = fmt.Sprintf("runs commit %s, which grew from %s%s", live.Commit.Short(), d.deployment.Commit.Short(), after(", deployed by ", live.RunURL))
	d.Reporter.Infof("superseded: release %q in namespace %q %s; nothing was changed (--allow-rollback goes back)", d.settings.Release, d.settings.Namespace, d.done.State)
	return true, nil
}

// live is the newest revision that Helm calls deployed.
func live(revisions []release.Revision) (release.Revision, bool) {
	for _, revision := range revisions {
		if revision.Status == "deployed" {
			return revision, true
		}
	}
	return release.Revision{}, false
}

// pinned refuses any other commit than the one that a deliberate rollback pinned.
func (d *deploy) pinned(held context.Context) error {
	pin, found := d.lease.Pin()
	switch {
	case !found:
		return nil
	case d.settings.Unpin:
		d.Reporter.Infof("unpinned: the release had been pinned at commit %s", pin.Commit.Short())
		return d.lease.SetPin(held, nil)
	case d.settings.AllowRollback, pin.Commit == d.deployment.Commit:
		return nil
	}
	return &release.Refusal{
		Why: fmt.Sprintf("%s release %q in namespace %q is pinned at commit %s since %s%s%s", causes.ReleasePinned, d.settings.Release, d.settings.Namespace,
			pin.Commit.Short(), pin.At.UTC().Format(time.RFC3339), after(" by ", pin.Actor), after(" in ", pin.RunURL)),
		Do: "give --unpin to lift it, or --allow-rollback to go to another commit and stay there",
	}
}
