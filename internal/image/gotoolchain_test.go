package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

func TestPinnedToolchain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  toolchain
	}{
		"a toolchain line":         {map[string]string{"go.mod": "module x\n\ngo 1.25.0\n\ntoolchain go1.25.4\n"}, toolchain{"go1.25.4", "go.mod's toolchain line"}},
		"one of a vendor":          {map[string]string{"go.mod": "module x\n\ngo 1.25.0\n\ntoolchain go1.25.4-corp\n"}, toolchain{"go1.25.4-corp", "go.mod's toolchain line"}},
		"a go line":                {map[string]string{"go.mod": "module x\n\ngo 1.25.0\n"}, toolchain{defaultToolchain, "onedigest, as go.mod has no toolchain line"}},
		"toolchain default":        {map[string]string{"go.mod": "module x\n\ngo 1.25.0\n\ntoolchain default\n"}, toolchain{defaultToolchain, "onedigest, as go.mod has no toolchain line"}},
		"a newer go line":          {map[string]string{"go.mod": "module x\n\ngo 1.99.3\n"}, toolchain{"go1.99.3", "go.mod's go line"}},
		"a newer language":         {map[string]string{"go.mod": "module x\n\ngo 1.99\n"}, toolchain{"go1.99.0", "go.mod's go line"}},
		"a release candidate":      {map[string]string{"go.mod": "module x\n\ngo 1.99rc1\n"}, toolchain{"go1.99rc1", "go.mod's go line"}},
		"a go line above it":       {map[string]string{"go.mod": "module x\n\ngo 1.99.3\n\ntoolchain go1.99.1\n"}, toolchain{"go1.99.3", "go.mod's go line"}},
		"no go line":               {map[string]string{"go.mod": "module x\n"}, toolchain{defaultToolchain, "onedigest, as go.mod has no toolchain line"}},
		"a workspace":              {map[string]string{"go.mod": "module x\n\ngo 1.25.0\n\ntoolchain go1.25.4\n", "go.work": "go 1.25.0\n\ntoolchain go1.25.5\n\nuse .\n"}, toolchain{"go1.25.5", "go.work's toolchain line"}},
		"go.mod above the context": {map[string]string{"../go.mod": "module x\n\ngo 1.25.0\n\ntoolchain go1.25.4\n"}, toolchain{"go1.25.4", "go.mod's toolchain line"}},
	} {
		context := filepath.Join(t.TempDir(), "context")
		if err := os.Mkdir(context, 0o700); err != nil {
			t.Fatal(err)
		}
		for path, content := range test.files {
			if err := os.WriteFile(filepath.Join(context, path), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := pinnedToolchain(context, filepath.Join(context, "go.work")); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// The toolchain that compiles modules without one is new enough for this repository's own.
func TestDefaultToolchainIsTheRepositorys(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"../../go.mod", "../../app/go.mod"} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		module, err := modfile.ParseLax(path, content, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(defaultToolchain, "go"+strings.TrimSuffix(module.Go.Version, ".0")+".") {
			t.Errorf("%s has go %s, the default toolchain is %s", path, module.Go.Version, defaultToolchain)
		}
	}
}
