package helm

import (
	"cmp"
	"context"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/plan"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Render renders what Deploy would apply, for the cluster's version and kinds, and changes nothing. It refuses what can be known to fail: a
// template that fails, a cluster whose version the chart does not support, an image that nothing would run, a reference to one that would stay
// unpinned, a path of the values that the chart ignores, and a revision whose record does not fit into a Secret.
//
// Kinds that the cluster does not serve are left out of the rendering's. The errors are an *release.InputError and those of Plan.
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
	state, err := s.store.State(ctx, deployment.Name)
	if err != nil {
		return release.Rendering{}, err
	}
	rendered, err := s.render(deployment, loaded, state)
	if err == nil {
		err = cmp.Or(loaded.CheckPaths(deployment, s.target(state), rendered), history.CheckSize(loaded.Record(deployment, rendered)))
	}
	if err != nil {
		return release.Rendering{}, failure.Classify(ctx, err, "rendering release %q", deployment.Name)
	}
	endpoints, err := rendered.Endpoints(deployment.Namespace)
	if err != nil {
		return release.Rendering{}, err
	}
	kinds, err := s.appliedKinds(ctx, deployment, loaded, rendered, state.Install)
	return release.Rendering{Manifest: rendered.Manifest, Kinds: kinds, Endpoints: endpoints, Images: rendered.Images}, err
}

// appliedKinds lists the kinds of the objects and hooks that a deploy applies, sorted.
func (s *session) appliedKinds(ctx context.Context, deployment release.Deployment, loaded *chart.Chart, rendered *chart.Rendered, install bool) ([]release.AppliedKind, error) {
	kinds := map[release.AppliedKind]bool{}
	if err := s.addKinds(kinds, rendered.Manifest, release.UseObject); err != nil {
		return nil, failure.Classify(ctx, err, "reading the manifest of release %q", deployment.Name)
	}
	for _, hook := range rendered.Hooks {
		if !slices.ContainsFunc(hook.Events, isDeployEvent) {
			continue
		}
		if err := s.addKinds(kinds, hook.Manifest, release.UseHook); err != nil {
			return nil, failure.Classify(ctx, err, "reading hook %q of release %q", hook.Path, deployment.Name)
		}
	}
	if err := s.addDefinitions(kinds, deployment, loaded, install); err != nil {
		return nil, failure.Classify(ctx, err, "reading the definitions of release %q", deployment.Name)
	}
	list := make([]release.AppliedKind, 0, len(kinds))
	for kind := range kinds {
		list = append(list, kind)
	}
	slices.SortFunc(list, func(a, b release.AppliedKind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Use, b.Use))
	})
	return list, nil
}

// isDeployEvent reports whether a deploy or its rollback runs hooks of an event. Those of "helm test" and of an uninstall are not asked for.
func isDeployEvent(event helmrelease.HookEvent) bool {
	return event != helmrelease.HookTest && event != helmrelease.HookPreDelete && event != helmrelease.HookPostDelete
}

// addKinds adds the kinds of a manifest's objects.
func (s *session) addKinds(kinds map[release.AppliedKind]bool, text string, use release.KindUse) error {
	objects, err := manifest.Parse(text)
	if err != nil {
		return err
	}
	for _, object := range objects {
		for _, item := range manifest.Flatten(object) {
			if err := s.addKind(kinds, item, use); err != nil {
				return err
			}
		}
	}
	return nil
}

// addKind adds the kind of an object, unless the cluster does not serve it.
func (s *session) addKind(kinds map[release.AppliedKind]bool, object map[string]any, use release.KindUse) error {
	one := &unstructured.Unstructured{Object: object}
	kind := one.GroupVersionKind()
	mapping, err := s.api.Load().mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	applied := release.AppliedKind{Group: kind.Group, Resource: mapping.Resource.Resource, Use: use}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		applied.Namespace = cmp.Or(one.GetNamespace(), s.namespace)
	}
	kinds[applied] = true
	return nil
}

// addDefinitions adds the definitions of the chart's crds directory if the deploy would create or change any.
func (s *session) addDefinitions(kinds map[release.AppliedKind]bool, deployment release.Deployment, loaded *chart.Chart, install bool) error {
	crds := loaded.Chart.CRDObjects()
	if len(crds) == 0 {
		return nil
	}
	definition := release.AppliedKind{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Use: release.UseDefinition}
	if deployment.ApplyCRDs {
		kinds[definition] = true
		return nil
	}
	definitions, err := plan.Definitions(s.kube.Cluster, crds)
	if err != nil {
		return err
	}
	definition.Use = release.UseCreate
	if install && slices.ContainsFunc(definitions, func(d plan.Definition) bool { return d.Absent }) {
		kinds[definition] = true
	}
	return nil
}
