package diagnose

import (
	"time"

	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Workload is an object that creates pods, with what is known about its pods.
type Workload struct {
	*unstructured.Unstructured
	ReplicaSets []*apps.ReplicaSet // of the namespace
	Pods        []*core.Pod        // of the namespace
	// Events are about the workload, oldest first, without those that existed before the watch began.
	Events []*core.Event
	// Wanted is the least number of pods that the workload wants at the same time.
	Wanted  int
	Leaving time.Duration // LeavingTime of Pods
}

// Refused explains why the workload's pods or its ReplicaSet may not be created; nil if no refusal is known. It reads a condition
// where the kind has one, or else events.
func (w Workload) Refused() *Finding {
	switch w.GetKind() {
	case "Deployment":
		if found := replicaSetRefused(w.Unstructured, w.Leaving); found != nil {
			return found
		}
		if set := CurrentReplicaSet(w.Unstructured, w.ReplicaSets); set != nil {
			return podsOfReplicaSetRefused(set, w.Leaving)
		}
		return podsOfDeploymentRefused(w.Unstructured, w.Leaving)
	case "ReplicaSet":
		set := &apps.ReplicaSet{}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(w.Object, set) != nil {
			return nil
		}
		return podsOfReplicaSetRefused(set, w.Leaving)
	case "StatefulSet", "DaemonSet", "Job":
		return w.refusedByEvent()
	}
	return nil
}

// podsOfReplicaSetRefused returns the finding about a ReplicaSet that may not create its pods; nil if it may.
func podsOfReplicaSetRefused(set *apps.ReplicaSet, leaving time.Duration) *Finding {
	for _, condition := range set.Status.Conditions {
		if condition.Type == apps.ReplicaSetReplicaFailure && condition.Status == core.ConditionTrue {
			found := &Finding{Object: release.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: set.Namespace, Name: set.Name},
				UID: set.UID, Reason: condition.Reason, Message: Message(condition.Message)}
			found.classifyRefusal(condition.Message, leaving)
			return found
		}
	}
	return nil
}

// replicaSetRefused returns the finding about a Deployment that may not create its ReplicaSet; nil if it may. The controller
// reports the refusal without updating observedGeneration (pkg/controller/deployment, getNewReplicaSet: FailedRSCreateReason).
func replicaSetRefused(deployment *unstructured.Unstructured, leaving time.Duration) *Finding {
	progress := Conditions(deployment)["Progressing"]
	if progress.Reason != "ReplicaSetCreateError" {
		return nil
	}
	found := findingAbout(deployment, progress.Reason, progress.Message)
	found.classifyRefusal(progress.Message, leaving)
	return &found
}

// podsOfDeploymentRefused returns the finding about a Deployment whose pods may not be created; nil if they may. It is for users
// who may not read ReplicaSets: the Deployment repeats the ReplicaSet's condition.
func podsOfDeploymentRefused(deployment *unstructured.Unstructured, leaving time.Duration) *Finding {
	failure := Conditions(deployment)["ReplicaFailure"]
	if NotObserved(deployment) || failure.Status != "True" {
		return nil
	}
	found := findingAbout(deployment, failure.Reason, failure.Message)
	found.classifyRefusal(failure.Message, leaving)
	return &found
}

func findingAbout(object *unstructured.Unstructured, reason, message string) Finding {
	return Finding{Object: release.Object{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()},
		UID: object.GetUID(), Reason: reason, Message: Message(message), Grace: GraceNever}
}

// refusedByEvent returns the finding about a workload whose controller reports a refusal by events only. An event counts while
// pods are missing and no pod was created after it.
func (w Workload) refusedByEvent() *Finding {
	var last *core.Event
	for _, event := range w.Events {
		if event.Reason == ReasonFailedCreate {
			last = event
		}
	}
	if last == nil {
		return nil
	}
	created, newest := 0, time.Time{}
	for _, pod := range w.Pods {
		if IsOwned(pod, w.GetUID()) && pod.DeletionTimestamp == nil {
			created++
			if pod.CreationTimestamp.After(newest) {
				newest = pod.CreationTimestamp.Time
			}
		}
	}
	if created >= w.Wanted || created > 0 && !LastOccurrence(last).After(newest) {
		return nil
	}
	found := findingAbout(w.Unstructured, last.Reason, last.Message)
	found.classifyRefusal(last.Message, w.Leaving)
	return &found
}
