package kube

import (
	"slices"
	"strings"

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
	leaving := object.GetKind() == "Job" && jobFailed(object) // its controller takes the pods away, and they say why
	var found []*core.Pod
	for _, pod := range pods {
		if (pod.DeletionTimestamp == nil || leaving) && (object.GetKind() == "Pod" || owned(pod, owner)) && current(pod) {
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

func jobFailed(job *unstructured.Unstructured) bool {
	said := conditions(job)
	return said["Failed"].status == "True" || said["FailureTarget"].status == "True"
}

// podOf is the pod that a finding is about, nil if it is about none.
func (w *watcher) podOf(found finding) *core.Pod {
	f := w.pods[found.object.Namespace]
	if found.object.Kind != "Pod" || f == nil {
		return nil
	}
	stored, _, _ := f.GetByKey(found.object.Namespace + "/" + found.object.Name)
	pod, _ := stored.(*core.Pod)
	return pod
}
