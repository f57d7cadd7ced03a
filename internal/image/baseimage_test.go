package image_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

func someBase(t *testing.T) release.Image {
	t.Helper()
	base, err := release.ParseImage("localhost:5000/base@sha256:" + strings.Repeat("e", 64))
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// baseLayout is a layout with a base for linux/amd64, in Docker's media types, whose layer has the given type.
func baseLayout(t *testing.T, layerType types.MediaType, config v1.Config) release.Layout {
	t.Helper()
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	if _, err := writer.Write(make([]byte, 1024)); err != nil { // an empty tar
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	base, err := mutate.Append(empty.Image, mutate.Addendum{Layer: gzipped{static.NewLayer(zipped.Bytes(), layerType)}, MediaType: layerType,
		History: v1.History{CreatedBy: "the base's maker"}})
	if err != nil {
		t.Fatal(err)
	}
	file, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", "amd64", config
	if base, err = mutate.ConfigFile(base, file); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(base, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return release.Layout{Dir: dir, Digest: someBase(t).Digest}
}

// gzipped is a static layer that knows its content's digest, which static.NewLayer takes for that of the compressed bytes.
type gzipped struct{ v1.Layer }

func (g gzipped) DiffID() (v1.Hash, error) {
	hash, _, err := v1.SHA256(bytes.NewReader(make([]byte, 1024)))
	return hash, err
}

func TestGoImageOnABase(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, shop))
	recipe.Base, recipe.Settings = someBase(t), release.RecipeSettings{"builder": "go"}
	recipe.BaseLayout = baseLayout(t, types.DockerLayer, v1.Config{
		User: "1000", WorkingDir: "/srv", Env: []string{"LANG=C.UTF-8", "PATH=/usr/bin:/bin"}, Cmd: []string{"bash"}, Entrypoint: []string{"/init"},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "curl", "localhost"}}, StopSignal: "SIGQUIT",
		Labels: map[string]string{"vendor": "somebody", "org.opencontainers.image.version": "12", release.AnnotationRecipe: "forged", release.AnnotationRevision: "theirs"},
	})
	built := build(t, recipe)
	img := imageOf(t, built)
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{User: "1000", WorkingDir: "/srv", Env: []string{"PATH=/app:/usr/bin:/bin", "LANG=C.UTF-8"}, Entrypoint: []string{"/app/shop"}, StopSignal: "SIGQUIT",
		Labels: map[string]string{"vendor": "somebody", release.AnnotationRevision: commit.String(),
			release.AnnotationCreated: "2026-03-04T03:06:07Z", release.AnnotationToolchain: "go1.26.8", release.AnnotationRecipe: `{"builder":"go"}`, "org.opencontainers.image.base.digest": recipe.Base.Digest.String()}}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if len(config.History) != 2 || config.History[0].CreatedBy != "the base's maker" {
		t.Errorf("history %+v", config.History)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.OCIManifestSchema1 || len(manifest.Layers) != 2 || manifest.Layers[0].MediaType != types.OCILayer || manifest.Annotations["org.opencontainers.image.base.digest"] == "" {
		t.Errorf("got manifest %+v", manifest)
	}
	if again := build(t, recipe); again.Digest != built.Digest {
		t.Errorf("built %s, then %s", built.Digest, again.Digest)
	}
}

func TestGoImageOnABaseThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		layerType    types.MediaType
		architecture string
		want         string
	}{
		"a layer of another kind": {types.DockerForeignLayer, "amd64", "which the go builder cannot put into an OCI image"},
		"no such platform":        {types.DockerLayer, "arm64", `it has no image for "linux/arm64"`},
	} {
		recipe := recipeOf(tree(t, shop))
		recipe.Base, recipe.BaseLayout, recipe.Platforms[0].Architecture = someBase(t), baseLayout(t, test.layerType, v1.Config{}), test.architecture
		recipe.Source.Created = time.Unix(1, 0)
		_, err := image.New(image.Options{Environ: os.Environ()}).Build(t.Context(), image.Go, recipe, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
