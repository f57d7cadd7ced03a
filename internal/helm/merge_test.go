package helm

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// manifestDeployment deploys a chart whose template is a web Deployment with the given spec, and more objects.
func manifestDeployment(t *testing.T, spec, more string) release.Deployment {
	t.Helper()
	d := deployment(t, "staging")
	template := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n" + spec + `
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "{{ .Values.image.repository }}@{{ .Values.image.digest }}"}]}
` + more
	d.Chart, d.ValuesFiles = files(t, map[string]string{"Chart.yaml": looseChart, "templates/all.yaml": template}), nil
	return d
}

const hpa = `---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {minReplicas: 5, maxReplicas: 7, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
`

func secretWith(data string) string {
	return "---\napiVersion: v1\nkind: Secret\nmetadata: {name: cred}\n" + data + "\n"
}

func (s *server) planOf(t *testing.T, c *Client, d release.Deployment) release.Plan {
	t.Helper()
	if s.object("/namespaces/staging") == nil {
		s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	}
	plan, err := c.Plan(t.Context(), d)
	if err != nil || len(plan.Problems) > 0 {
		t.Fatalf("got %+v, %v", plan, err)
	}
	return plan
}

// TestARemovedSecretKeyIsRemoved: the plan tells which key goes, and not its value, and the deploy removes it.
func TestARemovedSecretKeyIsRemoved(t *testing.T) {
	t.Parallel()
	base64Of := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, test := range map[string]struct{ before, after string }{
		"of stringData":              {"stringData: {A: one-one, B: hunter2}", "stringData: {A: one-one}"},
		"of stringData, now in data": {"stringData: {A: one-one, B: hunter2}", "data: {A: " + base64Of("one-one") + "}"},
		"of data, now in stringData": {"data: {A: " + base64Of("one-one") + ", B: " + base64Of("hunter2") + "}", "stringData: {A: one-one}"},
		"of both":                    {"stringData: {B: hunter2}\ndata: {A: " + base64Of("one-one") + "}", "stringData: {A: one-one}\ndata: {A: " + base64Of("other") + "}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c := s.client("staging")
			mustDeploy(t, c, manifestDeployment(t, "  replicas: 1", secretWith(test.before)))
			next := manifestDeployment(t, "  replicas: 1", secretWith(test.after))
			plan := s.planOf(t, c, next)
			want := []release.FieldChange{{Path: "data.B", Hidden: true, Before: release.HiddenValue}}
			at := slices.IndexFunc(plan.Changes, func(change release.Change) bool { return change.Object.Kind == "Secret" })
			if at < 0 || !cmp.Equal(want, plan.Changes[at].Fields) {
				t.Errorf("planned %+v", plan.Changes)
			}
			if strings.Contains(fmt.Sprint(plan), "hunter2") {
				t.Errorf("the value is shown: %+v", plan)
			}
			mustDeploy(t, c, next)
			if diff := cmp.Diff(map[string]any{"A": base64Of("one-one")}, s.object("/secrets/cred")["data"]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestAutoscaledReplicasAreKept: no deploy lowers what an autoscaler has scaled out, and what it lowers otherwise is told.
func TestAutoscaledReplicasAreKept(t *testing.T) {
	t.Parallel()
	liveHPA := map[string]any{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": map[string]any{"name": "web", "namespace": "staging"},
		"spec": map[string]any{"scaleTargetRef": map[string]any{"kind": "Deployment", "name": "web"}}}
	for name, test := range map[string]struct {
		before, beforeMore, after, afterMore string
		live                                 int64 // by an autoscaler or a person; 0: as applied
		hpa                                  map[string]any
		want                                 int64
		told                                 string
	}{
		"to an autoscaler of the chart":              {"  replicas: 5", "", "  revisionHistoryLimit: 3", hpa, 0, nil, 5, "Deployment/web keeps its 5 replicas, whose number HorizontalPodAutoscaler/web decides"},
		"to one in the cluster":                      {"  replicas: 5", "", "  revisionHistoryLimit: 3", "", 0, liveHPA, 5, "keeps its 5 replicas"},
		"to null replicas":                           {"  replicas: 5", "", "  replicas: null", hpa, 0, nil, 5, "keeps its 5 replicas"},
		"to the default":                             {"  replicas: 5", "", "  revisionHistoryLimit: 3", "", 0, nil, 0, "WARNING: Deployment/web goes from 5 to 1 replicas: the chart no longer sets their number"},
		"scaled out, and the chart sets fewer":       {"  replicas: 2", hpa, "  replicas: 2\n  revisionHistoryLimit: 3", hpa, 8, nil, 8, "keeps its 8 replicas"},
		"scaled in, and the chart sets more":         {"  replicas: 2", hpa, "  replicas: 4", hpa, 3, nil, 4, ""},
		"scaled out, and the autoscaler is given up": {"  replicas: 2", hpa, "  replicas: 3", "", 8, nil, 3, "WARNING: Deployment/web goes from 8 to 3 replicas"},
		"fewer":                               {"  replicas: 5", "", "  replicas: 2", "", 0, nil, 2, "WARNING: Deployment/web goes from 5 to 2 replicas"},
		"more":                                {"  replicas: 2", "", "  replicas: 5", "", 0, nil, 5, ""},
		"null stays null, scaled by a person": {"  replicas: null", "", "  replicas: null\n  revisionHistoryLimit: 3", "", 4, nil, 4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var logged []string
			c := s.client("staging")
			mustDeploy(t, c, manifestDeployment(t, test.before, test.beforeMore))
			if test.live > 0 {
				s.change("/deployments/web", func(object map[string]any) { object["spec"].(map[string]any)["replicas"] = test.live })
			}
			if test.hpa != nil {
				s.put("/apis/autoscaling/v2/namespaces/staging/horizontalpodautoscalers/web", test.hpa)
			}
			next := manifestDeployment(t, test.after, test.afterMore)
			plan := s.planOf(t, c, next)
			c.log = func(line string) { logged = append(logged, line) }
			mustDeploy(t, c, next)
			for what, lines := range map[string][]string{"planned": plan.Notes, "logged": logged} {
				if got := strings.Join(lines, "\n"); !strings.Contains(got, test.told) || test.told == "" && got != "" {
					t.Errorf("%s %q, want %q", what, got, test.told)
				}
			}
			spec := s.object("/deployments/web")["spec"].(map[string]any)
			if got, _ := spec["replicas"].(int64); got != test.want {
				t.Errorf("%d replicas, want %d", got, test.want)
			}
		})
	}
}

// TestWhatSomebodyChangedIsAppliedAgain: a field that is not as it was applied makes a release changed, and one that the chart leaves to others
// does not.
func TestWhatSomebodyChangedIsAppliedAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(object map[string]any)
		want   release.Outcome
	}{
		"a field of the chart": {func(object map[string]any) { object["spec"].(map[string]any)["minReadySeconds"] = int64(60) }, release.Changed},
		"a label of the chart": {func(object map[string]any) {
			unstructured.SetNestedField(object, "other", "spec", "template", "metadata", "labels", "app")
		}, release.Changed},
		"an annotation of others": {func(object map[string]any) {
			unstructured.SetNestedField(object, "x", "metadata", "annotations", "example.com/by-hand")
		}, release.Unchanged},
		"a field of others": {func(object map[string]any) { object["spec"].(map[string]any)["revisionHistoryLimit"] = int64(3) }, release.Unchanged},
	} {
		s := newServer(t)
		c, d := s.client("staging"), manifestDeployment(t, "  minReadySeconds: 1", "")
		mustDeploy(t, c, d)
		s.change("/deployments/web", test.change)
		if plan := s.planOf(t, c, d); plan.Outcome != test.want {
			t.Errorf("%s: planned %s, want %s", name, plan.Outcome, test.want)
		}
		if again := mustDeploy(t, c, d); again.Outcome != test.want {
			t.Errorf("%s: %s, want %s", name, again.Outcome, test.want)
		}
		if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged {
			t.Errorf("%s: the next deploy is %s", name, again.Outcome)
		}
	}
}

// TestWhatControllersFillIn: a field that a chart leaves to a controller, or that Helm itself sets, does not make a release changed.
func TestWhatControllersFillIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), manifestDeployment(t, "  minReadySeconds: 1", `---
apiVersion: v1
kind: Secret
metadata: {name: filled, labels: {app.kubernetes.io/managed-by: kustomize}}
data: {tls.crt: ""}
---
apiVersion: batch/v1
kind: Job
metadata: {name: queued}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: "{{ .Values.image.repository }}@{{ .Values.image.digest }}"}]}}}
`)
	mustDeploy(t, c, d)
	s.change("/secrets/filled", func(object map[string]any) { object["data"] = map[string]any{"tls.crt": "Y2VydA=="} })
	s.change("/jobs/queued", func(object map[string]any) { object["spec"].(map[string]any)["suspend"] = false })
	if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged {
		t.Errorf("got %s", again.Outcome)
	}
}

// TestAComparisonThatFails: a cluster that does not answer is an error, and one that refuses leaves the release as it is, with a warning.
func TestAComparisonThatFails(t *testing.T) {
	t.Parallel()
	for status, unchanged := range map[int]bool{http.StatusForbidden: true, http.StatusServiceUnavailable: false} {
		s := newServer(t)
		c, d := s.client("staging"), manifestDeployment(t, "  minReadySeconds: 1", "")
		var logged []string
		c.log = func(line string) { logged = append(logged, line) }
		mustDeploy(t, c, d)
		s.change("/deployments/web", func(object map[string]any) { object["spec"].(map[string]any)["minReadySeconds"] = int64(60) })
		s.answers(on("PATCH", "/deployments/web", status, "not now"))
		got, err := c.Deploy(t.Context(), d, ready)
		if unchanged && (err != nil || got.Outcome != release.Unchanged || !strings.Contains(strings.Join(logged, "\n"), "cannot be seen")) {
			t.Errorf("%d: got %s, %v, logged %q", status, got.Outcome, err, logged)
		}
		if !unchanged && err == nil {
			t.Errorf("%d: got %s", status, got.Outcome)
		}
	}
}

// TestUnchangedWithoutReplicas: replicas that the chart leaves to others do not make a release changed.
func TestUnchangedWithoutReplicas(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]release.Deployment{
		"null":       manifestDeployment(t, "  replicas: null", ""),
		"autoscaled": manifestDeployment(t, "  replicas: 2", hpa),
	} {
		s := newServer(t)
		c := s.client("staging")
		mustDeploy(t, c, d)
		s.change("/deployments/web", func(object map[string]any) { object["spec"].(map[string]any)["replicas"] = int64(6) })
		if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged {
			t.Errorf("%s: %s", name, again.Outcome)
		}
		if plan := s.planOf(t, c, d); plan.Outcome != release.Unchanged {
			t.Errorf("%s: planned %+v", name, plan)
		}
	}
}
