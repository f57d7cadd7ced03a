package kube

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// condition is how far one object has come.
type condition struct {
	ready, desired int // -1 where the kind does not count
	done           bool
	failed         string // reason, as the cluster words it, if it cannot come further
	message        string
}

// conditionOf reads an object's status. Nothing counts that its controller said of an earlier generation of it.
func conditionOf(object *unstructured.Unstructured) condition {
	if object == nil {
		return condition{ready: -1, desired: -1, message: "not there yet"}
	}
	result, err := status.Compute(object)
	if err != nil {
		return condition{ready: -1, desired: -1, message: "its status cannot be read: " + cut(printable(err.Error()), 256)}
	}
	now := condition{done: result.Status == status.CurrentStatus, message: cut(printable(result.Message), 256)}
	now.ready, now.desired = counted(object)
	if unseen(object) {
		now.done, now.message = false, "not seen by its controller yet"
		return now
	}
	if result.Status == status.FailedStatus {
		now.failed = "Failed"
		if len(result.Conditions) > 0 && result.Conditions[0].Reason != "" {
			now.failed = result.Conditions[0].Reason
		}
	}
	switch object.GetKind() {
	case "Job":
		return ofJob(object, now)
	case "Pod":
		return ofPod(object, now)
	}
	return now
}

// unseen tells whether the controller has yet to look at the object as it is now. kstatus takes a status without
// observedGeneration for one that has none; a workload's has one from its controller's first look on.
func unseen(object *unstructured.Unstructured) bool {
	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	switch object.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return err != nil || !found || observed < object.GetGeneration()
	}
	return found && observed < object.GetGeneration()
}

// counted is how many of the object's pods of the current template are ready, and how many are to be.
func counted(object *unstructured.Unstructured) (ready, desired int) {
	count := func(missing int, path string) int { return status.GetIntField(object.Object, path, missing) }
	switch object.GetKind() {
	case "Deployment":
		return min(count(0, ".status.updatedReplicas"), count(0, ".status.availableReplicas")), count(1, ".spec.replicas")
	case "StatefulSet":
		return min(count(0, ".status.updatedReplicas"), count(0, ".status.readyReplicas")), count(1, ".spec.replicas")
	case "DaemonSet":
		return min(count(0, ".status.updatedNumberScheduled"), count(0, ".status.numberAvailable")), count(0, ".status.desiredNumberScheduled")
	case "ReplicaSet":
		return count(0, ".status.availableReplicas"), count(1, ".spec.replicas")
	case "Job":
		return count(0, ".status.succeeded"), count(count(1, ".spec.parallelism"), ".spec.completions")
	}
	return -1, -1
}

// ofJob waits for a Job's end, where kstatus is content with its start. A suspended one is meant to stand still.
func ofJob(object *unstructured.Unstructured, now condition) condition {
	if suspended, _, _ := unstructured.NestedBool(object.Object, "spec", "suspend"); suspended {
		now.done, now.message = true, "suspended"
		return now
	}
	said := conditions(object)
	if said["Complete"].status == "True" {
		now.done, now.failed = true, ""
		return now
	}
	if failed := said["Failed"]; failed.status == "True" {
		now.done, now.failed, now.message = false, "JobFailed", fmt.Sprintf("%s: %s", failed.reason, failed.message)
		return now
	}
	now.done = false
	return now
}

// ofPod does not take a pod that failed for one that is done, as kstatus does.
func ofPod(object *unstructured.Unstructured, now condition) condition {
	if phase, _, _ := unstructured.NestedString(object.Object, "status", "phase"); phase == "Failed" {
		now.done, now.failed = false, "PodFailed"
	} else if now.failed == "PodUnschedulable" {
		now.failed = "" // a node may come
	}
	return now
}

type detail struct{ status, reason, message string }

// conditions are an object's status.conditions by type.
func conditions(object *unstructured.Unstructured) map[string]detail {
	found := map[string]detail{}
	list, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, item := range list {
		fields, _ := item.(map[string]any)
		text := func(name string) string { value, _ := fields[name].(string); return value }
		found[text("type")] = detail{text("status"), printable(text("reason")), cut(printable(text("message")), 512)}
	}
	return found
}
