package image_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

func settingsOf(t *testing.T, builder string, recipe release.Recipe) release.RecipeSettings {
	t.Helper()
	settings, err := image.New(image.Options{}).Settings(builder, recipe)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// TestSettings holds the stored settings to what shapes the image: two spellings of one image are equal, and all else differs.
func TestSettings(t *testing.T) {
	t.Parallel()
	context := tree(t, map[string]string{"Containerfile": "FROM scratch\n", "deploy/Dockerfile": "FROM scratch\n"})
	if err := os.Symlink(filepath.Join(context, "deploy/Dockerfile"), filepath.Join(context, "link")); err != nil {
		t.Fatal(err)
	}
	arm := release.Platform{OS: "linux", Architecture: "arm64"}
	for name, test := range map[string]struct {
		builder string
		change  func(*release.Recipe)
		want    map[string]string // what differs from the recipe without the change; "-": absent
	}{
		"go, the same":            {image.Go, func(r *release.Recipe) { r.Main = "./cmd/.." }, nil},
		"go, platforms again":     {image.Go, func(r *release.Recipe) { r.Platforms = append(amd64(), amd64()...) }, nil},
		"go, another main":        {image.Go, func(r *release.Recipe) { r.Main = "./cmd/worker/" }, map[string]string{"main": "cmd/worker"}},
		"go, platforms":           {image.Go, func(r *release.Recipe) { r.Platforms = append([]release.Platform{arm}, amd64()...) }, map[string]string{"platforms": "linux/amd64,linux/arm64"}},
		"go, another context":     {image.Go, func(r *release.Recipe) { r.Source.Path = "services/api" }, map[string]string{"context": "services/api"}},
		"go, a label":             {image.Go, func(r *release.Recipe) { r.Labels = map[string]string{"team": "payments"} }, map[string]string{"labels team": "payments"}},
		"go, build tags":          {image.Go, func(r *release.Recipe) { r.Tags = []string{"b", "a", "b"} }, map[string]string{"tags": "a,b"}},
		"go, a base":              {image.Go, func(r *release.Recipe) { r.Base = someBase(t) }, map[string]string{"base": someBase(t).Digest.String()}},
		"docker, default by name": {image.Docker, func(r *release.Recipe) { r.Dockerfile = "./Containerfile" }, nil},
		"docker, absolute name":   {image.Docker, func(r *release.Recipe) { r.Dockerfile = filepath.Join(r.Context, "Containerfile") }, nil},
		"docker, another file":    {image.Docker, func(r *release.Recipe) { r.Dockerfile = "link" }, map[string]string{"dockerfile": "deploy/Dockerfile"}},
		"docker, a target":        {image.Docker, func(r *release.Recipe) { r.Docker.Target = "final" }, map[string]string{"target": "final"}},
		"docker, contexts": {image.Docker, func(r *release.Recipe) {
			r.Docker.Contexts = map[string]string{"shared": "./deploy", "base": "docker-image://x@y"}
		}, map[string]string{"build-contexts shared": "deploy", "build-contexts base": "docker-image://x@y"}},
		"docker, what leaves no trace": {image.Docker, func(r *release.Recipe) {
			r.Docker = release.DockerRecipe{Secrets: map[string]string{"A": "b"}, SSH: []string{"default"}, CacheFrom: []string{"type=gha"}}
		}, nil},
		"go, a variable":          {image.Go, func(r *release.Recipe) { r.Stamps = map[string]string{"main.version": "{commit}"} }, map[string]string{"ldflags main.version": "{commit}"}},
		"go, a user":              {image.Go, func(r *release.Recipe) { r.User = "1000:1000" }, map[string]string{"user": "1000:1000"}},
		"go, the default user":    {image.Go, func(r *release.Recipe) { r.User = "65532:65532" }, nil},
		"go, a working directory": {image.Go, func(r *release.Recipe) { r.WorkingDir = "/app" }, map[string]string{"working-dir": "/app"}},
		"go, the default one":     {image.Go, func(r *release.Recipe) { r.WorkingDir = "/" }, nil},
		"go, it on a base": {image.Go, func(r *release.Recipe) { r.User, r.Base = "65532:65532", someBase(t) },
			map[string]string{"user": "65532:65532", "base": someBase(t).Digest.String()}},
	} {
		recipe := recipeOf(context)
		recipe.Source.Path = "."
		want := settingsOf(t, test.builder, recipe)
		test.change(&recipe)
		maps.Copy(want, test.want)
		if diff := cmp.Diff(want, settingsOf(t, test.builder, recipe)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	plain := recipeOf(context)
	plain.Source.Path = "app"
	for builder, want := range map[string]release.RecipeSettings{
		image.Go:     {"builder": "go", "context": "app", "main": ".", "platforms": "linux/amd64"},
		image.Docker: {"builder": "docker", "context": "app", "dockerfile": "Containerfile", "platforms": "linux/amd64"},
	} {
		if diff := cmp.Diff(want, settingsOf(t, builder, plain)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", builder, diff)
		}
	}
}

// A build argument's hash tells two values apart, and cannot be made from the image alone, which names the commit.
func TestSettingsOfBuildArguments(t *testing.T) {
	t.Parallel()
	hash := func(object byte, value string) string {
		recipe := recipeOf(tree(t, map[string]string{"Dockerfile": "FROM scratch\n"}))
		recipe.Source.Object = [32]byte{object}
		recipe.BuildArgs = map[string]string{"TOKEN": value}
		stored := settingsOf(t, image.Docker, recipe)["build-args TOKEN"]
		if !strings.HasPrefix(stored, "hash ") || len(stored) != len("hash ")+32 || strings.Contains(stored, value) {
			t.Errorf("the argument is stored as %q", stored)
		}
		return stored
	}
	plain := hash(1, "hunter2")
	if hash(1, "hunter2") != plain || hash(1, "hunter3") == plain || hash(2, "hunter2") == plain {
		t.Error("the hash does not depend on the value and the commit object alone")
	}
}
