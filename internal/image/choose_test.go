package image_test

import (
	"errors"
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
		"auto, Go":                          {shop, "auto", nil, "go", ""},
		"auto, Go and a Dockerfile":         {both, "auto", nil, "go", ""},
		"auto, Dockerfile named":            {both, "auto", func(r *release.Recipe) { r.Dockerfile = "build/Dockerfile" }, "docker", ""},
		"auto, Dockerfile named absolutely": {both, "auto", func(r *release.Recipe) { r.Dockerfile = filepath.Join(r.Context, "Dockerfile") }, "docker", ""},
		"auto, no Go":                       {map[string]string{"Dockerfile": "FROM scratch\n"}, "auto", nil, "docker", ""},
		"auto, no main there":               {both, "auto", func(r *release.Recipe) { r.Main = "lib" }, "docker", ""},
		"auto, main below":                  {both, "auto", func(r *release.Recipe) { r.Main = "cmd/worker" }, "go", ""},
		"auto, nothing":                     {map[string]string{"README": ""}, "auto", nil, "", "nothing to build"},
		"auto, build args":                  {both, "auto", func(r *release.Recipe) { r.BuildArgs = map[string]string{"A": "b"} }, "", "--builder docker"},
		"go":                                {shop, "go", nil, "go", ""},
		"go, no Go":                         {map[string]string{"Dockerfile": ""}, "go", nil, "", "holds no Go package"},
		"go, tests only":                    {map[string]string{"main_test.go": "package main\n"}, "go", nil, "", "main"},
		"go, a library":                     {shop, "go", func(r *release.Recipe) { r.Main = "lib" }, "", `package "lib", not a main package`},
		"go, Dockerfile":                    {both, "go", func(r *release.Recipe) { r.Dockerfile = "Dockerfile" }, "", "does not use a Dockerfile"},
		"go, windows":                       {shop, "go", func(r *release.Recipe) { r.Platforms[0].OS = "windows" }, "", "windows/amd64"},
		"go, absent":                        {shop, "go", func(r *release.Recipe) { r.Main = "absent" }, "", "holds no Go package"},
		"docker":                            {both, "docker", nil, "docker", ""},
		"docker, no file":                   {shop, "docker", nil, "", "does not exist"},
		"docker, a directory":               {both, "docker", func(r *release.Recipe) { r.Dockerfile = "build" }, "", "is not a file"},
		"docker, outside":                   {both, "docker", func(r *release.Recipe) { r.Dockerfile = filepath.Join(outside, "Dockerfile") }, "", "outside the context"},
		"unknown":                           {shop, "podman", nil, "", "not a builder"},
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

func TestChooseFollowsNoLinkOutOfTheContext(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, nil))
	if err := os.Symlink("/etc/passwd", filepath.Join(recipe.Context, "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	if _, err := image.New(image.Options{}).Choose("docker", recipe); err == nil || !strings.Contains(err.Error(), "outside the context") {
		t.Errorf("got %v, want a refusal", err)
	}
}
