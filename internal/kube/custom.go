package kube

import (
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// For how long the controller of a custom resource is given to make pods that no field asks for. Many kinds have none at times: a ScaledJob without work, a Workflow that is a
// template. No API says which these are.
const (
	silentPatience = time.Minute      // its status is empty, or of an older generation
	spokenPatience = 20 * time.Second // its status is of the present generation, or it names the image outside of a pod template
)

// awaitController says of a custom resource without pods how long its controller is given to make some. One with a number of replicas wants them as any workload does.
func awaitController(workload *release.RunningWorkload, live *unstructured.Unstructured, loose bool) {
	replicas, isSet := int64At(live, "spec", "replicas")
	suspended, _, _ := unstructured.NestedBool(live.Object, "spec", "suspend")
	switch {
	case isSet && replicas == 0:
		workload.Note = "wants no pod: it has 0 replicas"
	case suspended:
		workload.Note = "wants no pod: it is suspended"
	case workload.WantsPods && !loose:
		workload.Note = "its controller has made none"
	case loose, hasSpoken(live):
		workload.Patience, workload.Changed = spokenPatience, changedAt(live)
	default:
		workload.Patience, workload.Changed = silentPatience, changedAt(live)
	}
}

// hasSpoken reports whether a controller has written a status since the object's spec last changed, as far as it says of which generation it is.
// Source: kubernetes/community, API conventions, observedGeneration. Argo Rollouts writes it as a string.
func hasSpoken(live *unstructured.Unstructured) bool {
	status, _, _ := unstructured.NestedMap(live.Object, "status")
	if len(status) == 0 {
		return false
	}
	observed, isSet := status["observedGeneration"]
	return !isSet || generationOf(observed) == live.GetGeneration()
}

// generationOf returns a generation that is a number or a text; 0 if it is neither.
func generationOf(value any) int64 {
	switch value := value.(type) {
	case int64:
		return value
	case float64:
		return int64(value)
	case string:
		number, err := strconv.ParseInt(value, 10, 64)
		if err == nil {
			return number
		}
	}
	return 0
}

// changedAt returns when somebody last wrote an object apart from its status, by the cluster's clock.
func changedAt(live *unstructured.Unstructured) time.Time {
	newest := live.GetCreationTimestamp().Time
	for _, field := range live.GetManagedFields() {
		if field.Subresource == "" && field.Time != nil && field.Time.After(newest) {
			newest = field.Time.Time
		}
	}
	return newest
}
