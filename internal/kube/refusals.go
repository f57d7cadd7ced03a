package kube

import (
	"time"

	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// refused finds out whether an object's pods may not be created, or its ReplicaSet: by a condition where there is one, else by
// an event.
func (w *watcher) refused(object *unstructured.Unstructured, sets []*apps.ReplicaSet, pods []*core.Pod) *finding {
	leaving := going(pods)
	switch object.GetKind() {
	case "Deployment":
		if found := setUncreated(object, leaving); found != nil {
			return found
		}
		if set := currentSet(object, sets); set != nil {
			return setRefused(set, leaving)
		}
		return podsRefused(object, leaving)
	case "ReplicaSet":
		set := &apps.ReplicaSet{}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, set) != nil {
			return nil
		}
		return setRefused(set, leaving)
	case "StatefulSet", "DaemonSet", "Job":
		return w.eventRefused(object, pods, leaving)
	}
	return nil
}

func setRefused(set *apps.ReplicaSet, leaving bool) *finding {
	for _, condition := range set.Status.Conditions {
		if condition.Type == apps.ReplicaSetReplicaFailure && condition.Status == core.ConditionTrue {
			found := &finding{object: release.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: set.Namespace, Name: set.Name},
				uid: set.UID, reason: condition.Reason, message: wording(condition.Message)}
			found.uncreated(condition.Message, leaving)
			return found
		}
	}
	return nil
}

// setUncreated is a Deployment whose ReplicaSet may not be created. Its controller says so without saying that it has seen the
// Deployment as it is now (pkg/controller/deployment, getNewReplicaSet: FailedRSCreateReason).
func setUncreated(object *unstructured.Unstructured, leaving bool) *finding {
	progress := conditions(object)["Progressing"]
	if progress.reason != "ReplicaSetCreateError" {
		return nil
	}
	found := about(object, progress.reason, progress.message)
	found.uncreated(progress.message, leaving)
	return &found
}

// podsRefused is a Deployment whose ReplicaSet we may not see: its condition is copied.
func podsRefused(object *unstructured.Unstructured, leaving bool) *finding {
	said := conditions(object)["ReplicaFailure"]
	if unseen(object) || said.status != "True" {
		return nil
	}
	found := about(object, said.reason, said.message)
	found.uncreated(said.message, leaving)
	return &found
}

func about(object *unstructured.Unstructured, reason, message string) finding {
	return finding{object: release.Object{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()},
		uid: object.GetUID(), reason: reason, message: wording(message), bears: never}
}

// eventRefused is a workload whose controller has no condition for it. An event counts that was not there when the watch began,
// while pods are missing and none was created after it.
func (w *watcher) eventRefused(object *unstructured.Unstructured, pods []*core.Pod, leaving bool) *finding {
	feed := w.events[object.GetNamespace()]
	var last *core.Event
	for _, event := range w.about[object.GetUID()] {
		if event.Reason == reasonUncreated && feed.ChangedSinceSync(event) {
			last = event
		}
	}
	if last == nil {
		return nil
	}
	made, newest := 0, time.Time{}
	for _, pod := range pods {
		if owned(pod, object.GetUID()) && pod.DeletionTimestamp == nil {
			made++
			if pod.CreationTimestamp.After(newest) {
				newest = pod.CreationTimestamp.Time
			}
		}
	}
	if made >= wantedPods(object) || made > 0 && !lastSeen(last).After(newest) {
		return nil
	}
	found := about(object, last.Reason, last.Message)
	found.uncreated(last.Message, leaving)
	return &found
}

// wantedPods is how many pods a workload wants at least at once.
func wantedPods(object *unstructured.Unstructured) int {
	if object.GetKind() == "Job" {
		return status.GetIntField(object.Object, ".spec.parallelism", 1)
	}
	_, desired := counted(object)
	return desired
}

func lastSeen(event *core.Event) time.Time {
	latest := event.CreationTimestamp.Time
	for _, t := range []meta.Time{event.FirstTimestamp, event.LastTimestamp, meta.NewTime(event.EventTime.Time), meta.NewTime(seriesTime(event))} {
		if t.After(latest) {
			latest = t.Time
		}
	}
	return latest
}

func seriesTime(event *core.Event) time.Time {
	if event.Series == nil {
		return time.Time{}
	}
	return event.Series.LastObservedTime.Time
}

func seriesCount(event *core.Event) int {
	if event.Series == nil {
		return 0
	}
	return int(event.Series.Count)
}
