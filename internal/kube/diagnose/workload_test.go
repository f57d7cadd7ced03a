package diagnose

import (
	"testing"

	"github.com/onedigest/onedigest/internal/release/causes"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestPaused: a paused Deployment follows the number of its replicas, and does not roll out another template.
func TestPaused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind             string
		paused           bool
		replicas, update any
		want             causes.Code
	}{
		"a new template":           {"Deployment", true, int64(3), nil, causes.DeploymentPaused},
		"paused halfway":           {"Deployment", true, int64(3), int64(1), causes.DeploymentPaused},
		"one replica by default":   {"Deployment", true, nil, nil, causes.DeploymentPaused},
		"the template rolled out":  {"Deployment", true, int64(3), int64(3), ""},
		"default, rolled out":      {"Deployment", true, nil, int64(1), ""},
		"not paused":               {"Deployment", false, int64(3), nil, ""},
		"another kind that pauses": {"Rollout", true, int64(3), nil, ""},
	} {
		spec, status := map[string]any{"paused": test.paused}, map[string]any{}
		if test.replicas != nil {
			spec["replicas"] = test.replicas
		}
		if test.update != nil {
			status["updatedReplicas"] = test.update
		}
		found := Paused(&unstructured.Unstructured{Object: map[string]any{"kind": test.kind, "spec": spec, "status": status}})
		if got := found != nil; got != (test.want != "") || got && found.Code != test.want {
			t.Errorf("%s: got %+v, want code %q", name, found, test.want)
		}
	}
}
