package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	t.Parallel()
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

func (c smallChart) run(args ...string) ran {
	c.t.Helper()
	return c.verb(c.t.Context(), appdeploy.Command(), append([]string{"--environment", c.namespace, "--image", c.image, "--chart", "small", "--release", "web",
		"--create-namespace", "--timeout", "2m", "--lease-duration", "3s", "--output", "json"}, args...)...)
}

// plan is the result of a dry run.
func (c smallChart) plan(args ...string) (release.Plan, ran) {
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
	c.run().holds(t, 0)
	c.put("replicas: 1", secret, nil)
	_, planned := c.plan()
	planned.holds(t, 0, "data.B: removed, value hidden")
	got := c.run()
	got.holds(t, 0)
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
	c.run().holds(t, 0)
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
			if deployment, is := change.Object.(*apps.Deployment); is {
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
	const told = "Deployment/web keeps its 5 replicas, whose number HorizontalPodAutoscaler/web decides"
	_, planned := c.plan()
	planned.holds(t, 0, told)
	c.run().holds(t, 0, told)
	changes.Stop()
	if low := <-lowest; low < 5 {
		t.Errorf("the Deployment had %d replicas on the way", low)
	}
	again := c.run()
	again.holds(t, 0, `"outcome": "unchanged"`)
	c.put("replicas: 2", "", nil)
	c.run().holds(t, 0, "WARNING: Deployment/web goes from 5 to 2 replicas")
}

// TestValuesArriveAsGiven: what a chart sees on the node is what was given.
func TestValuesArriveAsGiven(t *testing.T) {
	c := newSmallChart(t, "values")
	c.put("replicas: {{ .Values.nothing }}", "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: v}\ndata:\n  v: {{ omit .Values \"image\" | toJson | quote }}\n  id: '{{ .Values.id }}'\n", nil)
	c.write("v.yaml", "num: 9007199254740993\nid: 123456789012\n")
	args := []string{"--values", "v.yaml", "--set", `pw=p\ss`, "--set", "list=a,b=c", "--set", "x={}", "--set", "image.pullPolicy=IfNotPresent", "--set-json", "big=123456789012345678"}
	c.run(args...).holds(t, 0)
	live, err := client(t).CoreV1().ConfigMaps(c.namespace).Get(t.Context(), "v", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"big":123456789012345678,"id":123456789012,"list":"a,b=c","num":9007199254740993,"pw":"p\\ss","x":"{}"}`; live.Data["v"] != want || live.Data["id"] != "123456789012" {
		t.Errorf("got %s and %s, want %s", live.Data["v"], live.Data["id"], want)
	}
	c.run(args...).holds(t, 0, `"outcome": "unchanged"`)
	c.write("v.yaml", "true: 1\non: 2\n")
	c.run("--values", "v.yaml").holds(t, release.ExitInput, "v.yaml:2: on:")
}
