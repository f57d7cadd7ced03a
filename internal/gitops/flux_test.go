package gitops_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// fluxObject is what the tests read of Flux's objects in docs/gitops.md.
type fluxObject struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		ReleaseName string `yaml:"releaseName"`
		Path        string
		SourceRef   struct{ Kind, Name string } `yaml:"sourceRef"`
		Prune       bool
		Chart       struct {
			Spec struct {
				Chart             string
				SourceRef         struct{ Kind, Name string } `yaml:"sourceRef"`
				ReconcileStrategy string                      `yaml:"reconcileStrategy"`
				ValuesFiles       []string                    `yaml:"valuesFiles"`
			}
		}
	}
}

// fluxObjects reads the examples of docs/gitops.md, by their kinds.
func fluxObjects(t *testing.T) map[string]fluxObject {
	t.Helper()
	page, err := os.ReadFile("../../docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]fluxObject{}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		for text := range strings.SplitSeq(string(block[1]), "\n---\n") {
			if !strings.Contains(text, "toolkit.fluxcd.io") {
				continue
			}
			var object fluxObject
			if err := yaml.Unmarshal([]byte(text), &object); err != nil {
				t.Fatal(err)
			}
			found[object.Kind] = object
		}
	}
	return found
}

// TestFluxTakesTheSameLayout renders the common chart as Flux would: with the values files of the HelmRelease, in their order and without the chart's own defaults (helm-controller's API, ValuesFiles), after a
// deploy has written the digest.
func TestFluxTakesTheSameLayout(t *testing.T) {
	t.Parallel()
	objects := fluxObjects(t)
	helmRelease, repository := objects["HelmRelease"], objects["GitRepository"]
	if spec := helmRelease.Spec.Chart.Spec; spec.SourceRef.Name != repository.Metadata.Name || spec.SourceRef.Kind != "GitRepository" || spec.ReconcileStrategy != "Revision" || helmRelease.Spec.ReleaseName != "shop" {
		t.Fatalf("got %+v", helmRelease)
	}
	p := newPlace(t)
	p.deploy("a")
	p.branch() // fetches it
	p.git("checkout", "--quiet", "FETCH_HEAD")
	if err := os.CopyFS(filepath.Join(p.dir, "charts", "service"), os.DirFS("../../charts/service")); err != nil {
		t.Fatal(err)
	}
	chart, err := loader.Load(filepath.Join(p.dir, helmRelease.Spec.Chart.Spec.Chart))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	for _, name := range helmRelease.Spec.Chart.Spec.ValuesFiles {
		given, err := chartutil.ReadValuesFile(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		values = chartutil.MergeTables(given, values)
	}
	chart.Values = nil // Flux packages the merged files as the chart's own
	ready, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: helmRelease.Spec.ReleaseName, Namespace: helmRelease.Metadata.Namespace}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(chart, ready)
	if err != nil {
		t.Fatal(err)
	}
	if text := files["service/templates/deployment.yaml"]; !strings.Contains(text, "registry.example.com/shop@"+digest("a")) {
		t.Errorf("the Deployment is\n%s", text)
	}
}

// TestFluxAppliesManifests: the Kustomization's path is the directory of config-path, and every file but the lock file is one that Flux applies.
func TestFluxAppliesManifests(t *testing.T) {
	t.Parallel()
	kustomization := fluxObjects(t)["Kustomization"]
	if kustomization.Spec.Path != "./live/production" || !kustomization.Spec.Prune || kustomization.Spec.SourceRef.Name != "config" {
		t.Fatalf("got %+v", kustomization)
	}
	r := newPlace(t).manifests(plain)
	r.deploy("a")
	for _, name := range r.list() {
		content := r.show(name)
		if filepath.Ext(name) != ".yaml" {
			if name != "onedigest.lock" {
				t.Errorf("Flux does not read %s", name)
			}
			continue
		}
		var object struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
			Metadata   struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(content), &object); err != nil || object.APIVersion == "" || object.Kind == "" || object.Metadata.Name == "" {
			t.Errorf("%s: %v in\n%s", name, err, content)
		}
	}
}
