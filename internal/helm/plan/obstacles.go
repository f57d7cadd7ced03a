package plan

import (
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// AnnotationForwardOnly is, with the value "true", the annotation of a hook whose work an older release cannot undo, such as a
// migration that older code does not understand.
const AnnotationForwardOnly = "onedigest.dev/forward-only"

// RollbackObstacles returns the obstacles to a rollback from the next revision to an earlier one: a kind that the cluster no
// longer serves, an immutable field that the rollback would change, a NetworkPolicy that only the next revision has, and a forward-only hook that has run since or
// would run in the next revision. Only the last forbids the rollback. A field that the deploy of the next revision cannot change either, because the live revision has
// it otherwise, is no obstacle: the deploy fails before it has changed it.
func RollbackObstacles(target, live *helmrelease.Release, since []*helmrelease.Release, next *chart.Rendered, cluster *objects.Cluster, namespace string) (obstacles []release.Obstacle, err error) {
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
			obstacles = append(obstacles, release.Obstacle{What: fmt.Sprintf("%s: the cluster no longer serves %s %s, which revision %d contains",
				manifest.KindAndName(object), u.GetAPIVersion(), u.GetKind(), target.Version)})
		}
	}
	liveObjects, err := manifest.Parse(live.Manifest)
	if err != nil {
		return nil, err
	}
	nextByKey, liveByKey := byKey(nextObjects, namespace), byKey(liveObjects, namespace)
	for _, object := range targetObjects {
		key := manifest.Key(object, namespace)
		other := nextByKey[key]
		if other == nil {
			continue
		}
		var forward []string
		if now := liveByKey[key]; now != nil && len(next.PreHooks()) == 0 { // a hook may delete the object
			if forward = immutableChanges(now, other); len(forward) > 0 && !exists(cluster, now) {
				forward = nil // it is created, and has the fields then
			}
		}
		for _, field := range immutableChanges(other, object) {
			if slices.Contains(forward, field) {
				continue
			}
			obstacles = append(obstacles, release.Obstacle{What: fmt.Sprintf("%s: %s cannot be changed, and differs in revision %d", manifest.KindAndName(object), field, target.Version)})
		}
	}
	obstacles = append(obstacles, missingPolicy(target, targetObjects, nextObjects)...)
	return append(obstacles, forwardOnlyHooks(target, since, next)...), nil
}

// exists reports whether the cluster certainly has an object.
func exists(cluster *objects.Cluster, object map[string]any) bool {
	text, err := manifest.Format([]map[string]any{object})
	if err != nil {
		return false
	}
	list, err := cluster.BuildServed(text.String())
	if err != nil || len(list) != 1 {
		return false
	}
	_, err = objects.Get(list[0])
	return err == nil
}

// byKey returns objects by their keys.
func byKey(list []map[string]any, namespace string) map[string]map[string]any {
	objects := make(map[string]map[string]any, len(list))
	for _, object := range list {
		objects[manifest.Key(object, namespace)] = object
	}
	return objects
}

// missingPolicy returns an obstacle if the next revision allows connections by a NetworkPolicy and the target has none. A policy that denies the rest of
// the namespace's connections is not the release's, and stays in a rollback. Source: kubernetes.io, "Network Policies", Default policies.
func missingPolicy(target *helmrelease.Release, targetObjects, nextObjects []map[string]any) []release.Obstacle {
	at := slices.IndexFunc(nextObjects, isIngressPolicy)
	if at < 0 || slices.ContainsFunc(targetObjects, isIngressPolicy) {
		return nil
	}
	return []release.Obstacle{{What: fmt.Sprintf("%s: revision %d has no NetworkPolicy: if the namespace has a default-deny policy, nothing reaches its pods after a rollback",
		manifest.KindAndName(nextObjects[at]), target.Version)}}
}

// isIngressPolicy reports whether an object is a NetworkPolicy about connections to pods, as every one is that does not name its types.
func isIngressPolicy(object map[string]any) bool {
	u := unstructured.Unstructured{Object: object}
	types, _, _ := unstructured.NestedStringSlice(object, "spec", "policyTypes")
	return u.GroupVersionKind().GroupKind() == (schema.GroupKind{Group: "networking.k8s.io", Kind: "NetworkPolicy"}) && (len(types) == 0 || slices.Contains(types, "Ingress"))
}

// forwardOnlyHooks lists the forward-only hooks that the target has not run: those that have run since, and those that the next
// revision would run.
func forwardOnlyHooks(target *helmrelease.Release, since []*helmrelease.Release, next *chart.Rendered) (obstacles []release.Obstacle) {
	listed := map[string]bool{}
	add := func(hook *helmrelease.Hook, what string) {
		object, err := manifest.ParseObject([]byte(hook.Manifest))
		if err != nil {
			return // rendering has parsed it
		}
		name := manifest.KindAndName(object)
		isOld := slices.ContainsFunc(target.Hooks, func(old *helmrelease.Hook) bool { return sameHook(old, hook) })
		if (&unstructured.Unstructured{Object: object}).GetAnnotations()[AnnotationForwardOnly] != "true" || isOld || listed[name] {
			return
		}
		listed[name] = true
		obstacles = append(obstacles, release.Obstacle{Forbids: true, What: fmt.Sprintf("%s: the hook is forward-only (%s)%s", name, AnnotationForwardOnly, what),
			Do: "deploy a commit that works with what the hook has changed; --allow-rollback deploys an older one anyway"})
	}
	for _, revision := range since {
		for _, hook := range revision.Hooks {
			if hasRun(hook, revision) {
				add(hook, fmt.Sprintf(", and has run in revision %d", revision.Version))
			}
		}
	}
	for _, hook := range slices.Concat(next.PreHooks(), next.PostHooks()) {
		add(hook, "")
	}
	return obstacles
}

// hasRun reports whether a hook was started in a revision, even if it failed, because part of its work may be done. Helm copies
// the hooks of a rollback's target, with the times of their last runs.
func hasRun(hook *helmrelease.Hook, revision *helmrelease.Release) bool {
	started := hook.LastRun.StartedAt
	return !started.IsZero() && (revision.Info == nil || !started.Before(revision.Info.LastDeployed))
}
