package diagnose

import (
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Condition is one of an object's status.conditions.
type Condition struct {
	Status, Reason string
	Message        string // one line, at most 512 bytes
	Updated        string // time of its last update; only some kinds have it
}

// Conditions returns an object's status.conditions by type.
func Conditions(object *unstructured.Unstructured) map[string]Condition {
	found := map[string]Condition{}
	list, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, item := range list {
		fields, _ := item.(map[string]any)
		field := func(name string) string { value, _ := fields[name].(string); return value }
		found[field("type")] = Condition{field("status"), text.Line(field("reason"), text.NoLimit), text.Line(field("message"), maxMessage), field("lastUpdateTime")}
	}
	return found
}

// NotObserved reports whether the object's status is about an earlier generation of the object. kstatus accepts a status without
// observedGeneration, because some kinds have none. A workload has one from its controller's first sync on.
func NotObserved(object *unstructured.Unstructured) bool {
	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	switch object.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return err != nil || !found || observed < object.GetGeneration()
	}
	return found && observed < object.GetGeneration()
}

// Paused returns the finding about a paused Deployment, whose controller creates no ReplicaSet for a new template; nil for any
// other object. Its newest ReplicaSet is of an older template, and the pods of that say nothing about this release
// (pkg/controller/deployment/sync.go, sync; util/deployment_util.go, PausedDeployReason).
func Paused(object *unstructured.Unstructured) *Finding {
	paused, _, _ := unstructured.NestedBool(object.Object, "spec", "paused")
	if object.GetKind() != "Deployment" || !paused {
		return nil
	}
	updated, _, _ := unstructured.NestedInt64(object.Object, "status", "updatedReplicas")
	wanted, found, _ := unstructured.NestedInt64(object.Object, "spec", "replicas")
	if !found {
		wanted = 1
	}
	if updated >= wanted { // the template is rolled out and only the number of pods changes: a paused Deployment follows that
		return nil
	}
	finding := findingAbout(object, "DeploymentPaused", "spec.paused is true")
	finding.Code, finding.Grace = causes.DeploymentPaused, GracePaused
	return &finding
}

func jobFailed(job *unstructured.Unstructured) bool {
	conditions := Conditions(job)
	return conditions["Failed"].Status == "True" || conditions["FailureTarget"].Status == "True"
}

// FirstUpdated returns the lowest ordinal of a StatefulSet's pods that a rolling update replaces, and the set's partition: it counts from the
// set's first ordinal. Source: k8s.io/kubernetes, pkg/controller/statefulset/stateful_set_utils.go, newVersionedStatefulSetPod.
func FirstUpdated(set *unstructured.Unstructured) (ordinal, partition int64) {
	partition, _, _ = unstructured.NestedInt64(set.Object, "spec", "updateStrategy", "rollingUpdate", "partition")
	start, _, _ := unstructured.NestedInt64(set.Object, "spec", "ordinals", "start")
	return start + partition, partition
}
