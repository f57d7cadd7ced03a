package smoke

import (
	"context"

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
