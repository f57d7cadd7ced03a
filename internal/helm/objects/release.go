package objects

import (
	"fmt"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/cli-runtime/pkg/resource"
)

// The annotations that say which release an object belongs to. Source: helm.sh/helm/v3, pkg/action/validate.go.
const (
	annotationRelease   = "meta.helm.sh/release-name"
	annotationNamespace = "meta.helm.sh/release-namespace"
)

// Release is one release's objects in a cluster.
type Release struct {
	*Cluster
	Name            string
	TargetNamespace string   // the release's namespace
	AppliedBefore   []string // manifests that may have been applied since the last deployed revision, including that one, oldest first; none if it is the newest

	autoscalers autoscalers
}

// Owns reports whether an object is annotated as this release's.
func (r *Release) Owns(info *resource.Info) bool {
	annotations := Annotations(info)
	return annotations[annotationRelease] == r.Name && annotations[annotationNamespace] == r.TargetNamespace
}

// OwnedByAnother reports whether an object is annotated as another release's.
func (r *Release) OwnedByAnother(info *resource.Info) bool {
	return Annotations(info)[annotationRelease] != "" && !r.Owns(info)
}

// AddOwner labels and annotates an object as the release's, as Helm does before it applies one.
func (r *Release) AddOwner(info *resource.Info) error {
	object := &unstructured.Unstructured{Object: manifest.Fields(info.Object)}
	labels := object.GetLabels() // nil if one of them is not a string: Helm drops them all
	if labels == nil {
		labels = map[string]string{}
	}
	labels["app.kubernetes.io/managed-by"] = "Helm"
	object.SetLabels(labels)
	info.Object = object
	return r.AnnotateOwner(info)
}

// AnnotateOwner annotates an object as this release's.
func (r *Release) AnnotateOwner(info *resource.Info) error {
	accessor, err := meta.Accessor(info.Object)
	if err != nil {
		return err
	}
	accessor.SetAnnotations(mergeStrings(accessor.GetAnnotations(), map[string]string{annotationRelease: r.Name, annotationNamespace: r.TargetNamespace}))
	return nil
}

// AppliedRevisions returns the objects of each manifest in AppliedBefore, without those whose kind the cluster no longer serves.
func (r *Release) AppliedRevisions() ([]kube.ResourceList, error) {
	lists := make([]kube.ResourceList, 0, len(r.AppliedBefore))
	for _, text := range r.AppliedBefore {
		list, err := r.BuildServed(text)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// MergeBase returns the earlier objects for the three-way merge with the target: the original objects, or, if several revisions
// may have been applied, the union of what they set. An object that is adopted was not applied before, and is merged with the
// original one.
func MergeBase(original, target kube.ResourceList, applied []kube.ResourceList) kube.ResourceList {
	var base kube.ResourceList
	if len(applied) == 0 {
		for _, info := range original.Intersect(target) {
			base = append(base, withRollingUpdate(info, target.Get(info)))
		}
		return base
	}
	for _, info := range target {
		var merged *resource.Info
		for _, list := range applied {
			if one := list.Get(info); one != nil {
				merged = union(merged, one)
			}
		}
		if merged == nil {
			merged = original.Get(info)
		}
		if merged != nil {
			base = append(base, withRollingUpdate(merged, info))
		}
	}
	return base
}

// union returns an object with the fields of both; the newer object's fields override.
func union(older, newer *resource.Info) *resource.Info {
	if older == nil {
		return newer
	}
	a, b := runtime.DeepCopyJSON(manifest.Fields(older.Object)), runtime.DeepCopyJSON(manifest.Fields(newer.Object))
	var fields map[string]any
	if patchMeta, err := strategicpatch.NewPatchMetaFromStruct(kube.AsVersioned(newer)); err == nil && !isUnstructured(newer) {
		if merged, err := strategicpatch.StrategicMergeMapPatchUsingLookupPatchMeta(a, b, patchMeta); err == nil {
			fields = merged
		}
	}
	if fields == nil {
		fields = manifest.Merge(a, b)
	}
	merged := *newer
	merged.Object = &unstructured.Unstructured{Object: fields}
	return &merged
}

func isUnstructured(info *resource.Info) bool {
	_, ok := kube.AsVersioned(info).(*unstructured.Unstructured)
	return ok
}

// ToDelete returns the objects of earlier revisions that are in the cluster, that the target lacks and that belong to this
// release. It leaves out an object that a person created, that belongs to another release or that is annotated to be kept.
func (r *Release) ToDelete(original, target kube.ResourceList) (list kube.ResourceList, err error) {
	applied, err := r.AppliedRevisions()
	if err != nil {
		return nil, err
	}
	candidates := original.Difference(target)
	for _, revision := range applied {
		for _, info := range revision.Difference(target) {
			if !candidates.Contains(info) {
				candidates = append(candidates, info)
			}
		}
	}
	for _, info := range candidates {
		current, err := Get(info)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case apierrors.IsForbidden(err):
			r.Log("WARNING: an object that is no longer part of the release may not be read, and stays: %s %q", info.Mapping.GroupVersionKind.Kind, info.Name)
			continue
		case err != nil:
			return nil, fmt.Errorf("reading %s %q: %w", info.Mapping.GroupVersionKind.Kind, info.Name, err)
		}
		unowned := Annotations(current)[annotationRelease] == "" && original.Contains(info)
		if !manifest.IsKept(Annotations(current)) && (unowned || r.Owns(current)) {
			list = append(list, info)
		}
	}
	return list, nil
}
