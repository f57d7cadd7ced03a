package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// order is how the commit to deploy relates to what the release ran before.
type order struct {
	revisions    []release.Revision // newest first
	supersededBy *release.Revision  // the live revision, if its commit descends from the one to deploy; nil if not
	goingBack    bool               // an older commit is deployed deliberately
}

// checkOrder refuses to deploy past a pin, and finds out whether the live commit is newer than the one to deploy. Where git
// cannot answer it warns and goes on.
func (r request) checkOrder(leaseCtx context.Context, lease release.Lease) (order, error) {
	revisions, err := r.Chart.History(leaseCtx, r.settings.Release)
	if err != nil {
		return order{}, err
	}
	o := order{revisions: revisions}
	if err := r.checkPin(leaseCtx, lease); err != nil {
		return o, err
	}
	live, found := liveRevision(revisions)
	if !found || live.Commit == "" || r.deployment.Commit == "" || live.Commit == r.deployment.Commit {
		return o, nil
	}
	newer, err := r.Ancestry.IsAncestor(leaseCtx, r.deployment.Commit, live.Commit)
	switch {
	case err != nil && leaseCtx.Err() != nil:
		return o, context.Cause(leaseCtx)
	case err != nil:
		r.Reporter.Warnf("cannot tell whether commit %s is older than the live %s: %v; check out the full history (fetch-depth: 0)",
			r.deployment.Commit.Short(), live.Commit.Short(), err)
		o.goingBack = r.settings.AllowRollback
	case newer && r.settings.AllowRollback:
		r.Reporter.Infof("deploying an older commit, as --allow-rollback allows: from %s to its ancestor %s", live.Commit.Short(), r.deployment.Commit.Short())
		o.goingBack = true
	case newer:
		o.supersededBy = &live
	}
	return o, nil
}

// supersededResult is the result of a deploy that did nothing because the live commit is newer.
func (r request) supersededResult(result Result, live release.Revision) Result {
	result.Outcome, result.Revision, result.NewerRun = release.Superseded, live.Number, live.RunURL
	result.State = fmt.Sprintf("runs commit %s, a descendant of %s%s", live.Commit.Short(), r.deployment.Commit.Short(), prefixIfSet(", deployed by ", live.RunURL))
	r.Reporter.Infof("superseded: release %q in namespace %q %s; nothing was changed (--allow-rollback deploys the older commit)",
		r.settings.Release, r.settings.Namespace, result.State)
	return result
}

// liveRevision is the newest revision that Helm calls deployed.
func liveRevision(revisions []release.Revision) (release.Revision, bool) {
	for _, revision := range revisions {
		if revision.Status == "deployed" {
			return revision, true
		}
	}
	return release.Revision{}, false
}

// checkPin refuses any commit but the one that a deliberate rollback pinned, and removes the pin if asked to.
func (r request) checkPin(leaseCtx context.Context, lease release.Lease) error {
	pin, found := lease.Pin()
	switch {
	case !found:
		return nil
	case r.settings.Unpin:
		r.Reporter.Infof("unpinned: the release was pinned at commit %s", pin.Commit.Short())
		return lease.SetPin(leaseCtx, nil)
	case r.settings.AllowRollback, pin.Commit == r.deployment.Commit:
		return nil
	}
	return &release.Refusal{
		Why: fmt.Sprintf("%s release %q in namespace %q is pinned at commit %s since %s%s%s", causes.ReleasePinned, r.settings.Release, r.settings.Namespace,
			pin.Commit.Short(), pin.At.UTC().Format(time.RFC3339), prefixIfSet(" by ", pin.Actor), prefixIfSet(" in ", pin.RunURL)),
		Do: "give --unpin to remove the pin, or --allow-rollback to deploy another commit and pin that",
	}
}
