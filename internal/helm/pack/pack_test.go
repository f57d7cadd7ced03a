package pack

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/chart/loader"
)

func chartIn(t *testing.T, files map[string]string, mode os.FileMode, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTheSameFilesGiveTheSameBytes whatever their times and modes, and Helm reads what was packaged.
func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	files := map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.2.3+4\n", "values.yaml": "a: 1\n", "templates/a.yaml": "a: {{ .Values.a }}\n", "templates/b.yaml": "b: 1\n",
		".helmignore": "*.md\n", "README.md": "not part of it"}
	one, err := Chart(chartIn(t, files, 0o600, time.Unix(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	files["NOTES.md"] = "nor this"
	two, err := Chart(chartIn(t, files, 0o644, time.Now()))
	if err != nil || !bytes.Equal(one.Content, two.Content) || !bytes.Equal(one.Config, two.Config) {
		t.Errorf("the bytes differ, %v", err)
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(one.Content))
	if err != nil || loaded.Name() != "shop" || len(loaded.Templates) != 2 || len(loaded.Files) != 1 {
		t.Errorf("got %+v, %v", loaded, err)
	}
	var config struct{ Name, Version string }
	if err := json.Unmarshal(one.Config, &config); err != nil || config.Name != "shop" || one.Name != "shop" || config.Version != "1.2.3+4" || one.Version != "1.2.3+4" {
		t.Errorf("got %+v, %v", config, err)
	}
	files["values.yaml"] = "a: 2\n"
	if other, err := Chart(chartIn(t, files, 0o600, time.Unix(1, 0))); err != nil || bytes.Equal(one.Content, other.Content) {
		t.Errorf("another value gives the same bytes, %v", err)
	}
}

func TestWhatIsNoCompleteChartIsRefused(t *testing.T) {
	t.Parallel()
	for name, chart := range map[string]string{"": "", "is not valid": "apiVersion: v2\nname: shop\n", "found in Chart.yaml, but missing in charts/": "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, repository: 'https://charts.example.com'}]\n"} {
		_, err := Chart(chartIn(t, map[string]string{"Chart.yaml": chart}, 0o600, time.Unix(1, 0)))
		if release.ExitCode(err) != release.ExitInput {
			t.Errorf("%s: got %v", name, err)
		} else if name == "found in Chart.yaml, but missing in charts/" && !strings.Contains(err.Error(), name) {
			t.Errorf("got %v", err)
		}
	}
}

// TestTheCommonChart: it can be published.
func TestTheCommonChart(t *testing.T) {
	t.Parallel()
	packed, err := Chart("../../../charts/service")
	if err != nil || packed.Name != "service" || len(packed.Content) == 0 {
		t.Errorf("got %+v, %v", packed.Name, err)
	}
}
