package kube

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/kube/store"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// provingTime is how long a container without a readiness probe must have run to be taken for ready. Kubernetes takes it for
// ready the moment it runs, and one that ends right away would pass.
// Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle, "Container probes", readinessProbe.
const provingTime = 3 * time.Second

// unproven holds back a workload that is ready by its own word while a container of it has yet to prove that it stays.
func (w *watcher) unproven(s *seen, t tracked, object *unstructured.Unstructured, now *condition) {
	switch t.object.Kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod":
	default:
		return
	}
	if left := w.hearing(failing{tracked: t}); left > 0 { // the pods may be heard after their workload
		now.done, now.message = false, "its pods are not heard of yet"
		s.after(left, func() {})
		return
	}
	for _, pod := range currentPods(object, store.All[*apps.ReplicaSet](w.sets[t.place.namespace]), store.All[*core.Pod](w.pods[t.place.namespace])) {
		view := w.view(pod, false)
		for _, status := range pod.Status.ContainerStatuses {
			if left := view.proof(status); left > 0 && pod.Status.Phase != core.PodSucceeded {
				now.done = false
				now.message = fmt.Sprintf("%s container %q has no readiness probe, and has yet to show that it stays", podObject(pod), status.Name)
				s.after(left, func() {})
			}
		}
	}
}

// proof is for how long a container has yet to run to be taken for well. One with a readiness probe has nothing to prove.
func (v view) proof(status core.ContainerStatus) (left time.Duration) {
	if spec := v.spec(status.Name); spec == nil || spec.ReadinessProbe != nil {
		return 0
	}
	if status.State.Running == nil {
		return time.Duration(min(1, ended(status))) * v.proving
	}
	seen := v.past(status.Name)
	if seen.running.IsZero() || seen.run != status.RestartCount {
		seen.running, seen.run = time.Now(), status.RestartCount
	}
	// Its own time has whole seconds, and another clock; ours knows only what we have seen.
	return v.proving - max(time.Since(seen.running), time.Since(status.State.Running.StartedAt.Time)-time.Second)
}
