package helm

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func TestApplied(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answers(establish(s))
	c := s.client("staging")
	d := crdDeployment(t, "{size: {type: integer}}", "{size: 3}")
	definition, err := os.ReadFile(filepath.Join(d.Chart, "crds", "w.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	template := workload("Pod", "{nodeSelector: {pool: web}, containers: [{name: app, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}")
	hook := func(name, kind, event string) string {
		return "---\napiVersion: v1\nkind: " + kind + "\nmetadata: {name: " + name + ", annotations: {helm.sh/hook: " + event + "}}\n"
	}
	d.Chart = files(t, map[string]string{"Chart.yaml": looseChart,
		"templates/all.yaml": template +
			"---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: listed}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: elsewhere, namespace: other}}\n" +
			"---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, annotations: {onedigest.dev/ready-when: Synced}}\nspec: {image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}\n" +
			"---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: z}\nspec: {image: redis}\n" +
			"---\napiVersion: unknown.example.com/v1\nkind: Unserved\nmetadata: {name: u}\n" +
			hook("tests", "ServiceAccount", "test") + hook("removes", "ServiceAccount", "pre-delete") + hook("prepares", "Secret", "pre-install"),
		"crds/w.yaml": string(definition)})
	want := []release.AppliedKind{
		{Resource: "configmaps", Namespace: "other", Names: []string{"elsewhere"}}, {Resource: "configmaps", Namespace: "staging", Names: []string{"listed"}},
		{Resource: "pods", Namespace: "staging", Names: []string{"loose"}}, {Resource: "secrets", Namespace: "staging", Use: release.UseHook, Names: []string{"prepares"}},
		{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Use: release.UseCreate},
		{Group: "example.com", Resource: "widgets", Namespace: "staging", Names: []string{"w"}, HasContainers: true, Loose: true}, {Group: "example.com", Resource: "widgets", Namespace: "staging", Names: []string{"z"}},
	}
	rendering, err := c.Render(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rendering.Kinds); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(rendering.Templates) != 1 || rendering.Templates[0].Object.Name != "loose" || !strings.Contains(string(rendering.Templates[0].Spec), `"nodeSelector":{"pool":"web"}`) {
		t.Errorf("templates %+v", rendering.Templates)
	}
	declared := map[string]string{release.AnnotationReadyWhen: "Synced"}
	if !slices.ContainsFunc(rendering.Declared, func(d release.Declared) bool { return d.Object.Name == "w" && cmp.Equal(d.Annotations, declared) }) {
		t.Errorf("declared %+v", rendering.Declared)
	}
	for _, change := range s.changes() {
		t.Errorf("sent %s", change)
	}
	d.ApplyCRDs = true
	if rendering, err = c.Render(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	want[4].Use = release.UseCRD
	if diff := cmp.Diff(want, rendering.Kinds); diff != "" {
		t.Errorf("with apply-crds, -want +got:\n%s", diff)
	}
}

// TestAppliedByARollback: what the verified revision has and the chart does not, and the hooks that only a rollback runs.
func TestAppliedByARollback(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client("staging")
	d := wideDeployment(t)
	mustDeploy(t, c, d)
	rollbackKinds := func() (kinds []release.AppliedKind) {
		t.Helper()
		rendering, err := c.Render(t.Context(), withWord(d, "two"))
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(rendering.Kinds, func(kind release.AppliedKind) bool { return kind.Use != release.UseRollback })
	}
	if kinds := rollbackKinds(); len(kinds) > 0 {
		t.Errorf("a revision that is not verified: %+v", kinds)
	}
	if err := c.Mark(t.Context(), "shop", 1, release.MarkReady); err != nil {
		t.Fatal(err)
	}
	want := []release.AppliedKind{{Resource: "configmaps", Namespace: "staging", Use: release.UseRollback, Names: []string{"shop-one"}}}
	if diff := cmp.Diff(want, rollbackKinds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestInstallWithoutAccessToDefinitions: definitions that somebody else installs are no obstacle to who may neither read nor create
// them. One that is known to be absent is.
func TestInstallWithoutAccessToDefinitions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		methods []string
		fails   bool
	}{
		"neither read nor created":       {[]string{http.MethodGet, http.MethodPost}, false},
		"known to be absent, and denied": {[]string{http.MethodPost}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.answers(func(r *http.Request) (int, string) {
				if strings.Contains(r.URL.Path, "/customresourcedefinitions") && strings.Contains(strings.Join(test.methods, " "), r.Method) {
					return http.StatusForbidden, "customresourcedefinitions is forbidden"
				}
				return 0, ""
			})
			c := s.client("staging")
			var logged []string
			c.log = func(line string) { logged = append(logged, line) }
			_, err := c.Deploy(t.Context(), crdDeployment(t, "{size: {type: integer}}", "{size: 3}"), ready)
			told := strings.Contains(strings.Join(logged, "\n"), "may neither be read nor created")
			if (err != nil) != test.fails || told == test.fails {
				t.Errorf("got %v, logged %q", err, logged)
			}
		})
	}
}
