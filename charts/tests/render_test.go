// Package charts tests the common chart: what it renders, what it refuses, and that Kubernetes and Prometheus accept it. It is a
// module of its own, so that the product does not depend on the tests' tools.
package charts

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files again")

const (
	chartDir   = "../service"
	everything = "../service/tests/everything.yaml"
)

// pinned is the assignments that a deployment adds to an environment's values.
var pinned = []string{"image.repository=registry.example.com/shop", "image.digest=sha256:" + strings.Repeat("a", 64)}

// values returns a file's values, with string assignments applied.
func values(t *testing.T, file string, assignments ...string) map[string]any {
	t.Helper()
	read := map[string]any{}
	if file != "" {
		var err error
		if read, err = chartutil.ReadValuesFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, assignment := range assignments {
		if err := strvals.ParseIntoString(assignment, read); err != nil {
			t.Fatal(err)
		}
	}
	return read
}

// render returns the templates' output by file, without empty output.
func render(name, namespace string, values map[string]any) (map[string]string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	options := chartutil.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}
	seen, err := chartutil.ToRenderValues(chart, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, seen)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(files, func(file, text string) bool {
		return strings.TrimSpace(text) == "" || strings.HasPrefix(path.Base(file), "_") || path.Base(file) == "NOTES.txt"
	})
	return files, nil
}

// manifest returns everything that the values render, sorted by the templates' names.
func manifest(t *testing.T, name, namespace string, values map[string]any) string {
	t.Helper()
	files, err := render(name, namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&text, "---\n# %s\n%s\n", path.Base(file), strings.Trim(files[file], "\n"))
	}
	return text.String()
}

// objects returns a manifest's objects.
func objects(t *testing.T, manifest string) (list []map[string]any) {
	t.Helper()
	for document := range strings.SplitSeq("\n"+manifest, "\n---\n") {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if len(object) > 0 {
			list = append(list, object)
		}
	}
	return list
}

// environments returns the values of each environment, and of all features at once.
func environments(t *testing.T) map[string]map[string]any {
	t.Helper()
	return map[string]map[string]any{
		"staging":    values(t, "../../terraform/staging/values-staging.yaml", pinned...),
		"production": values(t, "../../terraform/production/values-production.yaml", pinned...),
		"everything": values(t, everything),
	}
}

func TestEnvironmentsRenderAsTheirGoldens(t *testing.T) {
	t.Parallel()
	for name, values := range environments(t) {
		got := manifest(t, "shop", name, values)
		golden := filepath.Join("testdata", name+".golden.yaml")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s -want +got:\n%s", name, diff)
		}
	}
}
