package rollout

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stuckPod is a broken pod of an older template that blocks the update of a StatefulSet: the controller replaces a pod only when
// all others are ready, and never repairs a pod whose template was rolled back.
// Source: kubernetes.io, "StatefulSets", "Forced rollback"; issue 67250.
type stuckPod struct {
	*core.Pod
	owner release.Object
}

// findStuck adds to a.stuck the pods of an older template that are not ready and so block the update of a StatefulSet. A pod is
// added if it is broken. If the previously live revision has failed, every such pod of that time is added. Hooks, StatefulSets with
// podManagementPolicy Parallel or strategy OnDelete, and pods below the partition are skipped.
func (a *assessor) findStuck() {
	for _, o := range a.known.objects {
		if o.object.Kind != "StatefulSet" || o.content == nil || a.policy.hook || diagnose.NotObserved(o.content) || !replacesInOrder(o.content) {
			continue
		}
		first, _ := diagnose.FirstUpdated(o.content)
		pods := a.namespaceOf(o).pods
		for _, pod := range diagnose.EarlierPods(o.content, a.currentPods(o), pods) {
			if ordinal(pod) >= first && !diagnose.IsReady(pod) && (a.known.before.Failed && a.seenBefore(pod.UID) || a.broken(pod)) {
				a.stuck = append(a.stuck, stuckPod{pod, o.object})
			}
		}
	}
}

// replacesInOrder reports whether a StatefulSet replaces its pods one after the other, without help.
func replacesInOrder(set *unstructured.Unstructured) bool {
	management, _, _ := unstructured.NestedString(set.Object, "spec", "podManagementPolicy")
	strategy, _, _ := unstructured.NestedString(set.Object, "spec", "updateStrategy", "type")
	return management != string(apps.ParallelPodManagement) && strategy != string(apps.OnDeleteStatefulSetStrategyType)
}

// ordinal returns the number at the end of the name of a StatefulSet's pod.
func ordinal(pod *core.Pod) int64 {
	number, err := strconv.ParseInt(pod.Name[strings.LastIndex(pod.Name, "-")+1:], 10, 64)
	if err != nil {
		return -1
	}
	return number
}

// broken reports whether a pod has a problem with a known cause that has lasted for its grace. Evidence from before the release
// was applied counts too.
func (a *assessor) broken(pod *core.Pod) bool {
	found, _ := a.pod(pod, false).Examine()
	if found == nil {
		return false
	}
	a.memory.observe(*found, a.now)
	expired, left := a.graceExpired(*found)
	return expired || found.Code == causes.CrashLoop || slices.Contains(backOffs, found.Reason) || left > 0 && a.due(left)
}

// retryDelete is the wait before a pod that could not be deleted is tried again.
const retryDelete = time.Second

// replace deletes pods so that their controller creates them again from the current template. It skips a pod that has changed
// since it was assessed.
func (r *rollout) replace(ctx context.Context, stuck []stuckPod) {
	for _, pod := range stuck {
		if r.replaced[pod.UID] {
			continue
		}
		err := r.client.Pods(pod.Namespace).Delete(ctx, pod.Name, meta.DeleteOptions{
			Preconditions: &meta.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion}})
		step := release.RolloutStep{Object: diagnose.PodObject(pod.Pod), Ready: -1, Desired: -1}
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err), ctx.Err() != nil:
			continue
		case apierrors.IsForbidden(err):
			step.Message = fmt.Sprintf("keeps %s from being rolled out, and may not be deleted: delete it by hand: %s", pod.owner, text.Line(err.Error(), 160))
		case err != nil:
			time.AfterFunc(retryDelete, r.wake)
			continue
		default:
			step.Done, step.Message = true, fmt.Sprintf("deleted: it was not ready, of an older template, and kept %s from being rolled out", pod.owner)
		}
		r.replaced[pod.UID] = true
		r.reporter.report([]release.RolloutStep{step})
	}
}
