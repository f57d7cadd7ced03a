package helm

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/resource"
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
		done, err := k.applyOne(update, base.Intersect(one), one, force)
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

// updateFunc is Update of Helm's client, or a variant of it.
type updateFunc func(original, target kube.ResourceList, force bool) (*kube.Result, error)

// maxConflicts is how often an object is applied again that somebody else changes at the same time.
const maxConflicts = 2

const conflictPause = 250 * time.Millisecond

// applyOne applies one object, again if somebody else has changed it meanwhile. An object that is being deleted would accept the change and then be deleted: it is created again once it is gone. An object
// that a late request of an earlier, cancelled operation has created in the meantime is updated, if it belongs to the release.
func (k *kubeClient) applyOne(update updateFunc, base, one kube.ResourceList, force bool) (*kube.Result, error) {
	rendered := one[0].Object // an update replaces it by what the cluster answers
	done, err := update(base, one, force)
	for range maxConflicts {
		if err == nil || !failure.IsConflict(err) || !k.session.sleep(conflictPause) {
			break
		}
		one[0].Object, one[0].ResourceVersion = rendered, ""
		done, err = update(base, one, force)
	}
	switch current, lookup := k.afterUpdate(one[0], err); {
	case lookup != nil || current == nil:
		return done, err
	case isDeleting(current):
		if err := k.awaitGone(one[0]); err != nil {
			return done, err
		}
		one[0].Object, one[0].ResourceVersion = rendered, ""
		return update(base, one, force)
	case apierrors.IsAlreadyExists(err) && k.Owns(current):
		return update(one, one, force)
	}
	return done, err
}

// afterUpdate returns the object as the cluster has it after an update: what the cluster answered, or if it refused the update, what it has.
func (k *kubeClient) afterUpdate(info *resource.Info, err error) (*resource.Info, error) {
	if err == nil {
		return info, nil
	}
	if k.session.stopped() != nil {
		return nil, nil
	}
	return objects.Get(info)
}

func isDeleting(info *resource.Info) bool {
	_, deleting := objects.IsDeleting(info)
	return deleting
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
		k.removed = append(k.removed, done.Deleted...)
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
	more, err := k.leftBehind(resources)
	if err != nil {
		return nil, []error{err}
	}
	deleted, errs := k.Client.DeleteWithPropagationPolicy(append(resources[:len(resources):len(resources)], more...), policy)
	k.deletes = k.deletes || slices.ContainsFunc(errs, func(err error) bool { return !apierrors.IsForbidden(err) })
	if deleted != nil {
		k.deletes = k.deletes || len(deleted.Deleted) > 0
		k.removed = append(k.removed, deleted.Deleted...)
	}
	return deleted, errs
}

// leftBehind returns what only failed revisions have applied, without the objects that Helm's uninstall leaves because of an unknown resource policy.
func (k *kubeClient) leftBehind(resources kube.ResourceList) (kube.ResourceList, error) {
	found, err := k.ToDelete(nil, resources)
	return found.Filter(func(info *resource.Info) bool {
		_, isUnknown := manifest.UnknownPolicy(objects.Annotations(info))
		return !isUnknown
	}), err
}
