package helm

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Render renders what Deploy would apply, for the cluster's version and kinds, and changes nothing. It refuses what can be known to fail: a
// template that fails, a cluster whose version the chart does not support, an image that nothing would run, a reference to one that would stay
// unpinned, a path of the values that the chart ignores, and a revision whose record does not fit into a Secret.
//
// Kinds that the cluster does not serve are missing in the rendering. The errors are an *release.InputError and those of Plan.
func (c *Client) Render(ctx context.Context, deployment release.Deployment) (release.Rendering, error) {
	loaded, err := c.charts.Get(deployment)
	if err != nil {
		return release.Rendering{}, err
	}
	s, err := c.open(ctx)
	if err != nil {
		return release.Rendering{}, err
	}
	defer s.close()
	state, rendered, err := s.renderRecent(ctx, deployment, loaded)
	if err != nil {
		return release.Rendering{}, err
	}
	endpoints, leading, err := rendered.Endpoints(deployment)
	if err != nil {
		return release.Rendering{}, err
	}
	objects, err := manifest.Parse(rendered.Manifest)
	if err != nil {
		return release.Rendering{}, failure.Classify(ctx, err, "reading the manifest of release %q", deployment.Name)
	}
	rendering := release.Rendering{Manifest: rendered.Manifest, Endpoints: endpoints, Leading: leading, NoPorts: chart.ServicesWithoutPort(objects, s.namespace), Images: rendered.Images}
	for _, object := range objects {
		id := manifest.ObjectID(object, s.namespace)
		rendering.Declared = append(rendering.Declared, release.Declared{Object: id, Annotations: declaredOf(object)})
		for _, spec := range manifest.PodSpecs(object) {
			text, err := json.Marshal(spec)
			if err != nil {
				return rendering, err
			}
			rendering.Templates = append(rendering.Templates, release.PodTemplate{Object: id, Images: manifest.PodImages(spec), Spec: text})
		}
	}
	rendering.Kinds, err = s.appliedKinds(ctx, deployment, loaded, state, rendered, objects)
	return rendering, err
}

// renderRecent renders the next revision after the recent state of the release, which may lack the last changes: an error counts only if the state is
// still the same when it is read again.
func (s *session) renderRecent(ctx context.Context, deployment release.Deployment, loaded *chart.Chart) (history.State, *chart.Rendered, error) {
	if s.client.unrecorded {
		state := history.State{Install: true}
		rendered, err := s.renderChecked(ctx, deployment, loaded, state)
		return state, rendered, err
	}
	recent, readErr := s.store.RecentState(ctx, deployment.Name)
	var renderErr error
	if readErr == nil {
		var rendered *chart.Rendered
		if rendered, renderErr = s.renderChecked(ctx, deployment, loaded, recent); renderErr == nil {
			return recent, rendered, nil
		}
	}
	state, err := s.store.State(ctx, deployment.Name)
	if err != nil {
		return state, nil, err
	}
	if readErr == nil && state.IsSame(recent) {
		return state, nil, renderErr
	}
	rendered, err := s.renderChecked(ctx, deployment, loaded, state)
	return state, rendered, err
}

// renderChecked renders the next revision, and refuses a path of the values that the chart ignores and a revision that is too large.
func (s *session) renderChecked(ctx context.Context, deployment release.Deployment, loaded *chart.Chart, state history.State) (*chart.Rendered, error) {
	rendered, err := s.render(deployment, loaded, state)
	if err == nil {
		err = cmp.Or(loaded.CheckPaths(deployment, s.target(deployment, state), rendered), history.CheckSize(loaded.Record(deployment, rendered)))
	}
	if err != nil {
		return nil, failure.Classify(ctx, err, "rendering release %q", deployment.Name)
	}
	return rendered, nil
}

// declaredOf returns the annotations by which an object declares when it is ready or has failed; nil if it has none.
func declaredOf(object map[string]any) (declared map[string]string) {
	annotations := (&unstructured.Unstructured{Object: object}).GetAnnotations()
	for _, name := range []string{release.AnnotationReadyWhen, release.AnnotationFailedWhen} {
		if value, found := annotations[name]; found {
			if declared == nil {
				declared = map[string]string{}
			}
			declared[name] = value
		}
	}
	return declared
}

// appliedKinds lists the kinds of the objects and hooks that a deploy applies, and those that only its rollback would apply, sorted.
func (s *session) appliedKinds(ctx context.Context, deployment release.Deployment, loaded *chart.Chart, state history.State, rendered *chart.Rendered, objects []map[string]any) ([]release.AppliedKind, error) {
	kinds := kindSet{}
	if err := s.addKinds(kinds, objects, release.UseObject, deployment.Images...); err != nil {
		return nil, failure.Classify(ctx, err, "reading the manifest of release %q", deployment.Name)
	}
	if err := s.addHookKinds(kinds, rendered.Hooks, isDeployEvent, release.UseHook); err != nil {
		return nil, failure.Classify(ctx, err, "reading the hooks of release %q", deployment.Name)
	}
	if err := s.addCRDs(kinds, deployment, loaded, state.Install); err != nil {
		return nil, failure.Classify(ctx, err, "reading the CRDs of release %q", deployment.Name)
	}
	if err := s.addRollbackKinds(kinds, state); err != nil {
		return nil, failure.Classify(ctx, err, "reading the revisions of release %q", deployment.Name)
	}
	return kinds.list(), nil
}

// addRollbackKinds adds the kinds of the revision that a rollback would go back to, as far as the new one does not have their objects.
// A revision that cannot be parsed adds none: the rollback's own check reports it.
func (s *session) addRollbackKinds(kinds kindSet, state history.State) error {
	if state.Install {
		return nil
	}
	marks, err := s.store.Marks(state.Entries)
	if err != nil {
		return err
	}
	revision, _, err := s.store.LastReadable(state.Entries, marks)
	if err != nil || revision == nil {
		return err
	}
	objects, err := manifest.Parse(revision.Manifest)
	if err != nil {
		return nil
	}
	if err := s.addKinds(kinds, objects, release.UseRollback); err != nil {
		return err
	}
	return s.addHookKinds(kinds, revision.Hooks, isRollbackEvent, release.UseRollback)
}

// isDeployEvent reports whether a deploy or its rollback runs hooks of an event. Those of "helm test" and of an uninstall are not asked for.
func isDeployEvent(event helmrelease.HookEvent) bool {
	return event != helmrelease.HookTest && event != helmrelease.HookPreDelete && event != helmrelease.HookPostDelete
}

func isRollbackEvent(event helmrelease.HookEvent) bool {
	return event == helmrelease.HookPreRollback || event == helmrelease.HookPostRollback
}
