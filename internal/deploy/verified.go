package deploy

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// markVerified marks the revision that was rolled out as a possible target of a rollback: as proved if its smoke checks passed,
// otherwise as ready. It does not mark a revision whose main image no pod runs. If an older commit was deployed deliberately, it also marks
// the revisions that the deploy went back from.
func (r request) markVerified(leaseCtx context.Context, rolledOut rolloutResult, order order) error {
	ctx, cancel := context.WithTimeout(leaseCtx, markTime)
	defer cancel()
	mark := release.MarkReady
	if r.settings.SmokeChecks != "" {
		mark = release.MarkProved
	}
	if !rolledOut.unproved {
		if err := r.Chart.Mark(ctx, r.settings.Release, rolledOut.applied.Revision, mark); err != nil {
			return err
		}
	}
	if order.deliberateRollback {
		r.markRevisionsRolledBack(ctx, rolledOut.applied.Revision, order.revisions)
	}
	return nil
}

// changePin sets, moves or removes the release's pin, as the deploy's order says.
func (r request) changePin(leaseCtx context.Context, lease release.Lease, order order) error {
	ctx, cancel := context.WithTimeout(leaseCtx, markTime)
	defer cancel()
	if order.unpins != nil {
		r.Reporter.Infof("unpinned: the release was pinned at commit %s", order.unpins.Commit.Short())
		return lease.SetPin(ctx, nil)
	}
	if !order.pins {
		return nil
	}
	r.Reporter.Infof("pinned at commit %s: other commits are refused until --unpin", r.deployment.Commit.Short())
	return lease.SetPin(ctx, &release.Pin{Commit: r.deployment.Commit, RunURL: r.Holder.URL, Actor: r.Holder.Actor, At: time.Now().UTC()})
}

// markRevisionsRolledBack marks the verified revisions that this deploy deliberately replaces by an older commit, so that no later rollback returns to
// one of them.
func (r request) markRevisionsRolledBack(ctx context.Context, live int, revisions []release.Revision) {
	for _, revision := range replacedBy(revisions, live, r.deployment.Commit, r.settings.Image.Digest) {
		if !revision.Mark.Verified() {
			continue
		}
		if err := r.Chart.Mark(ctx, r.settings.Release, revision.Number, release.MarkRolledBack); err != nil {
			r.Reporter.Warnf("revision %d, from which this deploy went back, could not be marked: %v; a rollback may go to it", revision.Number, err)
		}
	}
}

// replacedBy returns the revisions, newest first, that a deliberate deploy of an older commit replaces: all that are newer than the last one that ran the
// commit. Several commits may have one image, so that the image tells only where a revision names no commit, or none is of the commit: then it is the last one
// with the image that is not of the commit that is left. live is the number of the revision that is live now.
func replacedBy(revisions []release.Revision, live int, commit release.Commit, image release.Digest) []release.Revision {
	ran := func(revision release.Revision) bool {
		return (revision.Status == "deployed" || revision.Status == "superseded") && revision.Mark != release.MarkFailed
	}
	end := slices.IndexFunc(revisions, func(revision release.Revision) bool {
		return revision.Number == live || ran(revision) && (revision.Commit == commit || revision.Commit == "" && revision.Digest == image)
	})
	if end < 0 {
		left, _ := liveRevision(revisions)
		end = slices.IndexFunc(revisions, func(revision release.Revision) bool {
			return ran(revision) && revision.Digest == image && revision.Commit != left.Commit
		})
	}
	if end < 0 {
		return revisions
	}
	return revisions[:end]
}

// markFailed marks a revision whose smoke failed, so that no later rollback goes to it. The rollback of this deploy may fail, or
// be off.
func (f failedRollout) markFailed(leaseCtx context.Context) {
	ctx, cancel := context.WithTimeout(leaseCtx, markTime)
	defer cancel()
	if err := f.Chart.Mark(ctx, f.settings.Release, f.applied.Revision, release.MarkFailed); err != nil {
		f.Reporter.Warnf("the smoke of revision %d failed, but it could not be marked: %v", f.applied.Revision, err)
	}
}

// neverProved reports whether no smoke had proved the live revision before this deploy. A revision that was proved gave right
// answers once: its failure now has another cause than the release, and a rollback would not help.
func (f failedRollout) neverProved() bool {
	live, found := liveRevision(f.revisions)
	return found && live.Mark != release.MarkProved
}

// recordDeployed attaches to each image that pods run a record of where, and with which chart and values, it was deployed.
func (r request) recordDeployed(leaseCtx context.Context, result Result) error {
	if r.Facts == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(leaseCtx, markTime)
	defer cancel()
	deployment := fact.Deployment{Cluster: r.Target.Cluster, Server: r.Target.Server, Namespace: r.settings.Namespace, Release: r.settings.Release, Revision: result.Revision,
		Chart: r.chart.Source, ChartDigest: r.chart.Digest, ValuesDigest: r.values, Set: r.settings.allPathsSet(), Source: r.checkedOut}
	for i, image := range result.Images {
		if len(image.Pods) == 0 {
			r.Reporter.Infof("no pod runs %s: its deployment is not recorded", image.Image.Digest.Short())
			continue
		}
		own := deployment
		own.Pods = len(image.Pods)
		record, created, err := r.Facts.RecordFact(ctx, fact.Fact{Kind: fact.Deployed, Image: image.Image, Commit: image.Commit, Environment: r.settings.Environment,
			By: r.Origin.By, Run: r.Origin.Run, At: time.Now().UTC(), Deployment: &own})
		if err != nil {
			return err
		}
		if result.Images[i].Record = record; created {
			r.Reporter.Infof("recorded that %q runs %s", r.settings.Environment, image.Image.Digest)
		}
	}
	return nil
}

// pathsSet returns the paths of the values that set and set-json set, sorted and without the values, which may be secret.
func (s Settings) pathsSet() (paths []string) {
	for _, assigned := range slices.Concat(s.Set, s.SetJSON) {
		path, _, _ := strings.Cut(assigned, "=")
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// pathsStored returns the paths of the values that stores of secrets have, sorted.
func (s Settings) pathsStored() (paths []string) {
	for _, secret := range s.SecretValues {
		if secret.Reference.Store != release.SOPSFile { // a file of the work tree
			paths = append(paths, secret.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// allPathsSet returns the paths of all values that are set one by one, sorted.
func (s Settings) allPathsSet() []string {
	paths := s.pathsSet()
	for _, secret := range s.SecretValues {
		paths = append(paths, secret.Path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
