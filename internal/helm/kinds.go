package helm

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/plan"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// kindSet collects kinds with the names of their objects.
type kindSet map[kindKey][]string

type kindKey struct {
	group, resource, namespace string
	use                        release.KindUse // what the deploy does with the objects
	containers                 containers      // of the deployment's images, in custom resources
}

// containers is where a custom resource has containers of the deployment's images, of which its controller may create pods.
type containers int

const (
	noContainers    containers = iota
	looseContainers            // in no pod template
	ofTemplate
)

// containersOf finds the containers of images in a custom resource.
func containersOf(object map[string]any, images []release.BuiltImage) containers {
	if !release.IsCustomKind(object) {
		return noContainers
	}
	isOurs := func(reference string) bool {
		return slices.ContainsFunc(images, func(each release.BuiltImage) bool {
			return strings.HasSuffix(reference, "@"+each.Image.Digest.String())
		})
	}
	switch {
	case slices.ContainsFunc(manifest.Images(object), isOurs):
		return ofTemplate
	case slices.ContainsFunc(release.LooseContainers(object), func(container map[string]any) bool {
		reference, _ := container["image"].(string)
		return isOurs(reference)
	}):
		return looseContainers
	}
	return noContainers
}

// add adds an object; its name may be "". One that only a rollback applies is left out if the deploy applies it too.
func (k kindSet) add(key kindKey, name string) {
	if key.use == release.UseRollback {
		applied := key
		for _, applied.containers = range []containers{noContainers, looseContainers, ofTemplate} {
			for _, applied.use = range []release.KindUse{release.UseObject, release.UseHook} {
				if slices.Contains(k[applied], name) {
					return
				}
			}
		}
	}
	names, found := k[key]
	if name != "" && !slices.Contains(names, name) {
		names = append(names, name)
	}
	if !found || name != "" {
		k[key] = names
	}
}

// list returns the kinds as release.AppliedKind, sorted.
func (k kindSet) list() []release.AppliedKind {
	list := make([]release.AppliedKind, 0, len(k))
	for key, names := range k {
		slices.Sort(names)
		list = append(list, release.AppliedKind{Group: key.group, Resource: key.resource, Namespace: key.namespace, Use: key.use, Names: names, HasContainers: key.containers != noContainers, Loose: key.containers == looseContainers})
	}
	slices.SortFunc(list, func(a, b release.AppliedKind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Use, b.Use), cmp.Compare(strings.Join(a.Names, " "), strings.Join(b.Names, " ")))
	})
	return list
}

// addKinds adds the kinds of objects. images are those of which pods are compared.
func (s *session) addKinds(kinds kindSet, objects []map[string]any, use release.KindUse, images ...release.BuiltImage) error {
	for _, object := range objects {
		if err := s.addKind(kinds, object, use, images); err != nil {
			return err
		}
	}
	return nil
}

// addHookKinds adds the kinds of the hooks that run at an event of those wanted.
func (s *session) addHookKinds(kinds kindSet, hooks []*helmrelease.Hook, wanted func(helmrelease.HookEvent) bool, use release.KindUse) error {
	for _, hook := range hooks {
		if !slices.ContainsFunc(hook.Events, wanted) {
			continue
		}
		objects, err := manifest.Parse(hook.Manifest)
		if err != nil {
			return err
		}
		if err := s.addKinds(kinds, objects, use); err != nil {
			return err
		}
	}
	return nil
}

// addKind adds the kind of an object, unless the cluster does not serve it.
func (s *session) addKind(kinds kindSet, object map[string]any, use release.KindUse, images []release.BuiltImage) error {
	one := &unstructured.Unstructured{Object: object}
	kind := one.GroupVersionKind()
	mapping, err := s.api.Load().mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	applied := kindKey{group: kind.Group, resource: mapping.Resource.Resource, use: use, containers: containersOf(object, images)}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		applied.namespace = cmp.Or(one.GetNamespace(), s.namespace)
	}
	kinds.add(applied, one.GetName())
	return nil
}

// addCRDs adds the kind CustomResourceDefinition if the deploy would create or change any of the chart's crds directory.
func (s *session) addCRDs(kinds kindSet, deployment release.Deployment, loaded *chart.Chart, install bool) error {
	crds := loaded.Chart.CRDObjects()
	if len(crds) == 0 {
		return nil
	}
	definition := kindKey{group: "apiextensions.k8s.io", resource: "customresourcedefinitions", use: release.UseCRD}
	if deployment.ApplyCRDs {
		kinds.add(definition, "")
		return nil
	}
	definitions, err := plan.ChangedCRDs(s.kube.Cluster, crds)
	if err != nil {
		return err
	}
	definition.use = release.UseCreate
	if install && slices.ContainsFunc(definitions, func(d plan.CRD) bool { return d.Absent }) {
		kinds.add(definition, "")
	}
	return nil
}
