package helm

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
)

// crdDeployment deploys a chart with a definition of Widgets whose schema has the given properties, and one Widget.
func crdDeployment(t *testing.T, properties, spec string) release.Deployment {
	t.Helper()
	d := deployment(t, "staging")
	d.ValuesFiles = nil
	d.Chart = files(t, map[string]string{"Chart.yaml": looseChart,
		"templates/all.yaml": workload("Pod", "{containers: [{name: app, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}") +
			"---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: " + spec + "\n",
		"crds/w.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n" +
			"  names: {plural: widgets, kind: Widget}\n  versions:\n  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: " + properties + "}}}}}\n"})
	return d
}

func (s *server) widgetDefinition(t *testing.T) string {
	t.Helper()
	for _, object := range s.named("customresourcedefinitions") {
		return strings.Join(strings.Fields(jsonOf(t, object["spec"])), "")
	}
	return ""
}

func TestDefinitionsOfTheChart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answers(establish(s))
	c := s.client("staging")
	mustDeploy(t, c, crdDeployment(t, "{size: {type: integer}}", "{size: 3}"))
	next := crdDeployment(t, "{size: {type: integer}, colour: {type: string}}", "{size: 3, colour: red}")
	const told = "WARNING: CustomResourceDefinition/widgets.example.com of the chart's crds directory differs from the cluster's (spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.colour)"

	if plan := s.planOf(t, c, next); !strings.Contains(strings.Join(plan.Notes, "\n"), told) {
		t.Errorf("planned %+v", plan)
	}
	var logged []string
	c.log = func(line string) { logged = append(logged, line) }
	mustDeploy(t, c, next)
	if !strings.Contains(strings.Join(logged, "\n"), told) || strings.Contains(s.widgetDefinition(t), "colour") {
		t.Errorf("logged %q, and the definition is %s", logged, s.widgetDefinition(t))
	}

	s.change("/widgets/w", func(object map[string]any) { delete(object["spec"].(map[string]any), "colour") }) // as an apiserver drops it
	next.ApplyCRDs = true
	plan := s.planOf(t, c, next)
	if lines := strings.Join(changesOf(plan), "\n"); !strings.Contains(lines, "change CustomResourceDefinition/widgets.example.com") || plan.Outcome != release.Changed {
		t.Errorf("planned %+v", plan)
	}
	if s.requests(); strings.Contains(s.widgetDefinition(t), "colour") {
		t.Error("the plan has changed the definition")
	}
	mustDeploy(t, c, next)
	if spec := jsonOf(t, s.object("/widgets/w")["spec"]); !strings.Contains(s.widgetDefinition(t), "colour") || !strings.Contains(spec, "red") {
		t.Errorf("the definition is %s, the object %s", s.widgetDefinition(t), spec)
	}
	if again := mustDeploy(t, c, next); again.Outcome != release.Unchanged {
		t.Errorf("again: %+v", again)
	}

	older := crdDeployment(t, "{size: {type: integer}}", "{size: 3}")
	older.ApplyCRDs = true
	if plan := s.planOf(t, c, older); strings.Contains(strings.Join(changesOf(plan), "\n"), "CustomResourceDefinition") || len(plan.Notes) > 0 {
		t.Errorf("the cluster's has all of an older chart's, and is planned to change: %+v", plan)
	}
	older = crdDeployment(t, "{colour: {type: string}, shape: {type: string}}", "{colour: red}")
	older.ApplyCRDs = true
	const refused = "--apply-crds removes nothing"
	if plan, err := c.Plan(t.Context(), older); err != nil || !strings.Contains(strings.Join(plan.Problems, "\n"), refused) {
		t.Errorf("planned %+v, %v", plan, err)
	}
	var failure *release.Failure
	if _, err := c.Deploy(t.Context(), older, ready); !errors.As(err, &failure) || !strings.Contains(err.Error(), refused) || !strings.Contains(s.widgetDefinition(t), "colour") {
		t.Errorf("got %v", err)
	}
}

// TestInjectedCertificatesStay: what cert-manager or an operator has written into a definition's webhook is not undone by the chart's placeholder.
func TestInjectedCertificatesStay(t *testing.T) {
	t.Parallel()
	const path = "spec.conversion.webhook.clientConfig"
	for name, test := range map[string]struct {
		live, want string // of the webhook's certificates
	}{
		"injected": {"aW5qZWN0ZWQ=", "aW5qZWN0ZWQ="},
		"absent":   {"", "Cg=="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.answers(establish(s))
			c := s.client("staging")
			chart := func(properties string) release.Deployment {
				d := crdDeployment(t, properties, "{size: 3}")
				d.ApplyCRDs = true
				file := filepath.Join(d.Chart, "crds", "w.yaml")
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, "  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {caBundle: Cg==, service: {namespace: staging, name: w, path: /convert}}}}\n"...)
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
				return d
			}
			first := chart("{size: {type: integer}}")
			mustDeploy(t, c, first)
			s.change("/customresourcedefinitions/widgets.example.com", func(object map[string]any) {
				manifest.ValueAt(object, path, nil).(map[string]any)["caBundle"] = test.live
			})
			planned := strings.Contains(strings.Join(changesOf(s.planOf(t, c, first)), "\n"), "CustomResourceDefinition")
			if planned != (test.live == "") {
				t.Errorf("a change of the definition is planned: %t", planned)
			}
			mustDeploy(t, c, first)
			mustDeploy(t, c, chart("{size: {type: integer}, colour: {type: string}}"))
			definition := s.object("/customresourcedefinitions/widgets.example.com")
			if got := manifest.ValueAt(definition, path+".caBundle", ""); got != test.want || !strings.Contains(s.widgetDefinition(t), "colour") {
				t.Errorf("the certificates are %q, want %q; the definition is %s", got, test.want, s.widgetDefinition(t))
			}
		})
	}
}

func TestARecordThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	noise := func(size int) string {
		random, text := rand.New(rand.NewPCG(1, 2)), make([]byte, size)
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		return string(text)
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"noise":          {map[string]string{"files/geo.bin": noise(1_200_000), "files/small.bin": "x"}, "OD-217 Helm's record of the release would have"},
		"just below":     {map[string]string{"files/geo.bin": noise(700_000)}, ""},
		"just above":     {map[string]string{"files/geo.bin": noise(790_000)}, "files/geo.bin (790000 bytes)"},
		"compressible":   {map[string]string{"files/geo.bin": strings.Repeat("x", 4_000_000)}, ""},
		"out of a chart": {map[string]string{"files/geo.bin": noise(1_200_000), ".helmignore": "files\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := map[string]string{"Chart.yaml": looseChart, "templates/w.yaml": workload("Pod", "{containers: [{name: app, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}")}
			for file, text := range test.files {
				content[file] = text
			}
			d := deployment(t, "staging")
			d.Chart, d.ValuesFiles = files(t, content), nil
			if got := strings.Join(problems(t, d), "\n"); !strings.Contains(got, test.want) || test.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// establish serves every definition as soon as it is read, as an apiserver does.
func establish(s *server) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for path, object := range s.objects {
			if strings.Contains(path, "/customresourcedefinitions/") {
				object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}
			}
		}
		return 0, ""
	}
}

func jsonOf(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
