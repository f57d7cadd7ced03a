package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// webTemplate is a Deployment that any namespace admits.
const webTemplate = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app.kubernetes.io/instance: web}}
spec:
  SPEC
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, app.kubernetes.io/instance: web}}
    spec:
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: app
          image: "{{ .Values.image.repository }}@{{ .Values.image.digest }}"
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

// smallChart is a chart of one Deployment, with more files and a namespace of its own.
type smallChart struct {
	checkout
	image, namespace string
}

func newSmallChart(t *testing.T, namespace string) smallChart {
	t.Helper()
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	return smallChart{checkout: tree, image: tree.build(), namespace: namespace}
}

// put writes the chart: the Deployment's spec besides its template, more objects behind it, and other files.
func (c smallChart) put(spec, more string, files map[string]string) {
	c.t.Helper()
	all := map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n", "templates/all.yaml": strings.Replace(webTemplate, "SPEC", spec, 1) + more}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		path := filepath.Join(c.dir, "small", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c smallChart) run(args ...string) verbResult {
	c.t.Helper()
	return c.verb(c.t.Context(), appdeploy.Command(), append([]string{"--environment", c.namespace, "--image", c.image, "--chart", "small", "--release", "web",
		"--create-namespace", "--timeout", "2m", "--lease-duration", "3s", "--output", "json"}, args...)...)
}

// plan is the result of a dry run.
func (c smallChart) plan(args ...string) (release.Plan, verbResult) {
	c.t.Helper()
	got := c.run(append([]string{"--dry-run"}, args...)...)
	var result struct{ Plan release.Plan }
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		c.t.Fatalf("%v in %s", err, got.stdout)
	}
	return result.Plan, got
}

// TestARemovedSecretKeyIsRemoved: a key that leaves a Secret's stringData leaves the cluster, and the plan says so.
func TestARemovedSecretKeyIsRemoved(t *testing.T) {
	c := newSmallChart(t, "removed-key")
	const secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: cred}\nstringData:\n  A: one\n"
	c.put("replicas: 1", secret+"  B: hunter2\n", nil)
	c.run().expect(t, 0)
	c.put("replicas: 1", secret, nil)
	_, planned := c.plan()
	planned.expect(t, 0, "data.B: removed, value hidden")
	got := c.run()
	got.expect(t, 0)
	if strings.Contains(planned.stdout+planned.stderr+got.stdout+got.stderr, "hunter2") {
		t.Error("the value is shown")
	}
	live, err := client(t).CoreV1().Secrets(c.namespace).Get(t.Context(), "cred", meta.GetOptions{})
	if err != nil || string(live.Data["A"]) != "one" || len(live.Data) != 1 {
		t.Errorf("got %v, %v", live.Data, err)
	}
}

// TestCapacityIsKeptForAnAutoscaler: from fixed replicas to an autoscaler no pod is lost on the way.
func TestCapacityIsKeptForAnAutoscaler(t *testing.T) {
	c := newSmallChart(t, "autoscaler")
	c.put("replicas: 5", "", nil)
	c.run().expect(t, 0)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changes, err := client(t).AppsV1().Deployments(c.namespace).Watch(ctx, meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lowest := make(chan int32)
	go func() {
		low := int32(5)
		for change := range changes.ResultChan() {
			if deployment, ok := change.Object.(*apps.Deployment); ok {
				low = min(low, *deployment.Spec.Replicas)
			}
		}
		lowest <- low
	}()
	c.put("revisionHistoryLimit: 3", `---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  minReplicas: 5
  maxReplicas: 7
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
`, nil)
	const message = "Deployment/web keeps its 5 replicas, whose number HorizontalPodAutoscaler/web decides"
	_, planned := c.plan()
	planned.expect(t, 0, message)
	c.run().expect(t, 0, message)
	changes.Stop()
	if low := <-lowest; low < 5 {
		t.Errorf("the Deployment had %d replicas on the way", low)
	}
	again := c.run()
	again.expect(t, 0, `"outcome": "unchanged"`)
	c.put("replicas: 2", "", nil)
	c.run().expect(t, 0, "WARNING: Deployment/web goes from 5 to 2 replicas")
}

// TestValuesArriveAsGiven: what a chart sees on the node is what was given.
func TestValuesArriveAsGiven(t *testing.T) {
	c := newSmallChart(t, "values")
	c.put("replicas: {{ .Values.nothing }}", "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: v}\ndata:\n  v: {{ omit .Values \"image\" | toJson | quote }}\n  id: '{{ .Values.id }}'\n", nil)
	c.write("v.yaml", "num: 9007199254740993\nid: 123456789012\n")
	args := []string{"--values", "v.yaml", "--set", `pw=p\ss`, "--set", "list=a,b=c", "--set", "x={}", "--set", "image.pullPolicy=IfNotPresent", "--set-json", "big=123456789012345678"}
	c.run(args...).expect(t, 0)
	live, err := client(t).CoreV1().ConfigMaps(c.namespace).Get(t.Context(), "v", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"big":123456789012345678,"id":123456789012,"list":"a,b=c","num":9007199254740993,"pw":"p\\ss","x":"{}"}`; live.Data["v"] != want || live.Data["id"] != "123456789012" {
		t.Errorf("got %s and %s, want %s", live.Data["v"], live.Data["id"], want)
	}
	c.run(args...).expect(t, 0, `"outcome": "unchanged"`)
	c.write("v.yaml", "true: 1\non: 2\n")
	c.run("--values", "v.yaml").expect(t, release.ExitInput, "v.yaml:2: on:")
}

// widgets is a definition of Widgets in a group of the test's own, whose schema has the given properties.
func widgets(properties string) string {
	return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.plan.example.com}
spec:
  group: plan.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: ` + properties + `}}}}}
`
}

// TestDefinitionsAreAppliedOnDemand: what an upgrade leaves behind of a chart's definitions is reported, and applied if that is asked for.
func TestDefinitionsAreAppliedOnDemand(t *testing.T) {
	c := newSmallChart(t, "definitions")
	definitions := anyKind(t).Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	t.Cleanup(func() { _ = definitions.Delete(context.Background(), "widgets.plan.example.com", meta.DeleteOptions{}) })
	const widget = "---\napiVersion: plan.example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec:\n  size: 3\n"
	c.put("replicas: 1", widget, map[string]string{"crds/w.yaml": widgets("{size: {type: integer}}")})
	c.run().expect(t, 0)
	c.put("replicas: 1", widget+"  colour: red\n", map[string]string{"crds/w.yaml": widgets("{size: {type: integer}, colour: {type: string}}")})
	const message = "of the chart's crds directory differs from the cluster's (spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.colour)"
	_, planned := c.plan()
	planned.expect(t, 0, message)
	c.run().expect(t, 0, message)
	colour := func() string {
		live, err := anyKind(t).Resource(schema.GroupVersionResource{Group: "plan.example.com", Version: "v1", Resource: "widgets"}).Namespace(c.namespace).Get(t.Context(), "w", meta.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		colour, _, _ := unstructured.NestedString(live.Object, "spec", "colour")
		return colour
	}
	if got := colour(); got != "" {
		t.Errorf("the cluster keeps %q without the definition", got)
	}
	plan, planned := c.plan("--apply-crds")
	planned.expect(t, 0, "~ CustomResourceDefinition/widgets.plan.example.com")
	if plan.Outcome != release.Changed {
		t.Errorf("planned %s", plan.Outcome)
	}
	c.run("--apply-crds").expect(t, 0, "is applied")
	if got := colour(); got != "red" {
		t.Errorf("the cluster keeps %q with the definition", got)
	}
	c.run("--apply-crds").expect(t, 0, `"outcome": "unchanged"`)
	c.put("replicas: 1", widget, map[string]string{"crds/w.yaml": widgets("{shape: {type: string}}")})
	c.run("--apply-crds").expect(t, release.ExitFailed, "--apply-crds removes nothing")
}

// TestARecordThatDoesNotFitIsRefused: nothing is made of a release whose record the cluster would refuse.
func TestARecordThatDoesNotFitIsRefused(t *testing.T) {
	c := newSmallChart(t, "record")
	noise := make([]byte, 1_200_000)
	_, _ = rand.Read(noise)
	c.put("replicas: 1", "", map[string]string{"files/noise.bin": string(noise), "crds/w.yaml": strings.ReplaceAll(widgets("{}"), "plan.example", "record.example")})
	for _, args := range [][]string{{"--dry-run"}, nil} {
		c.run(args...).expect(t, release.ExitInput, "OD-217", "files/noise.bin (1200000 bytes)")
	}
	_, err := anyKind(t).Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).Get(t.Context(), "widgets.record.example.com", meta.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the definition was made: %v", err)
	}
}

func anyKind(t *testing.T) *dynamic.DynamicClient {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	made, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return made
}
