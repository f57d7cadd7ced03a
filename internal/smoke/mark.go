package smoke

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// awaitDeployed refuses a release that has no deployed revision: its first deploy failed or was killed, or it is being uninstalled. While another run holds its Lease, it
// waits until that run has finished, or the time is up: then the error is a *release.Fault. It accepts a release that Helm has no record of.
func awaitDeployed(ctx context.Context, settings Settings, deps Deps) error {
	if settings.Release == "" {
		return nil
	}
	var last release.Undeployed
	var since time.Time // when the last heartbeat was seen first
	logged, confirmed := false, false
	for {
		found, undeployed, err := deps.Cluster.Undeployed(ctx, settings.Namespace, settings.Release)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && last.Holder != "" && (err != nil || undeployed) {
			return &release.Fault{Side: "cluster", Err: fmt.Errorf("%s, and %s holds its Lease, so there is no verdict", noneDeployed(settings, last), last.Holder),
				Do: "run smoke again when that run has finished, or give a longer --timeout"}
		}
		if err != nil || !undeployed {
			return err
		}
		now := deps.Now()
		switch isNew := found != last; {
		case found.Holder == "" && !confirmed: // a run may have marked its revision and given the Lease up between the two reads
			confirmed = true
			continue
		case found.Holder == "", !isNew && found.Duration > 0 && now.Sub(since) > found.Duration:
			return &release.Refusal{Why: noneDeployed(settings, found), Do: deployFirst(found)}
		case isNew:
			last, since, confirmed = found, now, false
		}
		if !logged {
			deps.Reporter.Infof("waiting for the run that holds the release's Lease, %s: %s", found.Holder, noneDeployed(settings, found))
			logged = true
		}
		deps.Pause(ctx, max(settings.Pause, pauseAfterFailure))
		if errors.Is(ctx.Err(), context.Canceled) {
			return interrupted(Report{})
		}
	}
}

// stillDeployed returns a *release.Fault if the release has lost its deployed revision while it was checked.
func stillDeployed(ctx context.Context, settings Settings, deps Deps) error {
	if settings.Release == "" {
		return nil
	}
	found, undeployed, err := deps.Cluster.Undeployed(ctx, settings.Namespace, settings.Release)
	if err != nil || !undeployed {
		return err
	}
	return &release.Fault{Side: "cluster", Err: fmt.Errorf("%s since it was checked, so there is no verdict", noneDeployed(settings, found)), Do: deployFirst(found)}
}

func noneDeployed(settings Settings, found release.Undeployed) string {
	return fmt.Sprintf("release %q in namespace %q has no deployed revision: revision %d is %s", settings.Release, settings.Namespace, found.Revision, found.Status)
}

// deployFirst says what to do about a release that has no deployed revision.
func deployFirst(found release.Undeployed) string {
	switch {
	case found.LeaseUnknown && found.Status != "failed":
		return "wait until the deploy that may be running has finished, then run smoke again; get of the Lease lets smoke wait for it (docs/rbac/smoke.yaml)"
	case strings.HasPrefix(found.Status, "pending-"):
		return "deploy the release, which heals what a killed run left (deploy --heal does only that), then run smoke again"
	case found.Status == "uninstalling":
		return "finish the uninstall, or deploy the release, then run smoke again"
	}
	return "deploy the release first: smoke proves only what a deploy has finished"
}

// liveRevision returns the revision that the verdict will be about, 0 if there is none: a URL alone belongs to no release.
func liveRevision(ctx context.Context, settings Settings, deps Deps) int {
	if settings.Release == "" {
		return 0
	}
	revision, err := deps.Cluster.LiveRevision(ctx, settings.Namespace, settings.Release)
	if err != nil {
		deps.Reporter.Warnf("later rollbacks will not know this verdict, because the live revision cannot be read: %v", err)
		return 0
	}
	return revision
}

// replacedBy says what replaced the release while it was checked, so that wrong answers may be those of another image; "" if nothing is known to have.
func replacedBy(ctx context.Context, live int, found confirmed, verdict release.Verdict, settings Settings, deps Deps) string {
	if verdict != release.Fail || settings.Release == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if live != 0 {
		if now, err := deps.Cluster.LiveRevision(ctx, settings.Namespace, settings.Release); err == nil && now != live {
			if now == 0 {
				return fmt.Sprintf("release %q was being changed while it was checked", settings.Release)
			}
			return fmt.Sprintf("release %q went from revision %d to %d while it was checked", settings.Release, live, now)
		}
	}
	for i, image := range settings.images() {
		if len(found.pods[i]) == 0 {
			continue
		}
		running, err := deps.Cluster.Running(ctx, settings.Namespace, settings.Release, image.Image)
		if err == nil && len(running.Workloads) == 0 && len(running.Unread) == 0 {
			return fmt.Sprintf("release %q no longer names %s, which was replaced while it was checked", settings.Release, image.Image.Digest.Short())
		}
	}
	return ""
}

// withGrace returns a context that has at least recordTimeout left, and ends when ctx is cancelled.
func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	left := recordTimeout
	if until, limited := ctx.Deadline(); limited {
		left = max(left, time.Until(until))
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	return grace, func() { stop(); cancel() }
}

// markRevision marks the revision that was live when the rounds began, even when they took all the time there was. An inconclusive
// verdict says nothing about it.
func markRevision(ctx context.Context, revision int, verdict release.Verdict, settings Settings, deps Deps) {
	mark := map[release.Verdict]release.Mark{release.Pass: release.MarkProved, release.Fail: release.MarkFailed}[verdict]
	if revision == 0 || mark == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := deps.Cluster.MarkRevision(ctx, settings.Namespace, settings.Release, revision, mark); err != nil {
		deps.Reporter.Warnf("later rollbacks will not know this verdict: %v", err)
		return
	}
	deps.Reporter.Infof("marked revision %d of release %q in namespace %q as %s", revision, settings.Release, settings.Namespace, mark)
}
