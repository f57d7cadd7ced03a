package helm

import (
	"errors"
	"fmt"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Update changes the cluster from the original objects to the target ones as Helm's client does, with a three-way merge of each
// object, but applies objects of one kind in parallel. If revisions failed since the last deployed one, it compares with what any
// of them may have applied: Helm would leave behind objects that only a failed revision had. It keeps replicas that an autoscaler
// has set.
func (k *kubeClient) Update(original, target kube.ResourceList, force bool) (*kube.Result, error) {
	result := &kube.Result{}
	applied, err := k.AppliedRevisions()
	if err != nil {
		return result, err
	}
	base := objects.MergeBase(original, target, applied)
	for _, line := range k.KeepReplicas(base, target) {
		k.session.client.log(line)
	}
	for _, batch := range splitByKind(target) {
		if err := k.updateBatch(base, batch, force, result); err != nil {
			return result, err
		}
	}
	return result, k.deleteRemoved(original, target, result)
}

// splitByKind splits a sorted list into batches of one kind each.
func splitByKind(list kube.ResourceList) (batches []kube.ResourceList) {
	for i, info := range list {
		if i == 0 || info.Mapping.GroupVersionKind != list[i-1].Mapping.GroupVersionKind {
			batches = append(batches, nil)
		}
		batches[len(batches)-1] = append(batches[len(batches)-1], info)
	}
	return batches
}

// updateBatch applies objects in parallel, and returns the errors of all of them.
func (k *kubeClient) updateBatch(base, batch kube.ResourceList, force bool, result *kube.Result) error {
	var (
		mu   sync.Mutex
		errs []error
	)
	_ = objects.Each(len(batch), func(i int) error {
		one := kube.ResourceList{batch[i]}
		update := k.Client.Update
		if k.redefined[one[0].Mapping.GroupVersionKind.GroupKind()] { // the live object may lack fields that the manifest has always had
			k.awaitSchema(one[0])
			update = k.Client.UpdateThreeWayMerge
		}
		done, err := update(base.Intersect(one), one, force)
		mu.Lock()
		defer mu.Unlock()
		result.Created, result.Updated = append(result.Created, done.Created...), append(result.Updated, done.Updated...)
		if err != nil {
			errs = append(errs, err)
		}
		return nil // errs has the errors of all objects, not only the first
	})
	return errors.Join(errs...)
}

// deleteRemoved deletes objects of earlier revisions that the target lacks. Helm would not report deletions that fail.
func (k *kubeClient) deleteRemoved(original, target kube.ResourceList, result *kube.Result) error {
	removed, err := k.ToDelete(original, target)
	if err != nil || len(removed) == 0 {
		return err
	}
	done, errs := k.Client.Delete(removed)
	if done != nil {
		result.Deleted = done.Deleted
	}
	var failed []error
	for _, err := range errs {
		if apierrors.IsForbidden(err) {
			k.session.client.log("WARNING: an object that is no longer part of the release is not deleted: " + failure.Sanitize(err.Error()))
			continue
		}
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return fmt.Errorf("deleting what is no longer part of the release: %w", errors.Join(failed...))
	}
	return nil
}

// DeleteWithPropagationPolicy deletes the objects of a release that is uninstalled, including those that only failed revisions
// have applied.
func (k *kubeClient) DeleteWithPropagationPolicy(resources kube.ResourceList, policy metav1.DeletionPropagation) (*kube.Result, []error) {
	more, err := k.ToDelete(nil, resources)
	if err != nil {
		return nil, []error{err}
	}
	return k.Client.DeleteWithPropagationPolicy(append(resources[:len(resources):len(resources)], more...), policy)
}
