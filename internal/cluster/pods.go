package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Marks by which controllers tell the pods of the current template from older ones.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"        // Deployment and ReplicaSet
	templateAnnotation = "deprecated.daemonset.template.generation" // DaemonSet
	templateLabel      = "pod-template-generation"                  // its pods
)

// currentSet is the ReplicaSet that a Deployment is rolling out, nil until the controller has made it known: the older ones'
// pods say nothing of this release.
func currentSet(deployment *unstructured.Unstructured, sets []*apps.ReplicaSet) *apps.ReplicaSet {
	if deployment == nil {
		return nil
	}
	revision := deployment.GetAnnotations()[revisionAnnotation]
	if deployment.GetKind() != "Deployment" || revision == "" || unseen(deployment) {
		return nil
	}
	for _, set := range sets {
		if owned(set, deployment.GetUID()) && set.Annotations[revisionAnnotation] == revision {
			return set
		}
	}
	return nil
}

// currentPods are the pods that an object's current template made, those on their way out not counted, by name.
func currentPods(object *unstructured.Unstructured, sets []*apps.ReplicaSet, pods []*core.Pod) []*core.Pod {
	owner, current := object.GetUID(), func(*core.Pod) bool { return true }
	switch object.GetKind() {
	case "Deployment":
		set := currentSet(object, sets)
		if set == nil {
			return nil
		}
		owner = set.UID
	case "StatefulSet":
		revision, _, _ := unstructured.NestedString(object.Object, "status", "updateRevision")
		current = func(pod *core.Pod) bool {
			return !unseen(object) && pod.Labels[apps.ControllerRevisionHashLabelKey] == revision
		}
	case "DaemonSet":
		generation := object.GetAnnotations()[templateAnnotation]
		current = func(pod *core.Pod) bool {
			return !unseen(object) && (generation == "" || pod.Labels[templateLabel] == generation)
		}
	case "Pod":
		current = func(pod *core.Pod) bool { return pod.UID == owner }
	}
	var found []*core.Pod
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && (object.GetKind() == "Pod" || owned(pod, owner)) && current(pod) {
			found = append(found, pod)
		}
	}
	slices.SortFunc(found, func(a, b *core.Pod) int { return strings.Compare(a.Name, b.Name) })
	if object.GetKind() == "Job" { // it makes pods one after another; the last says most
		slices.SortStableFunc(found, func(a, b *core.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	}
	return found
}

// earlierPods are a StatefulSet's pods of an older template: it goes on to the next only when one is ready, so that a broken
// one of before can hold up this rollout.
func earlierPods(object *unstructured.Unstructured, current, pods []*core.Pod) (found []*core.Pod) {
	for _, pod := range pods {
		if object.GetKind() == "StatefulSet" && pod.DeletionTimestamp == nil && owned(pod, object.GetUID()) && !slices.Contains(current, pod) {
			found = append(found, pod)
		}
	}
	return found
}

func owned(object meta.Object, owner types.UID) bool {
	for _, reference := range object.GetOwnerReferences() {
		if reference.UID == owner && reference.Controller != nil && *reference.Controller {
			return true
		}
	}
	return false
}

// finding is what is the matter with one pod, or with an object whose pods cannot be created.
type finding struct {
	object    release.Object
	uid       types.UID
	container string
	reason    string // as the cluster words it
	message   string
	tries     int
	cause     *cause // nil: not known to be final
	started   bool   // the container has run, so that there is a log
}

func podObject(pod *core.Pod) release.Object {
	return release.Object{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
}

// examine finds what keeps a pod from being ready: a waiting container first, then one that is not ready, then the pod
// itself. Nil if it is ready or done.
func examine(pod *core.Pod) *finding {
	if pod.Status.Phase == core.PodSucceeded || podReady(pod) {
		return nil
	}
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	about := finding{object: podObject(pod), uid: pod.UID}
	for _, container := range statuses {
		if waiting := container.State.Waiting; waiting != nil {
			if known, found := causeOf(waiting.Reason); found {
				about.container, about.reason, about.message, about.cause = container.Name, waiting.Reason, wording(waiting.Message), &known
				about.started = container.RestartCount > 0 || container.LastTerminationState.Terminated != nil
				if ended := container.LastTerminationState.Terminated; ended != nil && known.crashed {
					about.message = ending(ended)
				}
				return &about
			}
		}
	}
	if scheduled := podCondition(pod, core.PodScheduled); scheduled != nil && scheduled.Status == core.ConditionFalse {
		about.reason, about.message = scheduled.Reason, wording(scheduled.Message)
		return &about
	}
	if pod.Status.Phase == core.PodFailed {
		about.reason, about.message = "PodFailed", wording(pod.Status.Reason+" "+pod.Status.Message)
		about.container, about.started = failedContainer(statuses, &about.message)
		return &about
	}
	return unready(pod, statuses, about)
}

// unready is a pod that nothing is known to be wrong with but that it is not ready.
func unready(pod *core.Pod, statuses []core.ContainerStatus, about finding) *finding {
	about.reason = "NotReady"
	for i, container := range statuses {
		state := container.State
		switch {
		case state.Waiting != nil && !container.Ready:
			about.container, about.reason, about.message = container.Name, state.Waiting.Reason, wording(state.Waiting.Message)
			return &about
		case state.Terminated != nil && state.Terminated.ExitCode != 0:
			about.container, about.reason, about.message, about.started = container.Name, state.Terminated.Reason, ending(state.Terminated), true
			return &about
		case state.Running != nil && !container.Ready:
			about.container, about.started = container.Name, true
			about.message = "running, but its readiness probe has not passed"
			if container.Started != nil && !*container.Started {
				about.message = "running, but its startup probe has not passed"
			}
			if i < len(pod.Status.InitContainerStatuses) {
				about.message = "the init container has not ended"
			}
			return &about
		}
	}
	if ready := podCondition(pod, core.PodReady); ready != nil {
		about.message = wording(ready.Message)
	}
	return &about
}

func failedContainer(statuses []core.ContainerStatus, message *string) (name string, started bool) {
	for _, container := range statuses {
		if ended := container.State.Terminated; ended != nil && ended.ExitCode != 0 {
			*message = ending(ended)
			return container.Name, true
		}
	}
	return "", false
}

// ending says how a container ended.
func ending(ended *core.ContainerStateTerminated) string {
	text := fmt.Sprintf("ended with exit code %d", ended.ExitCode)
	if ended.Signal != 0 {
		text = fmt.Sprintf("ended by signal %d", ended.Signal)
	}
	if ended.Reason != "" && ended.Reason != "Error" && ended.Reason != "Completed" {
		text += " (" + wording(ended.Reason) + ")"
	}
	if message := wording(ended.Message); message != "" {
		text += ": " + message
	}
	return text
}

func wording(text string) string { return cut(strings.TrimSpace(printable(text)), 512) }

func podReady(pod *core.Pod) bool {
	ready := podCondition(pod, core.PodReady)
	return ready != nil && ready.Status == core.ConditionTrue
}

func podCondition(pod *core.Pod, kind core.PodConditionType) *core.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// uncreatable finds out whether a Deployment's current ReplicaSet is kept from creating pods.
func uncreatable(deployment *unstructured.Unstructured, sets []*apps.ReplicaSet) *finding {
	set := currentSet(deployment, sets)
	if set == nil {
		return nil
	}
	for _, condition := range set.Status.Conditions {
		if condition.Type == apps.ReplicaSetReplicaFailure && condition.Status == core.ConditionTrue {
			known := creationCause(condition.Message)
			return &finding{
				object: release.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: set.Namespace, Name: set.Name},
				uid:    set.UID, reason: condition.Reason, message: wording(condition.Message), cause: &known,
			}
		}
	}
	return nil
}
