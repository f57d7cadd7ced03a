package helm

import (
	"context"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/plan"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// RollbackTarget finds the revision that a rollback would go back to (history.Store.LastReadable), and the obstacles once the
// deployment is applied: there is no such revision, an immutable field differs, the cluster no longer serves a kind, a forward-only
// hook would run or has run since that revision. Whether the image still exists is for the registry to say.
//
// The errors are those of Check, and a *release.Fault if the cluster does not answer.
func (c *Client) RollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error) {
	loaded, err := c.charts.Get(deployment)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	return c.rollbackTarget(ctx, deployment, func(s *session, state history.State) (*chart.Rendered, error) {
		next, err := s.render(deployment, loaded, state)
		return next, failure.Classify(ctx, err, "rendering release %q", deployment.Name)
	})
}

// LiveRollbackTarget does what RollbackTarget does for the live release, without a new deployment: it uses only the name, the run and
// the actor of the deployment. Only hooks that have run are obstacles.
func (c *Client) LiveRollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error) {
	return c.rollbackTarget(ctx, deployment, func(_ *session, state history.State) (*chart.Rendered, error) {
		return &chart.Rendered{Manifest: state.Newest().Manifest}, nil
	})
}

// rollbackTarget finds the newest readable revision that a rollback may go back to, and the obstacles to that rollback. next
// returns the manifest that the rollback would replace: that of the new deployment, or of the newest revision. If there is no
// such revision, that is the only obstacle.
func (c *Client) rollbackTarget(ctx context.Context, deployment release.Deployment, next func(*session, history.State) (*chart.Rendered, error)) (release.RollbackTarget, error) {
	c.authors.remember(deployment)
	s, err := c.open(ctx)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	defer s.close()
	state, err := s.store.State(ctx, deployment.Name)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	if state.Install && len(state.Entries) > 0 { // nothing of what an uninstall has begun to remove is gone back to
		return release.RollbackTarget{Obstacles: []release.Obstacle{{What: fmt.Sprintf("no revision of release %q in namespace %q has been verified since it was installed", deployment.Name, c.namespace)}}}, nil
	}
	marks, err := s.store.Marks(state.Entries)
	if err != nil {
		return release.RollbackTarget{}, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", deployment.Name, c.namespace)
	}
	revision, entry, err := s.store.LastReadable(state.Entries, marks)
	if err != nil {
		return release.RollbackTarget{}, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", deployment.Name, c.namespace)
	}
	if revision == nil {
		return release.RollbackTarget{Obstacles: []release.Obstacle{{What: fmt.Sprintf("no revision of release %q in namespace %q has been verified yet",
			deployment.Name, c.namespace)}}}, nil
	}
	described := history.Describe(revision, entry)
	target := release.RollbackTarget{Revision: described.Number, Mark: marks[described.Number], Commit: described.Commit, Digest: described.Digest}
	objects, err := manifest.Parse(revision.Manifest)
	if err != nil {
		return target, err
	}
	target.Images = builtImages(objects, target.Digest)
	for _, object := range objects {
		target.Namespaces = append(target.Namespaces, manifest.ObjectID(object, s.namespace).Namespace)
	}
	slices.Sort(target.Namespaces)
	target.Namespaces = slices.Compact(target.Namespaces)
	rendered, err := next(s, state)
	if err != nil {
		return target, err
	}
	since, err := s.store.Since(state.Entries, described.Number)
	if err != nil {
		return target, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", deployment.Name, c.namespace)
	}
	target.Obstacles, err = plan.RollbackObstacles(revision, state.Newest(), since, rendered, s.kube.Cluster, s.namespace)
	return target, err
}

// builtImages returns the images that a deploy has pinned in the objects: the main one, which has the digest, and those that pod templates are
// annotated with.
func builtImages(objects []map[string]any, main release.Digest) (images []release.Image) {
	if main.IsZero() {
		return nil
	}
	add := func(digest string, references []string) {
		for _, reference := range references {
			image, err := release.ParseImage(reference)
			if err == nil && image.Digest.String() == digest && !slices.Contains(images, image) {
				images = append(images, image)
				return
			}
		}
	}
	add(main.String(), manifest.Images(objects...))
	for _, object := range objects {
		for _, template := range release.PodTemplates(object) {
			digest, _, _ := unstructured.NestedString(template, "metadata", "annotations", release.AnnotationDigest)
			add(digest, manifest.PodImages(manifest.PodSpec(template)))
		}
	}
	return images
}

// Rollback applies the objects of an earlier revision again, as a new revision, and deletes what only later ones, failed ones
// included, have applied. wait is called as in Deploy. The author of the new revision is that of the release's last deploy by
// this client.
//
// The errors are those of Deploy; a release that another run holds, and a revision that is no longer kept, are a
// *release.Failure. The new revision is returned with an error too.
func (c *Client) Rollback(ctx context.Context, name string, to int, wait release.Wait) (release.Deployed, error) {
	s, err := c.open(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	defer s.close()
	state, err := s.store.State(ctx, name)
	if err != nil {
		return release.Deployed{}, err
	}
	if state.Newest() == nil {
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("release %q is not installed in namespace %q, so there is nothing to go back to", name, c.namespace)}
	}
	if err := state.CheckIdle(); err != nil {
		return release.Deployed{}, err
	}
	if _, err := s.store.Revision(ctx, name, to, state.Newest().Version); err != nil {
		return release.Deployed{}, err
	}
	s.beginChange(name, state, withContext(ctx, wait))
	s.store.AuthorOf = func(revision *helmrelease.Release) (history.Author, error) {
		revision.Info.Description = fmt.Sprintf("onedigest: rolled back to revision %d", to)
		return restamp(revision, c.authors.authorOf(c.namespace, name)), nil
	}
	rollback := action.NewRollback(s.helm)
	rollback.Version, rollback.Wait = to, true
	err = rollback.Run(name)
	return s.finish(ctx, release.RolledBack, err, "rolling release %q in namespace %q back to revision %d", name, c.namespace, to)
}

// restamp replaces the run and actor annotations in the manifest of a rollback's revision, because Helm copied them from an
// earlier revision. It returns the author that it wrote: none if author is empty or the manifest cannot be read.
func restamp(revision *helmrelease.Release, author history.Author) history.Author {
	if author == (history.Author{}) {
		return author
	}
	objects, err := manifest.Parse(revision.Manifest)
	if err != nil {
		return history.Author{}
	}
	for _, object := range objects {
		if !history.IsStamped(object) {
			continue
		}
		for key, value := range map[string]string{release.AnnotationRun: author.RunURL, release.AnnotationActor: author.Actor} {
			unstructured.RemoveNestedField(object, "metadata", "annotations", key)
			manifest.SetStrings(object, map[string]string{key: value}, "metadata", "annotations")
		}
	}
	text, err := manifest.Format(objects)
	if err != nil {
		return history.Author{}
	}
	revision.Manifest = text.String()
	return author
}

// Uninstall deletes a release's objects, those that failed revisions left behind, and its history. It does not wait for the
// pods to end. A release that is not installed is no error. If it is stopped, the release is marked as failed, and uninstalling
// or deploying it again continues from there; if nothing of it was deleted,
// as after a hook before the deletion that fails, it stays as it was.
func (c *Client) Uninstall(ctx context.Context, name string) error {
	return c.UninstallWith(ctx, name, UninstallOptions{})
}

// UninstallOptions says how a release is uninstalled.
type UninstallOptions struct {
	NoHooks bool // the hooks before and after a deletion are not run
	// Explain returns why a hook has failed, before Helm deletes it; nil if that is not known. If it is nil itself, nothing is asked.
	Explain func(ctx context.Context, hook []release.Object) error
}

// UninstallWith is Uninstall with options. A hook that fails is a *release.BadRelease: the chart is at fault.
func (c *Client) UninstallWith(ctx context.Context, name string, options UninstallOptions) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	state, err := s.store.State(ctx, name)
	if err != nil || state.Newest() == nil {
		return err
	}
	s.beginChange(name, state, nil)
	if options.Explain != nil {
		s.kube.explain = func(hook []release.Object) error { return options.Explain(ctx, hook) }
	}
	uninstall := action.NewUninstall(s.helm)
	uninstall.DisableHooks = options.NoHooks
	_, err = uninstall.Run(name)
	if err != nil && !s.kube.deletes { // Helm records the begin before the hooks that may fail
		s.store.KeepInstalled(state.Newest())
	}
	s.store.FailPending(err)
	s.kube.reportKept()
	if s.kube.waitErr != nil {
		return s.kube.waitErr
	}
	return failure.Classify(ctx, err, "uninstalling release %q from namespace %q", name, c.namespace)
}
