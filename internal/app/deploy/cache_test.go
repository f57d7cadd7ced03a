package deploy

import (
	"path/filepath"
	"testing"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/release"
)

// TestTheChartCacheIsNotInTheWorkTree: a commit could put charts into it.
func TestTheChartCacheIsNotInTheWorkTree(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	run := &app.RunContext{Process: app.Process{Dir: tree, Environ: []string{"GITHUB_WORKSPACE=" + tree}}}
	for dir, want := range map[string]string{"": "", "/cache": "/cache", "../cache": filepath.Join(filepath.Dir(tree), "cache")} {
		if got, err := cacheDir(run, dir); err != nil || got != want {
			t.Errorf("%q: got %q, %v", dir, got, err)
		}
	}
	for _, dir := range []string{"cache", tree + "/cache", "../" + filepath.Base(tree)} {
		if _, err := cacheDir(run, dir); release.ExitCode(err) != release.ExitInput {
			t.Errorf("%q: got %v", dir, err)
		}
	}
}
