package image_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	both := map[string]string{"Dockerfile": "FROM scratch\n", "build/Dockerfile": "FROM scratch\n"}
	for path, content := range shop {
		both[path] = content
	}
	outside := tree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	tests := map[string]struct {
		files   map[string]string
		builder string
		change  func(*release.Recipe)
		want    string
		refusal string
	}{
		"auto, Go":                      {shop, "auto", nil, "go", ""},
		"auto, Go and a Dockerfile":     {both, "auto", nil, "", "holds a Go main package and a Dockerfile, and they make different images; give --builder go for the Go program or --builder docker"},
		"auto, Go and a Containerfile":  {with(shop, "Containerfile"), "auto", nil, "", "a Go main package and a Containerfile"},
		"auto, Go and a Dockerfile.dev": {with(shop, "Dockerfile.dev", "deploy/Dockerfile"), "auto", nil, "go", ""},
		"auto, main and Dockerfile named": {both, "auto", func(r *release.Recipe) { r.Main, r.Dockerfile = "cmd/worker", "Dockerfile" }, "",
			`"cmd/worker" and the Dockerfile "Dockerfile" are both named`},
		"auto, Go outside of a module":      {map[string]string{"main.go": "package main\n\nfunc main() {}\n", "Dockerfile": ""}, "auto", nil, "docker", ""},
		"auto, two Dockerfiles":             {map[string]string{"Dockerfile": "", "Containerfile": ""}, "auto", nil, "", "holds Dockerfile and Containerfile, which are different files"},
		"auto, only a Containerfile":        {map[string]string{"Containerfile": ""}, "auto", nil, "docker", ""},
		"auto, mains below":                 {without(shop, "main.go"), "auto", nil, "", `there are "cmd/worker"; name the Go main package with --main`},
		"auto, Dockerfiles below":           {map[string]string{"Dockerfile.prod": "", "web/Dockerfile": ""}, "auto", nil, "", `there are "Dockerfile.prod", "web/Dockerfile"`},
		"auto, mains below, Dockerfile":     {with(without(shop, "main.go"), "Dockerfile"), "auto", nil, "docker", ""},
		"auto, Dockerfile named":            {both, "auto", func(r *release.Recipe) { r.Dockerfile = "build/Dockerfile" }, "docker", ""},
		"auto, Dockerfile named absolutely": {both, "auto", func(r *release.Recipe) { r.Dockerfile = filepath.Join(r.Context, "Dockerfile") }, "docker", ""},
		"auto, no Go":                       {map[string]string{"Dockerfile": "FROM scratch\n"}, "auto", nil, "docker", ""},
		"auto, no main there":               {both, "auto", func(r *release.Recipe) { r.Main = "lib" }, "", `package "lib", not a main package`},
		"auto, main below":                  {both, "auto", func(r *release.Recipe) { r.Main = "cmd/worker" }, "go", ""},
		"auto, nothing":                     {map[string]string{"README": ""}, "auto", nil, "", "nothing to build"},
		"auto, build args":                  {shop, "auto", func(r *release.Recipe) { r.BuildArgs = map[string]string{"A": "b"} }, "", "--builder docker"},
		"go":                                {shop, "go", nil, "go", ""},
		"go, no Go":                         {map[string]string{"Dockerfile": ""}, "go", nil, "", "holds no Go package"},
		"go, tests only":                    {map[string]string{"main_test.go": "package main\n"}, "go", nil, "", "main"},
		"go, a library":                     {shop, "go", func(r *release.Recipe) { r.Main = "lib" }, "", `package "lib", not a main package`},
		"go, Dockerfile":                    {both, "go", func(r *release.Recipe) { r.Dockerfile = "Dockerfile" }, "", "does not use a Dockerfile"},
		"go beside a Dockerfile":            {both, "go", nil, "go", ""},
		"docker, a base":                    {both, "docker", func(r *release.Recipe) { r.Base = someBase(t) }, "", "the Dockerfile names the base"},
		"docker, main named":                {both, "docker", func(r *release.Recipe) { r.Main = "cmd/worker" }, "", "not a Go main package"},
		"docker, two Dockerfiles, named":    {with(both, "Containerfile"), "docker", func(r *release.Recipe) { r.Dockerfile = "Containerfile" }, "docker", ""},
		"go, windows":                       {shop, "go", func(r *release.Recipe) { r.Platforms[0].OS = "windows" }, "", "windows/amd64"},
		"go, absent":                        {shop, "go", func(r *release.Recipe) { r.Main = "absent" }, "", "holds no Go package"},
		"go, another system": {map[string]string{"go.mod": shop["go.mod"], "main_windows.go": "package main\n\nfunc main() {}\n"}, "go", nil, "",
			`"." holds no Go package for linux/amd64: names, build constraints or missing tags leave out main_windows.go`},
		"go, a tag":           {map[string]string{"go.mod": shop["go.mod"], "main.go": "//go:build special\n\npackage main\n\nfunc main() {}\n"}, "go", nil, "", "missing tags leave out main.go"},
		"go, cgo":             {map[string]string{"go.mod": shop["go.mod"], "main.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"}, "go", nil, "", "without cgo, which the Go builder disables (main.go)"},
		"docker":              {both, "docker", nil, "docker", ""},
		"docker, no file":     {shop, "docker", nil, "", "does not exist"},
		"docker, a directory": {both, "docker", func(r *release.Recipe) { r.Dockerfile = "build" }, "", "is not a file"},
		"docker, outside":     {both, "docker", func(r *release.Recipe) { r.Dockerfile = filepath.Join(outside, "Dockerfile") }, "", "outside the work tree"},
		"unknown":             {shop, "podman", nil, "", "not a builder"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recipe := recipeOf(tree(t, test.files))
			if test.change != nil {
				test.change(&recipe)
			}
			for _, environ := range [][]string{nil, {"PATH=/nonexistent"}, os.Environ()} { // what is installed must not count
				got, err := image.New(image.Options{Environ: environ}).Choose(test.builder, recipe)
				if test.refusal == "" && (err != nil || got != test.want) {
					t.Errorf("got %q, %v, want %q", got, err, test.want)
				}
				var input *release.InputError
				if test.refusal != "" && (!errors.As(err, &input) || !strings.Contains(err.Error(), test.refusal)) {
					t.Errorf("got %v, want bad input with %q", err, test.refusal)
				}
			}
		})
	}
}

// with returns the files and further empty ones.
func with(files map[string]string, names ...string) map[string]string {
	more := maps.Clone(files)
	for _, name := range names {
		more[name] = ""
	}
	return more
}

func without(files map[string]string, name string) map[string]string {
	fewer := maps.Clone(files)
	delete(fewer, name)
	return fewer
}

func TestChooseTakesOneFileWithTwoNames(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, map[string]string{"Containerfile": ""}))
	if err := os.Symlink("Containerfile", filepath.Join(recipe.Context, "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	if got, err := image.New(image.Options{}).Choose("auto", recipe); got != "docker" || err != nil {
		t.Errorf("got %q, %v, want docker", got, err)
	}
}

func TestChooseFollowsNoLinkOutOfTheWorkTree(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, nil))
	if err := os.Symlink("/etc/passwd", filepath.Join(recipe.Context, "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	if _, err := image.New(image.Options{}).Choose("docker", recipe); err == nil || !strings.Contains(err.Error(), "outside the work tree") {
		t.Errorf("got %v, want a refusal", err)
	}
}
