package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// order is the relation between the commit to deploy and what the release ran before.
type order struct {
	revisions          []release.Revision // newest first
	supersededBy       *release.Revision  // the live revision, if its commit descends from the one to deploy; nil if not
	deliberateRollback bool               // a commit that does not descend from the live one is deployed deliberately: the revisions that it replaces are marked, so that no rollback returns to them
	pins               bool               // the release is pinned at the commit once it is deployed
	unpins             *release.Pin       // the pin that is removed once the commit is deployed; nil if none is
}

// checkOrder compares the live commit with the one to deploy. A live commit that descends from it sets supersededBy, unless the settings allow the rollback. A live commit that it does not descend
// from, and one whose order is unknown, is refused unless the settings allow it.
func (r request) checkOrder(ctx context.Context) (order, error) {
	revisions, err := r.Chart.History(ctx, r.settings.Release)
	if err != nil {
		return order{}, err
	}
	o := order{revisions: revisions}
	live, found := liveRevision(revisions)
	if found && live.Commit == "" {
		live.Commit = r.commitOfImages(ctx, live)
	}
	if found && r.commitUnknown != nil {
		unknown, err := r.orderUnknown(o, live, r.commitUnknown)
		unknown.deliberateRollback = false // the deployed commit is a guess, so no revision may be marked as replaced by it
		return unknown, err
	}
	if !found || live.Commit == r.deployment.Commit {
		return o, nil
	}
	if live.Commit == "" {
		r.Reporter.Warnf("the live revision %d names no commit: whether %s is newer is not checked", live.Number, r.deployment.Commit.Short())
		return o, nil
	}
	comparison, err := r.compareCommits(ctx, live.Commit)
	if err != nil && ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	if err != nil {
		return r.orderUnknown(o, live, err)
	}
	switch comparison.Relation {
	case release.RelationSame, release.RelationAhead:
	case release.RelationBehind:
		if !r.settings.AllowRollback {
			o.supersededBy = &live
			return o, nil
		}
		r.Reporter.Infof("deploying an older commit, as --allow-rollback allows: from %s to its ancestor %s", live.Commit.Short(), r.deployment.Commit.Short())
		o.deliberateRollback = true
	case release.RelationDiverged:
		return r.diverged(o, live, comparison)
	default:
		return r.orderUnknown(o, live, fmt.Errorf("it is %q", comparison.Relation))
	}
	return o, nil
}

// commitOfImages returns the commit of the live revision's image, if another tool made the revision, which names none: the label of an image of the main
// image's repository. It returns "" if there is no such image, or the registry does not have it or does not answer.
func (r request) commitOfImages(ctx context.Context, live release.Revision) release.Commit {
	for _, reference := range live.References {
		repository, rest := release.SplitReference(reference)
		if repository != r.settings.Image.Repository.String() {
			continue
		}
		tag, text, hasDigest := strings.Cut(rest, "@")
		var info release.ImageInfo
		digest, err := release.ParseDigest(text)
		switch {
		case hasDigest && err == nil:
			info, _, err = r.Registry.Describe(ctx, r.settings.Image.Repository.At(digest))
		case !hasDigest:
			info, _, err = r.Registry.Find(ctx, r.settings.Image.Repository, release.Tag(strings.TrimPrefix(tag, ":")))
		}
		if err != nil {
			r.Reporter.Warnf("cannot read the commit of %s, which the live revision %d runs: %v", reference, live.Number, err)
			continue
		}
		if commit, err := release.ParseCommit(info.Revision); err == nil {
			r.Reporter.Infof("another tool deployed the live revision %d: its image is labelled with commit %s", live.Number, commit.Short())
			return commit
		}
	}
	return ""
}

// compareCommits compares the live commit with the one to deploy.
func (r request) compareCommits(ctx context.Context, live release.Commit) (release.Comparison, error) {
	if r.deployment.Commit == "" {
		return release.Comparison{}, fmt.Errorf("the image names no commit (annotation or label %s); give --commit", release.AnnotationRevision)
	}
	return r.Commits.Compare(ctx, live, r.deployment.Commit)
}

// orderUnknown refuses a commit if it cannot be determined whether it is newer than the live one.
func (r request) orderUnknown(o order, live release.Revision, err error) (order, error) {
	if r.settings.AllowDiverged || r.settings.AllowRollback {
		r.Reporter.Warnf("cannot determine whether commit %s is newer than the live %s: %v", commitOrNone(r.deployment.Commit), live.Commit.Short(), err)
		o.deliberateRollback = r.settings.AllowRollback && r.deployment.Commit != ""
		return o, nil
	}
	return o, &release.Refusal{
		Why: fmt.Sprintf("%s cannot determine whether commit %s is newer than %s, which release %q in namespace %q runs: %v", causes.OrderUnknown,
			commitOrNone(r.deployment.Commit), live.Commit.Short(), r.settings.Release, r.settings.Namespace, err),
		Do: causes.OrderUnknown.Cause().Advice,
	}
}

// diverged refuses a commit that lacks commits of the live one, unless the settings allow it.
func (r request) diverged(o order, live release.Revision, comparison release.Comparison) (order, error) {
	if r.settings.AllowDiverged {
		r.Reporter.Warnf("replacing commit %s by %s, as --allow-diverged allows, loses %s: %s", live.Commit.Short(), r.deployment.Commit.Short(),
			countCommits(comparison.LostCount), comparison.DescribeLost())
		o.deliberateRollback = r.settings.AllowRollback
		return o, nil
	}
	return o, &release.Refusal{
		Why: fmt.Sprintf("%s release %q in namespace %q runs commit %s%s, and commit %s does not descend from it: %s would be lost (%s)", causes.CommitsLost,
			r.settings.Release, r.settings.Namespace, live.Commit.Short(), prefixIfSet(", deployed by ", live.RunURL), r.deployment.Commit.Short(),
			countCommits(comparison.LostCount), comparison.DescribeLost()),
		Do: causes.CommitsLost.Cause().Advice,
	}
}

func countCommits(n int) string {
	if n == 1 {
		return "1 commit"
	}
	return fmt.Sprintf("%d commits", n)
}

func commitOrNone(commit release.Commit) string {
	if commit == "" {
		return "(none)"
	}
	return commit.Short()
}

// supersededResult returns the result of a deploy that did nothing because the live commit is newer.
func (r request) supersededResult(result Result, live release.Revision) Result {
	result.Outcome, result.Revision, result.NewerRun = release.Superseded, live.Number, live.RunURL
	result.State = r.describeSuperseded(live)
	r.Reporter.Infof("superseded: release %q in namespace %q %s; nothing was changed (--allow-rollback deploys the older commit)",
		r.settings.Release, r.settings.Namespace, result.State)
	return result
}

func (r request) describeSuperseded(live release.Revision) string {
	return fmt.Sprintf("runs commit %s, a descendant of %s%s", live.Commit.Short(), r.deployment.Commit.Short(), prefixIfSet(", deployed by ", live.RunURL))
}

// liveRevision returns the newest revision with Helm's status deployed.
func liveRevision(revisions []release.Revision) (release.Revision, bool) {
	for _, revision := range revisions {
		if revision.Status == "deployed" {
			return revision, true
		}
	}
	return release.Revision{}, false
}

// checkPin refuses any commit but the one that a deliberate rollback pinned, unless the pin is removed or moved.
func (r request) checkPin(pin release.Pin) error {
	if r.settings.Unpin || r.settings.AllowRollback || pin.Commit == r.deployment.Commit {
		return nil
	}
	return &release.Refusal{
		Why: fmt.Sprintf("%s release %q in namespace %q is pinned at commit %s since %s%s%s", causes.ReleasePinned, r.settings.Release, r.settings.Namespace,
			pin.Commit.Short(), pin.At.UTC().Format(time.RFC3339), prefixIfSet(" by ", pin.Actor), prefixIfSet(" in ", pin.RunURL)),
		Do: "give --unpin to remove the pin, or --allow-rollback to deploy another commit and pin that",
	}
}

// checkPinAndOrder checks the pin and the order of commits. It is called under the Lease. It decides what happens to the pin once
// the commit is deployed.
func (r request) checkPinAndOrder(leaseCtx context.Context, lease release.Lease) (order, error) {
	var current *release.Pin
	if pin, pinned := lease.Pin(); pinned {
		if err := r.checkPin(pin); err != nil {
			return order{}, err
		}
		current = &pin
	}
	o, err := r.checkOrder(leaseCtx)
	if err != nil {
		return o, err
	}
	return r.decidePin(o, current), nil
}

// decidePin decides what happens to the pin, which is nil if there is none. A deliberate rollback sets it; if the release is
// already pinned, it moves the pin, also to a newer commit. A deploy that does nothing leaves the pin unchanged.
func (r request) decidePin(o order, pin *release.Pin) order {
	if o.supersededBy != nil {
		return o
	}
	o.pins = o.deliberateRollback
	if pin == nil {
		return o
	}
	if r.settings.AllowRollback && r.deployment.Commit != "" && pin.Commit != r.deployment.Commit {
		o.pins = true
	}
	if r.settings.Unpin {
		o.unpins = pin
	}
	return o
}
