package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
)

// Unchanged reports whether a deploy would change nothing except run and actor: the newest revision is deployed, its manifest and
// hooks equal the rendered ones, and its objects are still in the cluster as they were applied, and are not being deleted.
func Unchanged(ctx context.Context, rendered *chart.Rendered, state history.State, objectsOf *objects.Release) (bool, error) {
	newest := state.Newest()
	if newest == nil || newest.Info.Status != helmrelease.StatusDeployed {
		return false, nil
	}
	before, err := withoutRun(newest.Manifest)
	if err != nil {
		return false, err
	}
	after, err := withoutRun(rendered.Manifest)
	if err != nil {
		return false, err
	}
	if before != after || !sameHooks(newest.Hooks, rendered.Hooks) {
		return false, nil
	}
	return matchesCluster(ctx, newest, objectsOf)
}

// withoutRun returns a manifest without the annotations that differ from run to run.
func withoutRun(text string) (string, error) {
	list, err := manifest.Parse(text)
	if err != nil {
		return "", err
	}
	for _, object := range list {
		removeRun(object)
	}
	formatted, err := manifest.Format(list)
	if err != nil {
		return "", err
	}
	return formatted.String(), nil
}

// removeRun removes an object's annotations that name the run and the actor.
func removeRun(object map[string]any) {
	unstructured.RemoveNestedField(object, "metadata", "annotations", release.AnnotationRun)
	unstructured.RemoveNestedField(object, "metadata", "annotations", release.AnnotationActor)
}

// sameHooks reports whether two revisions have the same hooks in the same order.
func sameHooks(a, b []*helmrelease.Hook) bool { return slices.EqualFunc(a, b, sameHook) }

// sameHook compares the template's path and the rendered text, of a test without its name: charts give it a random one.
func sameHook(a, b *helmrelease.Hook) bool {
	if a.Path != b.Path {
		return false
	}
	if strings.TrimSpace(a.Manifest) == strings.TrimSpace(b.Manifest) {
		return true
	}
	if !isTest(a) || !isTest(b) {
		return false
	}
	once, errOnce := manifest.ParseObject([]byte(a.Manifest))
	again, errAgain := manifest.ParseObject([]byte(b.Manifest))
	if errOnce != nil || errAgain != nil {
		return false
	}
	hideVaryingName(once, again)
	return manifest.JSON(once) == manifest.JSON(again)
}

// isTest reports whether a hook runs for helm test alone, which no deploy does.
func isTest(hook *helmrelease.Hook) bool {
	return len(hook.Events) > 0 && !slices.ContainsFunc(hook.Events, func(event helmrelease.HookEvent) bool { return event != helmrelease.HookTest })
}

// matchesCluster reports whether every object of a revision is in the cluster, and is not being deleted, with the fields that the revision sets. Fields of
// custom resources count only if they name images or replicas: Helm does not set the others again.
func matchesCluster(ctx context.Context, revision *helmrelease.Release, objectsOf *objects.Release) (bool, error) {
	list, err := objectsOf.Build(strings.NewReader(revision.Manifest), false)
	if err != nil {
		return false, failure.Classify(ctx, err, "reading the objects of release %q in namespace %q", revision.Name, revision.Namespace)
	}
	live := make([]bool, len(list))
	err = objects.Each(len(list), func(i int) error {
		current, err := objects.Get(list[i])
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return failure.Classify(ctx, err, "reading %s %q of release %q", list[i].Mapping.GroupVersionKind.Kind, list[i].Name, revision.Name)
		}
		applied, found := runtime.DeepCopyJSON(manifest.Fields(list[i].Object)), manifest.Fields(current.Object)
		if manifest.ValueAt(applied, "spec.replicas", nil) != nil && objectsOf.Autoscaler(list[i], list) != "" {
			unstructured.RemoveNestedField(applied, "spec", "replicas")
		}
		_, deleting := objects.IsDeleting(current)
		live[i] = !deleting && !replicasChanged(applied, found)
		if live[i] {
			owner := &objects.Release{Name: revision.Name, TargetNamespace: revision.Namespace}
			live[i], err = isAsApplied(list[i], current, applied, owner, objectsOf.Log)
		}
		return err
	})
	return err == nil && !slices.Contains(live, false), err
}

// isAsApplied reports whether applying the fields again would change nothing of the live object, also if a webhook names other images than the
// chart. Where that cannot be tried, for custom resources and, with a warning, for what the cluster refuses, the images alone are compared.
func isAsApplied(info, current *resource.Info, applied map[string]any, owner *objects.Release, log func(string, ...any)) (bool, error) {
	again, live := *info, manifest.Fields(current.Object)
	removeFilled(info.Mapping.GroupVersionKind.Kind, applied)
	again.Object = &unstructured.Unstructured{Object: applied}
	if _, custom := kube.AsVersioned(&again).(runtime.Unstructured); custom {
		return !imagesChanged(applied, live), nil
	}
	if err := owner.AddOwner(&again); err != nil {
		return false, err
	}
	result := dryRunResult{live: live}
	var err error
	result.reapplied, err = dryRunReapply(&again, current)
	switch {
	case err == nil:
	case failure.IsTransient(err):
		return false, fmt.Errorf("comparing %s: %w", objects.ID(info), err)
	default:
		log("WARNING: whether %s was changed since it was applied cannot be seen: %s", objects.ID(info), failure.Sanitize(err.Error()))
		return !imagesChanged(applied, live), nil
	}
	return len(result.drift()) == 0, nil
}

// removeFilled removes the fields that charts leave to controllers to fill in: empty ones, a webhook's authority, the rules of an aggregated
// role, and whether a Job is suspended.
func removeFilled(kind string, fields map[string]any) {
	switch kind {
	case "Job":
		unstructured.RemoveNestedField(fields, "spec", "suspend")
	case "ClusterRole":
		if fields["aggregationRule"] != nil {
			delete(fields, "rules")
		}
	case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService", "CustomResourceDefinition":
		removeAuthorities(fields)
	}
	removeEmpty(fields)
}

// removeAuthorities removes every field caBundle.
func removeAuthorities(value any) {
	switch value := value.(type) {
	case map[string]any:
		delete(value, "caBundle")
		for _, each := range value {
			removeAuthorities(each)
		}
	case []any:
		for _, each := range value {
			removeAuthorities(each)
		}
	}
}

// removeEmpty removes empty texts, lists and maps, but none of a list's items: a list without a key is compared as a whole.
func removeEmpty(fields map[string]any) {
	for name, value := range fields {
		switch value := value.(type) {
		case string:
			if value == "" {
				delete(fields, name)
			}
		case []any:
			if len(value) == 0 {
				delete(fields, name)
			}
		case map[string]any:
			if removeEmpty(value); len(value) == 0 {
				delete(fields, name)
			}
		}
	}
}

// replicasChanged reports whether a live workload has another number of replicas than was applied. If the manifest sets no
// replicas, they are an autoscaler's.
func replicasChanged(applied, live map[string]any) bool {
	replicas := manifest.ValueAt(applied, "spec.replicas", nil)
	return replicas != nil && fmt.Sprint(replicas) != fmt.Sprint(manifest.ValueAt(live, "spec.replicas", nil))
}

// imagesChanged reports whether a live workload has other images than were applied.
func imagesChanged(applied, live map[string]any) bool {
	running := manifest.Images(live)
	return slices.ContainsFunc(manifest.Images(applied), func(image string) bool { return !slices.Contains(running, image) })
}
