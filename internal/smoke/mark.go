package smoke

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

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
