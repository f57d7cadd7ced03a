package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestAKeptPlan: a plan is carried out as it was shown while nothing but status has changed, for a first install too, and refused with the object
// that somebody has changed. A field that the chart renders differently each time does not count.
func TestAKeptPlan(t *testing.T) {
	c := newSmallChart(t, "kept-plan")
	const more = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {word: "{{ .Values.word }}"}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: "{{ randAlphaNum 20 }}", token: hunter2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {minReplicas: 1, maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]}
`
	c.put("revisionHistoryLimit: 3", more, map[string]string{"values.yaml": "word: one\n"})
	keep := func(args ...string) (digest string) {
		t.Helper()
		got := c.run(append([]string{"--dry-run", "--plan-out", "plan.json"}, args...)...)
		got.expect(t, 0, "the plan is kept in plan.json: sha256:", "renders differently each time", "Secret/web stringData.password")
		var result struct{ PlanDigest string }
		if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(c.dir, "plan.json"))
		if err != nil || strings.Contains(string(file), "hunter2") {
			t.Errorf("%v, or the plan contains a secret:\n%s", err, file)
		}
		return result.PlanDigest
	}
	digest := keep()
	c.run("--plan", "plan.json", "--plan-digest", digest).expect(t, 0, "carrying out plan "+digest[:19])
	c.run("--plan", "plan.json").expect(t, release.ExitFailed, "release: planned on revision none, and now it has 1 (deployed)", "ConfigMap/web in kept-plan: it was created since the plan")

	keep("--set", "word=two")
	c.run("--plan", "plan.json", "--set", "word=three").expect(t, release.ExitFailed, "ConfigMap/web in kept-plan: the chart renders it differently than planned", "values: ")
	patch := func(word string) {
		t.Helper()
		if _, err := client(t).CoreV1().ConfigMaps(c.namespace).Patch(t.Context(), "web", types.MergePatchType, []byte(`{"data":{"word":"`+word+`"}}`), meta.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch("by hand")
	refused := c.run("--plan", "plan.json", "--set", "word=two")
	refused.expect(t, release.ExitFailed, "ConfigMap/web in kept-plan: it was changed since the plan")
	if strings.Contains(refused.stderr, "Deployment/web") || strings.Contains(refused.stderr, "Service/web") {
		t.Errorf("an object that nobody changed is listed:\n%s", refused.stderr)
	}
	patch("one")
	c.run("--plan", "plan.json", "--set", "word=two").expect(t, 0, "carrying out plan")
	live, err := client(t).CoreV1().ConfigMaps(c.namespace).Get(t.Context(), "web", meta.GetOptions{})
	if err != nil || live.Data["word"] != "two" {
		t.Errorf("got %v, %v", live.Data, err)
	}
}
