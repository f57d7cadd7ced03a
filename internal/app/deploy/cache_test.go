package deploy

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/deploy/via"
	"github.com/onedigest/onedigest/internal/release"
)

// TestACloneHasADeadline: a server that never answers is a fault of git.
func TestACloneHasADeadline(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	clones := &configRepositories{run: &app.RunContext{Process: app.Process{Dir: t.TempDir(), Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}}}}
	defer clones.remove()
	_, _, err = clones.clone(t.Context(), time.Second, via.Settings{ConfigRepository: "https://" + listener.Addr().String() + "/config"})
	if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "not cloned within 1 second") {
		t.Errorf("got %v", err)
	}
}

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
