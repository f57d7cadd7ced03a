package plan

import (
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// AnnotationForwardOnly is, with the value "true", the annotation of a hook whose work cannot be undone by running an older
// release: a migration that the code before does not understand.
const AnnotationForwardOnly = "onedigest.dev/forward-only"

// RollbackObstacles returns what would prevent a rollback from the next revision to an earlier one: a kind that the cluster no
// longer serves, a field that differs and is immutable, a hook of the next revision that is annotated as forward-only.
func RollbackObstacles(target *helmrelease.Release, next *chart.Rendered, cluster *objects.Cluster, namespace string) (obstacles []string, err error) {
	targetObjects, err := manifest.Parse(target.Manifest)
	if err != nil {
		return nil, err
	}
	nextObjects, err := manifest.Parse(next.Manifest)
	if err != nil {
		return nil, err
	}
	for _, object := range targetObjects {
		if isServed, err := cluster.Serves(object); err == nil && !isServed {
			u := unstructured.Unstructured{Object: object}
			obstacles = append(obstacles, fmt.Sprintf("%s: the cluster no longer serves %s %s, which revision %d contains", manifest.KindAndName(object), u.GetAPIVersion(), u.GetKind(), target.Version))
		}
	}
	nextByKey := map[string]map[string]any{}
	for _, object := range nextObjects {
		nextByKey[manifest.Key(object, namespace)] = object
	}
	for _, object := range targetObjects {
		other := nextByKey[manifest.Key(object, namespace)]
		if other == nil {
			continue
		}
		fields := slices.Concat(immutableChanges(object, other), immutableChanges(other, object))
		slices.Sort(fields)
		for _, field := range slices.Compact(fields) {
			obstacles = append(obstacles, fmt.Sprintf("%s: %s cannot be changed, and differs in revision %d", manifest.KindAndName(object), field, target.Version))
		}
	}
	for _, hook := range slices.Concat(next.PreHooks(), next.PostHooks()) {
		object, err := manifest.ParseObject([]byte(hook.Manifest))
		if err != nil {
			continue // rendering has parsed it
		}
		ran := slices.ContainsFunc(target.Hooks, func(old *helmrelease.Hook) bool { return sameHook(old, hook) })
		if (&unstructured.Unstructured{Object: object}).GetAnnotations()[AnnotationForwardOnly] == "true" && !ran {
			obstacles = append(obstacles, fmt.Sprintf("%s: the hook is forward-only (%s)", manifest.KindAndName(object), AnnotationForwardOnly))
		}
	}
	return obstacles, nil
}
