package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

// changesOf returns a plan's changes as sorted lines.
func changesOf(plan release.Plan) (lines []string) {
	for _, change := range plan.Changes {
		line := string(change.Action) + " " + change.Object.String()
		for _, field := range change.Fields {
			line += " " + field.Path + ": " + field.Before + " -> " + field.After
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func TestPlan(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	c, d := s.client("staging"), wideDeployment(t)
	check := func(when string, d release.Deployment, outcome release.Outcome, want ...string) {
		t.Helper()
		s.requests()
		plan, err := c.Plan(t.Context(), d)
		if err != nil || plan.Outcome != outcome || len(plan.Problems) > 0 {
			t.Errorf("%s: got %+v, %v", when, plan, err)
		}
		if diff := cmp.Diff(want, changesOf(plan)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", when, diff)
		}
		if got := s.changes(); len(got) > 0 {
			t.Errorf("%s: the plan changed %q", when, got)
		}
	}
	check("before the install", d, release.Created,
		"create ConfigMap/shop", "create ConfigMap/shop-one", "create Deployment/shop", "create Job/after", "create Job/before", "create Service/shop")
	mustDeploy(t, c, d)
	check("after the install", d, release.Unchanged)
	s.change("/configmaps/shop", func(object map[string]any) { object["data"] = map[string]any{"word": "drifted"} })
	check("after a change by hand", d, release.Changed, "create Job/after", "create Job/before", `drift ConfigMap/shop data.word: "drifted" -> "one"`)
	check("another value", withWord(d, "two"), release.Changed,
		`change Deployment/shop spec.template.spec.containers[app].env[WORD_one]: *** ->  spec.template.spec.containers[app].env[WORD_two]:  -> ***`,
		`change Service/shop metadata.annotations.word-one: "x" ->  metadata.annotations.word-two:  -> "x"`,
		"create ConfigMap/shop-two", "create Job/after", "create Job/before", "delete ConfigMap/shop-one",
		`drift ConfigMap/shop data.word: "drifted" -> "two"`)
}

func TestPlanForAMissingNamespace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var logged []string
	c := s.client("staging")
	c.log = func(line string) { logged = append(logged, line) }
	plan, err := c.Plan(t.Context(), wideDeployment(t))
	if err != nil || plan.Outcome != release.Created || len(plan.Problems) > 0 || len(plan.Changes) != 6 {
		t.Errorf("got %+v, %v", plan, err)
	}
	if text := strings.Join(logged, "\n"); !strings.Contains(text, `the objects of namespace "staging", which does not exist yet`) {
		t.Errorf("logged %q", text)
	}
}

// What the chart itself makes before it is needed is no problem: a namespace, a kind that a hook uses, a Secret that a hook creates.
func TestPlanOfWhatTheChartItselfMakes(t *testing.T) {
	t.Parallel()
	const image = "image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'"
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	s.answers(on("POST", "/namespaces/tools/configmaps", 404, `namespaces "tools" not found`))
	d := deployment(t, "staging")
	d.ValuesFiles, d.Chart = nil, files(t, map[string]string{
		"Chart.yaml": looseChart,
		"templates/tools.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: tools}\n---\n" +
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared, namespace: tools}\n",
		"templates/kind.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gadgets.example.org}\n" +
			"spec: {group: example.org, names: {kind: Gadget, plural: gadgets}, scope: Namespaced, versions: [{name: v1, served: true, storage: true}]}\n---\n" +
			"apiVersion: example.org/v1\nkind: Gadget\nmetadata: {name: one, annotations: {helm.sh/hook: 'post-install,post-upgrade'}}\n",
		"templates/workload.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  selector: {matchLabels: {app: shop}}\n" +
			"  template:\n    metadata: {labels: {app: shop}}\n    spec:\n      containers:\n        - name: app\n          " + image + "\n" +
			"          envFrom: [{secretRef: {name: shop-jwt}}, {secretRef: {name: shop-cert}}, {secretRef: {name: shop-db}}]\n",
		"templates/jwt.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: make-jwt, annotations: {helm.sh/hook: 'pre-install,pre-upgrade'}}\n" +
			"spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, " + image + ", args: [create, '--secret-name=shop-jwt'], envFrom: [{secretRef: {name: shop-db}}]}]}}}\n",
		"templates/cert.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: script}\ndata: {run.sh: 'kubectl create secret generic shop-cert --from-file=/tls'}\n---\n" +
			"apiVersion: batch/v1\nkind: Job\nmetadata: {name: make-cert}\n" +
			"spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, " + image + ", volumeMounts: [{name: s, mountPath: /s}]}], volumes: [{name: s, configMap: {name: script}}]}}}\n",
	})
	plan, err := s.client("staging").Plan(t.Context(), d)
	if err != nil || len(plan.Problems) > 0 {
		t.Fatalf("got %+v, %v", plan.Problems, err)
	}
	want := []string{"create ConfigMap/script", "create ConfigMap/shared", "create CustomResourceDefinition/gadgets.example.org", "create Deployment/shop", "create Gadget/one",
		"create Job/make-cert", "create Job/make-jwt", "create Namespace/tools"}
	if diff := cmp.Diff(want, changesOf(plan)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var made []string
	for _, reference := range plan.References {
		made = append(made, reference.String()+" by "+reference.MadeBy+" for "+reference.By.Kind)
	}
	wantMade := []string{"Secret/shop-cert by Job/make-cert for Deployment", "Secret/shop-db by  for Deployment", "Secret/shop-db by  for Job", "Secret/shop-jwt by Job/make-jwt for Deployment"}
	if diff := cmp.Diff(wantMade, made); diff != "" {
		t.Errorf("references -want +got:\n%s", diff)
	}
}

// A namespace that the chart makes after it is needed is a problem still.
func TestPlanOfAHookInANamespaceThatIsMadeLater(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	s.answers(on("POST", "/namespaces/tools/configmaps", 404, `namespaces "tools" not found`))
	d := hookDeployment(t, "Job", "post-install", "")
	for name, test := range map[string]struct {
		hook     string
		problems int
	}{"before": {"pre-install", 1}, "after": {"post-install", 0}} {
		of := d
		of.Chart = addTemplate(t, d.Chart, "tools.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: tools}\n---\n"+
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared, namespace: tools, annotations: {helm.sh/hook: "+test.hook+"}}\n")
		plan, err := s.client("staging").Plan(t.Context(), of)
		if err != nil || len(plan.Problems) != test.problems {
			t.Errorf("%s: got %q, %v", name, plan.Problems, err)
		}
	}
}

func TestPlanReportsWhatTheClusterRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
	s.put("/api/v1/namespaces/staging/services/shop", map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "shop", "namespace": "staging"}})
	s.answers(on("POST", "/deployments", 403, `admission webhook "x" denied the request: no`))
	plan, err := s.client("staging").Plan(t.Context(), wideDeployment(t))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(plan.Problems, "\n")
	for _, want := range []string{"OD-109 Deployment/shop: ", `OD-202 Service/shop: exists already and does not belong to release "shop"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// TestOnlyAForwardOnlyHookThatHasRunForbids: what has run is known from the records, also of revisions between the failed one and the
// target; a hook that was not reached has changed nothing.
func TestOnlyAForwardOnlyHookThatHasRunForbids(t *testing.T) {
	t.Parallel()
	fails := func(phase release.Phase) release.Wait {
		return func(_ context.Context, at release.Phase, _ []release.Object) error {
			if at == phase {
				return errors.New("failed")
			}
			return nil
		}
	}
	forwardOnly := ", onedigest.dev/forward-only: 'true'"
	for name, test := range map[string]struct {
		events, annotations string
		failsAt             release.Phase
		forbidden           bool
	}{
		"before a rollout that failed":    {"pre-upgrade", forwardOnly, release.PhaseRollout, true},
		"after a rollout that failed":     {"post-upgrade", forwardOnly, release.PhaseRollout, false},
		"it failed itself":                {"pre-upgrade", forwardOnly, release.PhaseHooks, true},
		"after a rollout that was ready":  {"post-upgrade", forwardOnly, "", true},
		"it only runs in a first install": {"pre-install", forwardOnly, release.PhaseRollout, false},
		"one that can be undone":          {"pre-upgrade", "", release.PhaseRollout, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), hookDeployment(t, "Job", test.events, test.annotations)
			first := mustDeploy(t, c, d)
			if err := c.Mark(t.Context(), d.Name, first.Revision, release.MarkReady); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Deploy(t.Context(), withWord(d, "two"), fails(test.failsAt)); (err == nil) != (test.failsAt == "") {
				t.Fatal(err)
			}
			target, err := c.LiveRollbackTarget(t.Context(), d)
			if err != nil || target.Revision != first.Revision {
				t.Fatalf("got %+v, %v", target, err)
			}
			if obstacle, forbidden := target.Forbidding(); forbidden != test.forbidden || forbidden && !strings.Contains(obstacle.What, "has run in revision 2") {
				t.Errorf("got %+v", target.Obstacles)
			}
			// The next revision has no such hook, and does not undo what that one has done.
			without := hookDeployment(t, "ConfigMap", "pre-install", "")
			if _, err := c.Deploy(t.Context(), withWord(without, "three"), fails(release.PhaseRollout)); err == nil {
				t.Fatal("it did not fail")
			}
			target, err = c.LiveRollbackTarget(t.Context(), without)
			if _, forbidden := target.Forbidding(); err != nil || forbidden != test.forbidden {
				t.Errorf("after another revision: %+v, %v", target, err)
			}
		})
	}
}

func TestRollbackTarget(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), wideDeployment(t)
	target, err := c.RollbackTarget(t.Context(), d)
	if err != nil || len(target.Obstacles) != 1 || !strings.Contains(target.Obstacles[0].What, "has been verified yet") {
		t.Errorf("before the first deploy: %+v, %v", target, err)
	}
	deployed := mustDeploy(t, c, d)
	if err := c.Mark(t.Context(), d.Name, deployed.Revision, release.MarkReady); err != nil {
		t.Fatal(err)
	}
	target, err = c.RollbackTarget(t.Context(), withWord(d, "two"))
	if err != nil || target.Revision != deployed.Revision || !slices.Equal(target.Images, []release.Image{d.Main().Image}) || len(target.Obstacles) > 0 {
		t.Errorf("got %+v, %v", target, err)
	}
}

// TestARollbackWithoutTheNetworkPolicy: a default-deny of the namespace, which is not the release's, would stay and cut the pods off.
func TestARollbackWithoutTheNetworkPolicy(t *testing.T) {
	t.Parallel()
	const policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: shop}\nspec: {podSelector: {}, policyTypes: [%s]}\n"
	with := func(d release.Deployment, types string) release.Deployment {
		d.Chart = addTemplate(t, d.Chart, "policy.yaml", fmt.Sprintf(policy, types))
		return d
	}
	for name, test := range map[string]struct {
		before, next func(release.Deployment) release.Deployment
		obstacles    int
	}{
		"the next has one":        {nil, func(d release.Deployment) release.Deployment { return with(d, "Ingress") }, 1},
		"the next has one out":    {nil, func(d release.Deployment) release.Deployment { return with(d, "Egress") }, 0},
		"both have one":           {func(d release.Deployment) release.Deployment { return with(d, "Ingress") }, func(d release.Deployment) release.Deployment { return with(d, "Ingress") }, 0},
		"only the target has one": {func(d release.Deployment) release.Deployment { return with(d, "Ingress") }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, before, next := s.client("staging"), wideDeployment(t), withWord(wideDeployment(t), "two")
			if test.before != nil {
				before = test.before(before)
			}
			if test.next != nil {
				next = test.next(next)
			}
			deployed := mustDeploy(t, c, before)
			if err := c.Mark(t.Context(), before.Name, deployed.Revision, release.MarkReady); err != nil {
				t.Fatal(err)
			}
			target, err := c.RollbackTarget(t.Context(), next)
			if err != nil || len(target.Obstacles) != test.obstacles {
				t.Fatalf("got %+v, %v", target, err)
			}
			if _, forbidden := target.Forbidding(); forbidden {
				t.Error("it forbids the rollback, though the namespace may deny nothing")
			}
			if test.obstacles > 0 && !strings.HasPrefix(target.Obstacles[0].What, "NetworkPolicy/shop: revision 1 has no NetworkPolicy") {
				t.Errorf("got %q", target.Obstacles[0].What)
			}
		})
	}
}

// TestBuiltImages: a rollback looks for every image that a deploy has pinned, and for no other.
func TestBuiltImages(t *testing.T) {
	t.Parallel()
	reference := func(name, digit string) string {
		return "registry.example.com/team/" + name + "@sha256:" + strings.Repeat(digit, 64)
	}
	object := func(digest string, images ...string) map[string]any {
		containers := make([]any, len(images))
		for i, image := range images {
			containers[i] = map[string]any{"name": "c", "image": image}
		}
		return map[string]any{"kind": "Deployment", "spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{release.AnnotationDigest: digest}}, "spec": map[string]any{"containers": containers}}}}
	}
	shop, worker := reference("shop", "a"), reference("worker", "b")
	objects := []map[string]any{object("sha256:"+strings.Repeat("b", 64), reference("proxy", "c"), worker), object("", reference("db", "d")), object("sha256:"+strings.Repeat("a", 64), shop)}
	main, err := release.ParseDigest("sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, image := range builtImages(objects, main) {
		got = append(got, image.String())
	}
	if !slices.Equal(got, []string{shop, worker}) {
		t.Errorf("got %q", got)
	}
	if got := builtImages(objects, release.Digest{}); got != nil {
		t.Errorf("of a revision that another tool made: %v", got)
	}
}
