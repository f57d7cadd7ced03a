package image_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

func inputsOf(t *testing.T, builder string, recipe release.Recipe, environ ...string) release.Inputs {
	t.Helper()
	inputs, err := image.New(image.Options{Environ: append(os.Environ(), environ...)}).Inputs(t.Context(), builder, recipe)
	if err != nil {
		t.Fatal(err)
	}
	return inputs
}

// existing are the inputs that exist, relative to a directory, sorted.
func existing(t *testing.T, root string, inputs release.Inputs) (names []string) {
	t.Helper()
	for _, file := range inputs.Files {
		if _, err := os.Lstat(file); err != nil {
			continue
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// taken are those of the paths, relative to root, that the inputs' rules take.
func taken(root string, inputs release.Inputs, paths ...string) (names []string) {
	for _, path := range paths {
		for _, rule := range inputs.Rules {
			if below, err := filepath.Rel(rule.Dir, filepath.Join(root, path)); err == nil && !strings.HasPrefix(below, "..") && rule.Matches(below) {
				names = append(names, path)
				break
			}
		}
	}
	return names
}

func TestGoInputs(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"app/go.mod":                  "module example.com/app\n\ngo 1.25\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n\nreplace example.com/unused => ../unused\n",
		"app/go.sum":                  "",
		"app/cmd/shop/main.go":        "package main\n\nimport (\n\t\"embed\"\n\t_ \"fmt\"\n\n\t_ \"example.com/lib\"\n)\n\n//go:embed page.html assets\nvar pages embed.FS\n\nfunc main() {}\n",
		"app/cmd/shop/page.html":      "x",
		"app/cmd/shop/assets/a/b.css": "x",
		"app/cmd/shop/assets/.hidden": "x",
		"app/cmd/shop/default.pgo":    "x",
		"app/cmd/shop/windows.go":     "//go:build windows\n\npackage main\n",
		"app/cmd/shop/main_test.go":   "package main\n",
		"app/cmd/shop/README.md":      "x",
		"app/go.work":                 "go 1.25\n\nuse .\n\nuse ../tools\n",
		"app/go.work.sum":             "",
		"lib/go.mod":                  "module example.com/lib\n\ngo 1.25\n",
		"lib/lib.go":                  "package lib\n",
		"tools/go.mod":                "module example.com/tools\n\ngo 1.25\n",
		"unused/go.mod":               "module example.com/unused\n\ngo 1.25\n",
	})
	recipe := recipeOf(filepath.Join(root, "app"))
	recipe.Main = "cmd/shop"
	inputs := inputsOf(t, image.Go, recipe)
	if diff := cmp.Diff([]string{"app/cmd/shop/assets/a/b.css", "app/cmd/shop/default.pgo", "app/cmd/shop/main.go", "app/cmd/shop/page.html", "app/go.mod", "app/go.sum",
		"app/go.work", "app/go.work.sum", "lib/go.mod", "lib/lib.go", "tools/go.mod", "unused/go.mod"}, existing(t, root, inputs)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, absent := range []string{"app/vendor/modules.txt", "app/cmd/go.mod", "app/cmd/shop/go.mod"} {
		if !slices.Contains(inputs.Files, filepath.Join(root, absent)) {
			t.Errorf("%q is not an input, although a file there would change the build", absent)
		}
	}
	missing := []string{"app/cmd/shop/gone.go", "app/cmd/shop/gone_arm64.s", "app/cmd/shop/assets/gone.css", "lib/gone.go"}
	others := []string{"app/cmd/shop/gone_test.go", "app/cmd/shop/gone.md", "app/cmd/shop/other/gone.go", "app/cmd/shop/assets/.gone", "app/cmd/other.go", "lib/a/gone.go"}
	if diff := cmp.Diff(missing, taken(root, inputs, append(missing, others...)...)); diff != "" {
		t.Errorf("missing files that would be inputs (-want +got):\n%s", diff)
	}
}

// TestGoInputsOfAWorkspaceAbove: the modules of the workspace are inputs, wherever they are.
func TestGoInputsOfAWorkspaceAbove(t *testing.T) {
	t.Parallel()
	root := tree(t, forked)
	recipe := recipeOf(filepath.Join(root, "a"))
	recipe.Source.Path, recipe.Source.GoWork = "a", "go.work"
	inputs := inputsOf(t, image.Go, recipe, "GOPROXY=off")
	if diff := cmp.Diff([]string{"a/go.mod", "a/main.go", "go.work", "text/go.mod", "text/text.go"}, existing(t, root, inputs)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, absent := range []string{"a/go.work", "go.work.sum", "vendor/modules.txt"} {
		if !slices.Contains(inputs.Files, filepath.Join(root, absent)) {
			t.Errorf("%q is not an input, although a file there would change the build", absent)
		}
	}
	recipe.Source.GoWork = ""
	if err := os.Remove(filepath.Join(root, "go.work")); err != nil {
		t.Fatal(err)
	}
	recipe.Context, recipe.Source.Path = filepath.Join(root, "text"), "text"
	if err := os.WriteFile(filepath.Join(root, "text", "main.go"), []byte("package text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := taken(root, inputsOf(t, image.Go, recipe), "go.work"); len(got) != 1 {
		t.Error("a go.work that the commit has and the work tree does not is no input")
	}
}

// TestGoInputsOfAnAssembler: an assembler file takes others of any name, from the package's directory.
func TestGoInputsOfAnAssembler(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"go.mod":            "module example.com/shop\n\ngo 1.24\n",
		"main.go":           "package main\n\nimport \"example.com/shop/sum\"\n\nfunc main() { sum.Do() }\n",
		"sum/sum.go":        "package sum\n\nfunc Do()\n",
		"sum/sum_amd64.s":   "#include \"textflag.h\"\n#include \"body.inc\"\n# include \"gone.inc\"\n",
		"sum/body.inc":      "#include \"below/one.inc\"\n",
		"sum/below/one.inc": "#include \"../two.inc\"\n#include \"../shared/three.inc\"\n#include \"body.inc\"\n",
		"sum/two.inc":       "not this one",
		"two.inc":           "TEXT \u00b7Do(SB), NOSPLIT, $0-0\n\tRET\n",
		"shared/three.inc":  "",
		"sum/unused.inc":    "x",
	})
	inputs := inputsOf(t, image.Go, recipeOf(root))
	if diff := cmp.Diff([]string{"go.mod", "main.go", "shared/three.inc", "sum/below/one.inc", "sum/body.inc", "sum/sum.go", "sum/sum_amd64.s", "two.inc"}, existing(t, root, inputs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !slices.Contains(inputs.Files, filepath.Join(root, "sum/gone.inc")) {
		t.Error("sum/gone.inc is no input, although the commit may have it")
	}
}

func TestGoInputsOfVendoredModules(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"go.mod":                        "module example.com/shop\n\ngo 1.24\n\nrequire example.com/dep v1.0.0\n",
		"main.go":                       "package main\n\nimport \"example.com/dep\"\n\nfunc main() { dep.Do() }\n",
		"vendor/modules.txt":            "# example.com/dep v1.0.0\n## explicit; go 1.24\nexample.com/dep\n",
		"vendor/example.com/dep/dep.go": "package dep\n\nfunc Do() {}\n",
	})
	got := existing(t, root, inputsOf(t, image.Go, recipeOf(root), "GOPROXY=off"))
	if diff := cmp.Diff([]string{"go.mod", "main.go", "vendor/example.com/dep/dep.go", "vendor/modules.txt"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDockerInputs(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"Dockerfile":                     "FROM scratch\n",
		".dockerignore":                  "node_modules\n*.log\n!kept.log\ncache/*\n",
		"deploy/Dockerfile":              "FROM scratch\n",
		"deploy/Dockerfile.dockerignore": "src\n",
		".git/config":                    "x",
		"src/main.js":                    "x",
		"node_modules/dep/index.js":      "x",
		"out.log":                        "x",
		"kept.log":                       "x",
		"cache/x":                        "x",
	})
	if err := os.MkdirAll(filepath.Join(root, "empty/below"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(root, "src/link")); err != nil {
		t.Fatal(err)
	}
	recipe := recipeOf(root)
	inputs := inputsOf(t, image.Docker, recipe)
	if diff := cmp.Diff([]string{".dockerignore", "Dockerfile", "cache", "deploy/Dockerfile", "deploy/Dockerfile.dockerignore", "empty/below", "kept.log", "src/link", "src/main.js"},
		existing(t, root, inputs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"src/gone.js", "kept.log"}, taken(root, inputs, "src/gone.js", "node_modules/gone.js", "gone.log", "kept.log")); diff != "" {
		t.Errorf("files that Docker would get (-want +got):\n%s", diff)
	}
	recipe.Dockerfile = "deploy/Dockerfile"
	if diff := cmp.Diff([]string{".dockerignore", "Dockerfile", "cache/x", "deploy/Dockerfile", "deploy/Dockerfile.dockerignore", "empty/below", "kept.log",
		"node_modules/dep/index.js", "out.log"}, existing(t, root, inputsOf(t, image.Docker, recipe))); diff != "" {
		t.Errorf("with the Dockerfile's own ignore file (-want +got):\n%s", diff)
	}
}
