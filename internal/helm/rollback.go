package helm

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Rollback applies the objects of an earlier revision again, as a new one, and deletes what only later ones have brought,
// failed ones too. wait is called as in Deploy. The new revision is this client's run's: the one that it was last asked to deploy
// the release for.
//
// A release that another run holds, and a revision that is no longer kept, are a *release.Failure. The other errors are those
// of Deploy, and the revision is told with an error too.
func (c *Client) Rollback(ctx context.Context, name string, to int, wait release.Wait) (release.Deployed, error) {
	s, err := c.open(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	defer s.end()
	base, err := s.footing(ctx, name)
	last := base.last()
	switch {
	case err != nil:
		return release.Deployed{}, err
	case last == nil:
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("release %q is not installed in namespace %q, so there is nothing to go back to", name, c.namespace)}
	case busy(last.Info.Status):
		return release.Deployed{}, pending(last)
	}
	if _, err := s.revisionOf(ctx, name, to, last.Version); err != nil {
		return release.Deployed{}, err
	}
	s.change(name, base, waiting(ctx, wait))
	s.records.marking = func(made *helmrelease.Release) author { return c.goingBack(made, to) }
	rollback := action.NewRollback(s.helm)
	rollback.Version, rollback.Wait = to, true
	err = rollback.Run(name)
	return s.done(ctx, release.RolledBack, err, "rolling release %q in namespace %q back to revision %d", name, c.namespace, to)
}

// goingBack marks a rollback's objects with the run that goes back, where it is known: they named the run that made the revision
// gone back to.
func (c *Client) goingBack(made *helmrelease.Release, to int) author {
	by := c.runs.of(c.namespace, made.Name)
	made.Info.Description = fmt.Sprintf("onedigest: rolled back to revision %d", to)
	if by == (author{}) {
		return by
	}
	objects, err := objectsOf(made.Manifest)
	if err != nil {
		return author{}
	}
	for _, object := range objects {
		for key, value := range map[string]string{release.AnnotationRun: by.runURL, release.AnnotationActor: by.actor} {
			unstructured.RemoveNestedField(object, "metadata", "annotations", key)
			merged(object, map[string]string{key: value}, "metadata", "annotations")
		}
	}
	text, err := written(objects)
	if err != nil {
		return author{}
	}
	made.Manifest = text.String()
	return by
}

// Uninstall deletes a release's objects, those that failed revisions left, and its history, and does not wait until the pods
// are gone. One that is not installed is no error. Where it is stopped on the way, the release is marked as failed, and
// uninstalling or deploying it again goes on from there.
func (c *Client) Uninstall(ctx context.Context, name string) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	base, err := s.footing(ctx, name)
	if err != nil || base.last() == nil {
		return err
	}
	s.change(name, base, nil)
	_, err = action.NewUninstall(s.helm).Run(name)
	s.settle(err)
	return sorted(ctx, err, "uninstalling release %q from namespace %q", name, c.namespace)
}
