package helm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// mustPlan plans a deployment.
func mustPlan(t *testing.T, c *Client, d release.Deployment) release.Plan {
	t.Helper()
	plan, err := c.Plan(t.Context(), d)
	if err != nil || len(plan.Problems) > 0 {
		t.Fatalf("got %+v, %v", plan.Problems, err)
	}
	return plan
}

// differing lists the objects whose digests differ in two bases, and which of the digests of everything do.
func differing(a, b release.Basis) (list []string) {
	for _, object := range a.Objects {
		at := slices.IndexFunc(b.Objects, func(other release.PlannedObject) bool {
			return other.Object == object.Object && other.Hook == object.Hook
		})
		switch {
		case at < 0:
			list = append(list, object.Object.String()+" gone")
		case object.Rendered != b.Objects[at].Rendered:
			list = append(list, object.Object.String()+" rendered")
		case object.Live != b.Objects[at].Live:
			list = append(list, object.Object.String()+" live")
		}
	}
	for name, differs := range map[string]bool{"values": a.Values != b.Values, "rendered": a.Rendered != b.Rendered, "live": a.Live != b.Live, "revision": a.Revision != b.Revision, "namespace": a.Namespace != b.Namespace} {
		if differs {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// TestBasisOfAPlan: it changes with what the plan was made from and against, object by object, and with nothing else.
func TestBasisOfAPlan(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	c, d := s.client("staging"), wideDeployment(t)
	d.Chart = addTemplate(t, d.Chart, "secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: shop}\nstringData: {password: '{{ .Values.password | default \"a password\" }}'}\n---\n"+
		"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: shop}\nspec: {minReplicas: 1, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}}\n")
	mustDeploy(t, c, d)
	next := withWord(d, "two")
	before := mustPlan(t, c, next).Basis
	if before.Server != s.config.Host || before.Namespace == "" || before.Revision != 1 || before.Status != "deployed" || len(before.Varies) > 0 || before.NotKeepable != "" {
		t.Errorf("got %+v", before)
	}
	snapshot := s.snapshot()
	for name, test := range map[string]struct {
		change func()
		of     release.Deployment
		want   []string
	}{
		"nothing": {func() {}, next, nil},
		"status": {func() {
			s.change("/deployments/shop", func(o map[string]any) { o["status"] = map[string]any{"replicas": int64(3)} })
		}, next, nil},
		"what an autoscaler of autoscaling/v1 reports": {func() {
			s.change("/deployments/shop", func(o map[string]any) {
				_ = unstructured.SetNestedField(o, "[]", "metadata", "annotations", "autoscaling.alpha.kubernetes.io/current-metrics")
				_ = unstructured.SetNestedField(o, "[]", "metadata", "annotations", "autoscaling.alpha.kubernetes.io/conditions")
			})
		}, next, nil},
		"another run": {func() {}, func() release.Deployment {
			other := next
			other.RunURL, other.Actor = "https://example.com/run/2", "another person"
			return other
		}(), nil},
		"a live object": {func() {
			s.change("/configmaps/shop", func(o map[string]any) { o["data"] = map[string]any{"word": "by hand"} })
		}, next, []string{"ConfigMap/shop live", "live"}},
		"a live object that is deleted by the plan": {func() {
			s.change("/configmaps/shop-one", func(o map[string]any) { o["data"] = map[string]any{"a": "b"} })
		}, next,
			[]string{"ConfigMap/shop-one live", "live"}},
		"a live secret": {func() {
			s.change("/namespaces/staging/secrets/shop", func(o map[string]any) { o["data"] = map[string]any{"password": "YW5vdGhlcg=="} })
		}, next, []string{"live"}},
		"replicas that an autoscaler sets": {func() {
			s.change("/deployments/shop", func(o map[string]any) { _ = unstructured.SetNestedField(o, int64(5), "spec", "replicas") })
		}, next, nil},
		"a value": {func() {}, withWord(d, "three"), []string{"ConfigMap/shop rendered", "ConfigMap/shop-two gone", "Deployment/shop rendered", "Service/shop rendered", "rendered", "values"}},
		"a secret value": {func() {}, func() release.Deployment {
			other := next
			other.Set = append(slices.Clone(next.Set), "password=other")
			return other
		}(), []string{"rendered", "values"}},
		"another namespace of the same name": {func() {
			s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
		}, next, []string{"namespace"}},
	} {
		s.restore(snapshot)
		test.change()
		got := differing(before, mustPlan(t, c, test.of).Basis)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestPlanOfAChartThatRendersDifferentlyEachTime: it is told once, by field, and what varies is not part of the basis.
func TestPlanOfAChartThatRendersDifferentlyEachTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	c, d := s.client("staging"), wideDeployment(t)
	d.Chart = addTemplate(t, d.Chart, "secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: shop}\nstringData: {password: '{{ randAlphaNum 20 }}', user: shop}\n")
	plan := mustPlan(t, c, d)
	if want := []string{"Secret/shop stringData.password"}; !slices.Equal(plan.Basis.Varies, want) || plan.Basis.NotKeepable != "" {
		t.Errorf("got %q, %q", plan.Basis.Varies, plan.Basis.NotKeepable)
	}
	if told := strings.Count(strings.Join(plan.Notes, "\n"), "renders differently each time"); told != 1 {
		t.Errorf("told %d times: %q", told, plan.Notes)
	}
	if got := differing(plan.Basis, mustPlan(t, c, d).Basis); got != nil {
		t.Errorf("the basis differs: %q", got)
	}
	d.Chart = addTemplate(t, d.Chart, "name.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'run-{{ randAlphaNum 8 | lower }}'}\n")
	if plan := mustPlan(t, c, d); !strings.Contains(plan.Basis.NotKeepable, "other names each time") {
		t.Errorf("with random names: %+v", plan.Basis)
	}
}

// TestATestsRandomNameChangesNothing: charts name the pods of helm test differently each time, and no deploy makes them.
func TestATestsRandomNameChangesNothing(t *testing.T) {
	t.Parallel()
	const tested = "apiVersion: v1\nkind: Pod\nmetadata: {name: 'test-{{ randAlphaNum 8 | lower }}', annotations: {helm.sh/hook: %s}}\nspec: {containers: [{name: a, image: busybox, args: [%s]}]}\n"
	for name, test := range map[string]struct {
		event, again string
		want         release.Outcome
	}{
		"a test":                  {"test", "a", release.Unchanged},
		"a test of other content": {"test", "b", release.Changed},
		"a hook of deploys too":   {"'test,post-delete'", "a", release.Changed},
	} {
		s := newServer(t)
		s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
		c, d := s.client("staging"), wideDeployment(t)
		chart := d.Chart
		d.Chart = addTemplate(t, chart, "test.yaml", fmt.Sprintf(tested, test.event, "a"))
		mustDeploy(t, c, d)
		d.Chart = addTemplate(t, chart, "test.yaml", fmt.Sprintf(tested, test.event, test.again))
		plan := mustPlan(t, c, d)
		if plan.Outcome != test.want || (plan.Basis.NotKeepable == "") != (test.event == "test") {
			t.Errorf("%s: planned %s, %q", name, plan.Outcome, plan.Basis.NotKeepable)
		}
		if plan.Basis.NotKeepable == "" {
			if got := differing(plan.Basis, mustPlan(t, c, d).Basis); got != nil {
				t.Errorf("%s: the basis differs: %q", name, got)
			}
		}
		if got := mustDeploy(t, c, d); got.Outcome != test.want {
			t.Errorf("%s: deployed %s", name, got.Outcome)
		}
	}
}

// TestDeployAsPlanned: what the plan rendered is applied, random values included, and only for the revision that it was made for.
func TestDeployAsPlanned(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	c, d := s.client("staging"), wideDeployment(t)
	d.Chart = addTemplate(t, d.Chart, "random.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: random}\ndata: {number: '{{ randAlphaNum 20 }}'}\n")
	planned := d
	planned.AsPlanned = true
	if _, err := c.Deploy(t.Context(), planned, ready); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("without a plan: %v", err)
	}
	mustPlan(t, c, d)
	rendering, _ := c.planned.Load(releaseKey(d))
	want := rendering.(*plannedRendering).rendered.Manifest
	if _, err := c.Deploy(t.Context(), planned, ready); err != nil {
		t.Fatal(err)
	}
	got, _, _ := unstructured.NestedString(s.object("/configmaps/random"), "data", "number")
	if got == "" || !strings.Contains(want, got) {
		t.Errorf("applied %q, which is not in what was planned:\n%s", got, want)
	}
	mustPlan(t, c, withWord(d, "two"))
	mustDeploy(t, c, withWord(d, "three"))
	if _, err := c.Deploy(t.Context(), func() release.Deployment { other := withWord(planned, "two"); return other }(), ready); release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "a new revision") {
		t.Errorf("after another revision: %v", err)
	}
}

// addTemplate returns a copy of a chart with one more template.
func addTemplate(t *testing.T, chart, name, text string) string {
	t.Helper()
	content := readAll(t, chart)
	content["templates/"+name] = text
	return files(t, content)
}

// readAll reads the files of a chart.
func readAll(t *testing.T, chart string) map[string]string {
	t.Helper()
	content := map[string]string{}
	for _, pattern := range []string{"*.yaml", "templates/*"} {
		paths, err := filepath.Glob(filepath.Join(chart, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(chart, path)
			content[name] = string(text)
		}
	}
	return content
}

// TestPlanOfAChartThatReadsTheClock: a field in seconds is seen to differ each time, although two renderings take less than one.
func TestPlanOfAChartThatReadsTheClock(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	c, d := s.client("staging"), wideDeployment(t)
	d.Chart = addTemplate(t, d.Chart, "time.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: time}\ndata: {at: '{{ now | unixEpoch }}'}\n")
	if plan := mustPlan(t, c, d); !slices.Equal(plan.Basis.Varies, []string{"ConfigMap/time data.at"}) {
		t.Errorf("got %q", plan.Basis.Varies)
	}
}

// TestBasisHidesValuesThatAreNamedAsSecrets: the digest of an object that a plan shows does not depend on a value whose name says that it is
// secret, wherever the chart renders it.
func TestBasisHidesValuesThatAreNamedAsSecrets(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	c, d := s.client("staging"), wideDeployment(t)
	d.Chart = addTemplate(t, d.Chart, "properties.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: properties}\ndata: {application.properties: 'spring.datasource.url=jdbc:{{ .Values.db.password }}'}\n")
	shown := func(password string) release.Digest {
		d.Set = []string{"db.password=" + password}
		for _, object := range mustPlan(t, c, d).Basis.Objects {
			if object.Object.Name == "properties" {
				return object.Rendered
			}
		}
		t.Fatal("the object is missing")
		return release.Digest{}
	}
	if shown("hunter2hunter2") != shown("another-password") {
		t.Error("the digest shows which password was given")
	}
}
