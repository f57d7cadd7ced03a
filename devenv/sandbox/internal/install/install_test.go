package install

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMissing(t *testing.T) {
	base := t.TempDir()
	old := pluginDirs
	t.Cleanup(func() { pluginDirs = old })
	pluginDirs = []string{filepath.Join(base, "nowhere"), filepath.Join(base, "cni")}
	t.Setenv("PATH", base)
	if diff := cmp.Diff([]string{"containerd", "runc", "nftables", "containernetworking-plugins"}, Missing()); diff != "" {
		t.Error(diff)
	}
	if err := os.Mkdir(filepath.Join(base, "cni"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"runc", "nft", "containerd", "cni/ptp", "cni/host-local"} {
		if err := os.WriteFile(filepath.Join(base, program), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// containerd lacks ctr and its shim, the plugins lack loopback.
	if diff := cmp.Diff([]string{"containerd", "containernetworking-plugins"}, Missing()); diff != "" {
		t.Error(diff)
	}
	for _, program := range []string{"ctr", "containerd-shim-runc-v2", "cni/loopback"} {
		if err := os.WriteFile(filepath.Join(base, program), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if missing := Missing(); len(missing) > 0 || Plugins() != filepath.Join(base, "cni") {
		t.Errorf("missing %v, plugins in %q", missing, Plugins())
	}
}

// module writes a module with one small program.
func module(t *testing.T, greeting string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, greeting)
	return dir
}

func write(t *testing.T, dir, greeting string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "small"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.26.0\n", "go.sum": "",
		"small/main.go": "package main\n\nfunc main() { println(" + greeting + ") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuildOnceForEachSource(t *testing.T) {
	t.Parallel()
	source := module(t, `"one"`)
	target := filepath.Join(t.TempDir(), "small")
	built := func() bool {
		t.Helper()
		var out bytes.Buffer
		if err := build(t.Context(), source, target, "small", "compiles once", &out); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(out.String(), "compiles once") && strings.Contains(out.String(), "building small took")
	}
	if !built() {
		t.Error("it was not built at first, or not said")
	}
	if built() {
		t.Error("it was built again though nothing changed")
	}
	write(t, source, `"two"`)
	if !built() {
		t.Error("it was not built again though its source changed")
	}
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	if !built() {
		t.Error("it was not built again though the binary is gone")
	}
}

func TestAFailedBuildSaysWhyAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	source := module(t, "nonsense")
	target := filepath.Join(t.TempDir(), "small")
	for range 2 {
		err := build(t.Context(), source, target, "small", "", &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), "undefined: nonsense") {
			t.Errorf("got %v", err)
		}
	}
}

func TestSourceIsFoundFromWithin(t *testing.T) {
	source, err := Source()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Dir(filepath.Dir(here)); source != want {
		t.Errorf("found %q, want %q", source, want)
	}
}
