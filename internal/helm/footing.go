package helm

import (
	"context"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// footing is what is there of a release before it is changed.
type footing struct {
	heads   []head                 // newest first
	kept    []*helmrelease.Release // whole, newest first: down to the last deployed revision, or as many as are read of a history
	install bool                   // nothing of it has ever been deployed, or what was is being uninstalled
}

// footing reads what a change of the release stands on.
func (s *session) footing(ctx context.Context, name string) (footing, error) {
	heads, err := s.records.headsOf(name)
	if err != nil {
		return footing{}, sorted(ctx, err, "reading the revisions of release %q in namespace %q", name, s.namespace)
	}
	f := footing{heads: heads, install: true}
	if len(heads) == 0 {
		return f, nil
	}
	whole := min(len(heads), history)
	if heads[0].status == helmrelease.StatusUninstalled {
		whole = 1
	} else if at := slices.IndexFunc(heads, func(h head) bool { return h.status == helmrelease.StatusDeployed }); at >= 0 {
		whole = min(whole, at+1)
	}
	if f.kept, err = s.records.read(heads[:whole]); err != nil {
		return footing{}, sorted(ctx, err, "reading the revisions of release %q in namespace %q", name, s.namespace)
	}
	if len(f.kept) == 0 || f.kept[0].Version != heads[0].revision {
		return footing{}, &release.Fault{Side: side, Err: fmt.Errorf("release %q in namespace %q: revision %d went away while it was read", name, s.namespace, heads[0].revision),
			Do: "see who else changes the release, and deploy again"}
	}
	f.install = f.never() || !f.last().Info.Deleted.IsZero()
	return f, nil
}

// last is the newest revision, nil if there is none.
func (f footing) last() *helmrelease.Release {
	if len(f.kept) == 0 {
		return nil
	}
	return f.kept[0]
}

func (f footing) next() int {
	if last := f.last(); last != nil {
		return last.Version + 1
	}
	return 1
}

// never tells whether no revision has been deployed.
func (f footing) never() bool {
	return !slices.ContainsFunc(f.heads, func(h head) bool {
		return h.status == helmrelease.StatusDeployed || h.status == helmrelease.StatusSuperseded
	})
}

// remains are the manifests that may have been applied since the last revision that was deployed, that one included, oldest
// first; none if it is the newest, for then Helm knows by itself.
func (f footing) remains() (manifests []string) {
	last := f.last()
	if last == nil || last.Info.Status == helmrelease.StatusDeployed || last.Info.Status == helmrelease.StatusUninstalled {
		return nil
	}
	for _, one := range slices.Backward(f.kept) {
		manifests = append(manifests, one.Manifest)
	}
	return manifests
}

// busy tells whether a revision is being changed, or was left so by a run that was killed.
func busy(status helmrelease.Status) bool {
	return status.IsPending() || status == helmrelease.StatusUninstalling
}

// pending is what is said of a busy release. Whether that run lives cannot be seen from here.
func pending(last *helmrelease.Release) error {
	return &release.Failure{
		What: fmt.Sprintf("%s release %q in namespace %q is %s since %s (revision %d)", causes.ReleaseHeld, last.Name, last.Namespace, last.Info.Status,
			last.Info.LastDeployed.UTC().Format("2006-01-02 15:04:05 MST"), last.Version),
		Do: "wait for the run that is changing it; if that run is dead, heal the release",
	}
}
