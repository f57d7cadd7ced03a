package rollout

import (
	"fmt"
	"strconv"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// readiness is what an object's status says about its rollout.
type readiness struct {
	ready, desired int // pods; -1 for a kind without any
	done           bool
	failed         string // the cluster's reason if it has given up on the object
	declared       string // why it failed by the annotations of a custom resource, or ""
	expects        bool   // a custom resource says by an annotation when it is ready
	older          int    // pods of an older template that stay by the workload's own settings
	note           string // what to report about an object that is done
	message        string
}

// readinessOf reads an object's status. It ignores a status about an earlier generation of the object.
func readinessOf(object *unstructured.Unstructured) readiness {
	if object == nil {
		return readiness{ready: -1, desired: -1, message: "does not exist yet"}
	}
	object = withoutForeignProgress(withNumericGeneration(object))
	result, err := status.Compute(object)
	if err != nil {
		return readiness{ready: -1, desired: -1, message: "its status cannot be read: " + text.Line(err.Error(), 256)}
	}
	cond := readiness{done: result.Status == status.CurrentStatus, message: text.Line(result.Message, 256)}
	cond.ready, cond.desired = podCounts(object)
	if diagnose.NotObserved(object) {
		cond.done, cond.message = false, "not observed by its controller yet"
		return cond
	}
	if result.Status == status.FailedStatus {
		cond.failed = "Failed"
		if len(result.Conditions) > 0 && result.Conditions[0].Reason != "" {
			cond.failed = result.Conditions[0].Reason
		}
	}
	switch object.GetKind() {
	case "StatefulSet":
		return availableCondition(object, cond)
	case "Job":
		return jobCondition(object, cond)
	case "Pod":
		return podCondition(object, cond)
	}
	return cond
}

// withNumericGeneration returns the object with a numeric observedGeneration: Argo Rollouts writes a string, which kstatus cannot
// read. A string that is not a number is removed.
func withNumericGeneration(object *unstructured.Unstructured) *unstructured.Unstructured {
	written, found, err := unstructured.NestedString(object.Object, "status", "observedGeneration")
	if err != nil || !found {
		return object
	}
	object = object.DeepCopy()
	unstructured.RemoveNestedField(object.Object, "status", "observedGeneration")
	if observed, err := strconv.ParseInt(written, 10, 64); err == nil {
		_ = unstructured.SetNestedField(object.Object, observed, "status", "observedGeneration")
	}
	return object
}

// withoutForeignProgress returns the object without what kstatus waits for and no controller will report: that a Deployment progresses which somebody has
// paused after its template was rolled out, and that the pods of a ReplicaSet, which never replaces one, have the labels of a changed template.
// Source: k8s.io/kubernetes, pkg/controller/deployment/sync.go, checkPausedConditions; pkg/controller/replicaset/replica_set_utils.go.
func withoutForeignProgress(object *unstructured.Unstructured) *unstructured.Unstructured {
	paused, _, _ := unstructured.NestedBool(object.Object, "spec", "paused")
	switch {
	case object.GetKind() == "Deployment" && paused && diagnose.Paused(object) == nil:
		object = object.DeepCopy()
		unstructured.RemoveNestedField(object.Object, "spec", "progressDeadlineSeconds")
	case object.GetKind() == "ReplicaSet":
		object = object.DeepCopy()
		_ = unstructured.SetNestedField(object.Object, int64(status.GetIntField(object.Object, ".status.replicas", 0)), "status", "fullyLabeledReplicas")
	}
	return object
}

// podCounts returns how many of the object's pods of the current template are ready, and how many it wants.
func podCounts(object *unstructured.Unstructured) (ready, desired int) {
	count := func(missing int, path string) int { return status.GetIntField(object.Object, path, missing) }
	switch object.GetKind() {
	case "Deployment":
		return min(count(0, ".status.updatedReplicas"), count(0, ".status.availableReplicas")), count(1, ".spec.replicas")
	case "StatefulSet":
		ready := ".status.readyReplicas"
		if count(0, ".spec.minReadySeconds") > 0 {
			ready = ".status.availableReplicas"
		}
		return min(count(0, ".status.updatedReplicas"), count(0, ready)), count(1, ".spec.replicas")
	case "DaemonSet":
		return min(count(0, ".status.updatedNumberScheduled"), count(0, ".status.numberAvailable")), count(0, ".status.desiredNumberScheduled")
	case "ReplicaSet":
		return count(0, ".status.availableReplicas"), count(1, ".spec.replicas")
	case "Job":
		return count(0, ".status.succeeded"), count(count(1, ".spec.parallelism"), ".spec.completions")
	}
	return -1, -1
}

// availableCondition is not done while pods of a StatefulSet have been ready for less than its minReadySeconds. kstatus counts ready pods; of
// Deployments and DaemonSets it counts available ones.
// Source: kubernetes.io, "StatefulSets", Minimum ready seconds.
func availableCondition(set *unstructured.Unstructured, cond readiness) readiness {
	wait := status.GetIntField(set.Object, ".spec.minReadySeconds", 0)
	available, wanted := status.GetIntField(set.Object, ".status.availableReplicas", 0), status.GetIntField(set.Object, ".spec.replicas", 1)
	if cond.done && wait > 0 && available < wanted {
		cond.done, cond.message = false, fmt.Sprintf("Available: %d/%d: minReadySeconds is %d", available, wanted, wait)
	}
	return cond
}

// jobCondition is done when a Job has completed or is suspended. kstatus would accept a Job that has started.
func jobCondition(object *unstructured.Unstructured, cond readiness) readiness {
	if suspended, _, _ := unstructured.NestedBool(object.Object, "spec", "suspend"); suspended {
		cond.done, cond.message = true, "suspended"
		return cond
	}
	conditions := diagnose.Conditions(object)
	if conditions["Complete"].Status == "True" {
		cond.done, cond.failed = true, ""
		return cond
	}
	if failed := conditions["Failed"]; failed.Status == "True" {
		cond.done, cond.failed, cond.message = false, "JobFailed", fmt.Sprintf("%s: %s", failed.Reason, failed.Message)
		return cond
	}
	cond.done = false
	return cond
}

// podCondition treats a failed pod as not done; kstatus treats it as done.
func podCondition(object *unstructured.Unstructured, cond readiness) readiness {
	if phase, _, _ := unstructured.NestedString(object.Object, "status", "phase"); phase == "Failed" {
		cond.done, cond.failed = false, "PodFailed"
	} else if cond.failed == "PodUnschedulable" {
		cond.failed = "" // a node may be added
	}
	return cond
}
