package helm

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/cli-runtime/pkg/resource"
)

// Whose an object is. Source: helm.sh/helm/v3, pkg/action/validate.go.
const (
	ownerName  = "meta.helm.sh/release-name"
	ownerSpace = "meta.helm.sh/release-namespace"
)

// appliedAtOnce bounds how many objects of one kind are applied side by side.
const appliedAtOnce = 8

// Update brings the cluster from the original objects to the target ones, as Helm's client does: kind by kind in the order
// given, a three-way merge each. Objects of one kind are applied side by side. Where revisions failed since the last deployed
// one, the original is what any of them may have applied: Helm would leave behind what only a failed one had.
func (k *kubeClient) Update(original, target kube.ResourceList, force bool) (*kube.Result, error) {
	result := &kube.Result{}
	grounds, err := k.grounds()
	if err != nil {
		return result, err
	}
	base := k.base(original, target, grounds)
	for _, batch := range byKind(target) {
		if err := k.updateKind(base, batch, force, result); err != nil {
			return result, err
		}
	}
	return result, k.clean(original, target, result)
}

// byKind cuts a list where the kind changes.
func byKind(list kube.ResourceList) (batches []kube.ResourceList) {
	for i, info := range list {
		if i == 0 || info.Mapping.GroupVersionKind != list[i-1].Mapping.GroupVersionKind {
			batches = append(batches, nil)
		}
		batches[len(batches)-1] = append(batches[len(batches)-1], info)
	}
	return batches
}

// updateKind applies objects side by side, and tells everything that is wrong with any of them.
func (k *kubeClient) updateKind(base, batch kube.ResourceList, force bool, result *kube.Result) error {
	var (
		group errgroup.Group
		mu    sync.Mutex
		errs  []error
	)
	group.SetLimit(appliedAtOnce)
	for _, info := range batch {
		group.Go(func() error {
			one := kube.ResourceList{info}
			done, err := k.Client.Update(base.Intersect(one), one, force)
			mu.Lock()
			defer mu.Unlock()
			result.Created, result.Updated = append(result.Created, done.Created...), append(result.Updated, done.Updated...)
			if err != nil {
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = group.Wait() // errs has them all
	return errors.Join(errs...)
}

// grounds are the objects of each revision that may have been applied, oldest first. Kinds that the cluster serves no more
// have no objects in it either.
func (k *kubeClient) grounds() ([]kube.ResourceList, error) {
	lists := make([]kube.ResourceList, 0, len(k.remains))
	for _, manifest := range k.remains {
		list, err := k.served(manifest)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

func (k *kubeClient) served(manifest string) (kube.ResourceList, error) {
	objects, err := objectsOf(manifest)
	if err != nil {
		return nil, err
	}
	var served []map[string]any
	for _, object := range objects {
		kind := (&unstructured.Unstructured{Object: object}).GroupVersionKind()
		_, err := k.session.known.Load().mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		served = append(served, object)
	}
	text, err := written(served)
	if err != nil || len(served) == 0 {
		return nil, err
	}
	return k.Client.Build(text, false)
}

// base is what the target objects are merged with: the original ones, or where several revisions may have been applied, all
// that any of them set.
func (k *kubeClient) base(original, target kube.ResourceList, grounds []kube.ResourceList) kube.ResourceList {
	if len(grounds) == 0 {
		return original.Intersect(target)
	}
	var base kube.ResourceList
	for _, info := range target {
		var merged *resource.Info
		for _, ground := range grounds {
			if one := ground.Get(info); one != nil {
				merged = union(merged, one)
			}
		}
		if merged == nil {
			merged = original.Get(info) // an object that is adopted
		}
		if merged != nil {
			base = append(base, merged)
		}
	}
	return base
}

// union is an object with the fields of both; where both have one, the newer's.
func union(older, newer *resource.Info) *resource.Info {
	if older == nil {
		return newer
	}
	a, b := runtime.DeepCopyJSON(fieldsOf(older.Object)), runtime.DeepCopyJSON(fieldsOf(newer.Object))
	var fields map[string]any
	if meta, err := strategicpatch.NewPatchMetaFromStruct(kube.AsVersioned(newer)); err == nil && !isUnstructured(newer) {
		if merged, err := strategicpatch.StrategicMergeMapPatchUsingLookupPatchMeta(a, b, meta); err == nil {
			fields = merged
		}
	}
	if fields == nil {
		fields = overlay(a, b)
	}
	merged := *newer
	merged.Object = &unstructured.Unstructured{Object: fields}
	return &merged
}

func isUnstructured(info *resource.Info) bool {
	_, is := kube.AsVersioned(info).(*unstructured.Unstructured)
	return is
}

// clean deletes what a revision before has brought and the target has not. Helm would say nothing of what it fails to delete.
func (k *kubeClient) clean(original, target kube.ResourceList, result *kube.Result) error {
	left, err := k.left(original, target)
	if err != nil || len(left) == 0 {
		return err
	}
	done, errs := k.Client.Delete(left)
	if done != nil {
		result.Deleted = done.Deleted
	}
	var wrong []error
	for _, err := range errs {
		if apierrors.IsForbidden(err) {
			k.session.client.log("WARNING: an object that the release has no more stays: " + told(err.Error()))
			continue
		}
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("deleting what the release has no more: %w", errors.Join(wrong...))
	}
	return nil
}

// left are the objects of the revisions before that are in the cluster, that the target has not, and that are this release's:
// what a person has made, given to another release or marked to be kept, stays.
func (k *kubeClient) left(original, target kube.ResourceList) (left kube.ResourceList, err error) {
	grounds, err := k.grounds()
	if err != nil {
		return nil, err
	}
	candidates := original.Difference(target)
	for _, ground := range grounds {
		for _, info := range ground.Difference(target) {
			if !candidates.Contains(info) {
				candidates = append(candidates, info)
			}
		}
	}
	for _, info := range candidates {
		current, err := live(info)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("reading %s %q: %w", info.Mapping.GroupVersionKind.Kind, info.Name, err)
		}
		kept := annotationsOf(current)[kube.ResourcePolicyAnno] == kube.KeepPolicy
		nobodys := annotationsOf(current)[ownerName] == "" && original.Contains(info)
		if !kept && (nobodys || k.owns(current)) {
			left = append(left, info)
		}
	}
	return left, nil
}

// owns tells whether an object is marked as this release's.
func (k *kubeClient) owns(info *resource.Info) bool {
	marks := annotationsOf(info)
	return marks[ownerName] == k.release && marks[ownerSpace] == k.space
}

// DeleteWithPropagationPolicy deletes the objects of a release that is uninstalled, and those that failed revisions left.
func (k *kubeClient) DeleteWithPropagationPolicy(resources kube.ResourceList, policy metav1.DeletionPropagation) (*kube.Result, []error) {
	left, err := k.left(nil, resources)
	if err != nil {
		return nil, []error{err}
	}
	return k.Client.DeleteWithPropagationPolicy(append(resources[:len(resources):len(resources)], left...), policy)
}

// both are two maps of strings in one; the second wins.
func both(first, second map[string]string) map[string]string {
	made := make(map[string]string, len(first)+len(second))
	for _, one := range []map[string]string{first, second} {
		for name, value := range one {
			made[name] = value
		}
	}
	return made
}
