package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Revision is one entry of a release's history.
type Revision struct {
	Number      int    // from 1
	Status      string // as Helm words it: deployed, superseded, failed, pending-upgrade…
	At          time.Time
	Commit      release.Commit // "" if the revision was not made by this pipeline, or from no known commit
	Digest      release.Digest // zero if the revision was not made by this pipeline
	Description string
}

// History lists the revisions that are kept of a release, newest first; none if it is not installed.
func (c *Client) History(ctx context.Context, name string) ([]Revision, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	kept, err := s.helm.Releases.History(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, sorted(ctx, err, "reading the revisions of release %q in namespace %q", name, c.namespace)
	}
	revisions := make([]Revision, len(kept))
	for i, one := range kept {
		revisions[i] = revision(one)
	}
	slices.SortFunc(revisions, func(a, b Revision) int { return b.Number - a.Number })
	return revisions, nil
}

// revision reads what the stamp left on a revision's objects.
func revision(kept *helmrelease.Release) Revision {
	found := Revision{Number: kept.Version, Status: kept.Info.Status.String(), At: kept.Info.LastDeployed.Time, Description: told(kept.Info.Description)}
	objects, err := objectsOf(kept.Manifest)
	if err != nil || len(objects) == 0 {
		return found
	}
	first := unstructured.Unstructured{Object: objects[0]}
	if commit, err := release.ParseCommit(first.GetLabels()[release.LabelCommit]); err == nil {
		found.Commit = commit
	}
	if digest, err := release.ParseDigest(first.GetAnnotations()[release.AnnotationDigest]); err == nil {
		found.Digest = digest
	}
	return found
}

// Rollback applies the objects of an earlier revision again, as a new one, and does not wait for its pods. A release
// that another run holds, and a revision that is no longer kept, are a *release.Failure.
func (c *Client) Rollback(ctx context.Context, name string, to int) (release.Deployed, error) {
	s, err := c.open(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	defer s.end()
	last, err := s.last(ctx, name)
	switch {
	case err != nil:
		return release.Deployed{}, err
	case last == nil:
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("release %q is not installed in namespace %q, so there is nothing to go back to", name, c.namespace)}
	case busy(last):
		return release.Deployed{}, pending(last)
	}
	target, err := s.helm.Releases.Get(name, to)
	if errors.Is(err, driver.ErrReleaseNotFound) || to < 1 {
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("release %q has no revision %d", name, to), Do: fmt.Sprintf("the newest is %d, and at most %d are kept", last.Version, history)}
	}
	if err != nil {
		return release.Deployed{}, sorted(ctx, err, "reading revision %d of release %q", to, name)
	}
	rollback := action.NewRollback(s.helm)
	rollback.Version, rollback.MaxHistory, rollback.Timeout = to, history, patience(ctx)
	if err := rollback.Run(name); err != nil {
		return release.Deployed{}, sorted(ctx, err, "rolling release %q in namespace %q back to revision %d", name, c.namespace, to)
	}
	objects, err := listed(target.Manifest, c.namespace)
	return release.Deployed{Outcome: release.RolledBack, Revision: last.Version + 1, Objects: objects}, err
}

// Uninstall deletes a release's objects and its history, and does not wait until the pods are gone. One that is not
// installed is no error.
func (c *Client) Uninstall(ctx context.Context, name string) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	if last, err := s.last(ctx, name); err != nil || last == nil {
		return err
	}
	uninstall := action.NewUninstall(s.helm)
	uninstall.Timeout = patience(ctx)
	_, err = uninstall.Run(name)
	return sorted(ctx, err, "uninstalling release %q from namespace %q", name, c.namespace)
}
