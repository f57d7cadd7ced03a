package diagnose

import (
	"slices"
	"strings"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Labels and annotations by which controllers distinguish the pods of the current template from older ones.
const (
	RevisionAnnotation = "deployment.kubernetes.io/revision"        // of a Deployment and its ReplicaSets
	templateAnnotation = "deprecated.daemonset.template.generation" // of a DaemonSet
	templateLabel      = "pod-template-generation"                  // of its pods
)

// CurrentReplicaSet returns the ReplicaSet that a Deployment is rolling out; nil until the controller has created it. Pods of
// older ReplicaSets say nothing about this release.
func CurrentReplicaSet(deployment *unstructured.Unstructured, sets []*apps.ReplicaSet) *apps.ReplicaSet {
	if deployment == nil {
		return nil
	}
	revision := deployment.GetAnnotations()[RevisionAnnotation]
	if deployment.GetKind() != "Deployment" || revision == "" || NotObserved(deployment) {
		return nil
	}
	for _, set := range sets {
		if IsOwned(set, deployment.GetUID()) && set.Annotations[RevisionAnnotation] == revision {
			return set
		}
	}
	return nil
}

// CurrentPods returns the pods of an object's current template, sorted by name, a Job's pods newest first. Pods that are being
// deleted are left out, except those of a failed Job: its controller deletes them, and they show why it failed.
func CurrentPods(object *unstructured.Unstructured, sets []*apps.ReplicaSet, pods []*core.Pod) []*core.Pod {
	owner, current := object.GetUID(), func(*core.Pod) bool { return true }
	switch object.GetKind() {
	case "Deployment":
		set := CurrentReplicaSet(object, sets)
		if set == nil {
			return nil
		}
		owner = set.UID
	case "StatefulSet":
		revision, _, _ := unstructured.NestedString(object.Object, "status", "updateRevision")
		current = func(pod *core.Pod) bool {
			return !NotObserved(object) && pod.Labels[apps.ControllerRevisionHashLabelKey] == revision
		}
	case "DaemonSet":
		generation := object.GetAnnotations()[templateAnnotation]
		current = func(pod *core.Pod) bool {
			return !NotObserved(object) && (generation == "" || pod.Labels[templateLabel] == generation)
		}
	case "Pod":
		current = func(pod *core.Pod) bool { return pod.UID == owner }
	}
	withDeleted := object.GetKind() == "Job" && jobFailed(object)
	var found []*core.Pod
	for _, pod := range pods {
		if (pod.DeletionTimestamp == nil || withDeleted) && (object.GetKind() == "Pod" || IsOwned(pod, owner)) && current(pod) {
			found = append(found, pod)
		}
	}
	slices.SortFunc(found, func(a, b *core.Pod) int { return strings.Compare(a.Name, b.Name) })
	if object.GetKind() == "Job" {
		slices.SortStableFunc(found, func(a, b *core.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	}
	return found
}

// EarlierPods returns a StatefulSet's pods of an older template; none for other kinds. A broken one can block the rollout: a
// StatefulSet replaces a pod only when the pods before it are ready.
func EarlierPods(object *unstructured.Unstructured, current, pods []*core.Pod) (found []*core.Pod) {
	for _, pod := range pods {
		if object.GetKind() == "StatefulSet" && pod.DeletionTimestamp == nil && IsOwned(pod, object.GetUID()) && !slices.Contains(current, pod) {
			found = append(found, pod)
		}
	}
	return found
}

// IsOwned reports whether the controller of an object has that UID.
func IsOwned(object meta.Object, owner types.UID) bool {
	for _, reference := range object.GetOwnerReferences() {
		if reference.UID == owner && reference.Controller != nil && *reference.Controller {
			return true
		}
	}
	return false
}
