package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

// docker is a fake docker client: it supports `buildx version` and `buildx build`, records its arguments, and writes a
// prepared layout to the output.
type docker struct {
	t   *testing.T
	dir string // holds bin/docker, args, environ, built/ and stderr
}

const dockerScript = `#!/bin/sh
cd "${0%/*}/.."
case "$1 $2" in
"buildx version") [ -e no-buildx ] && { echo "docker: 'buildx' is not a docker command." >&2; exit 1; }; exit 0 ;;
"buildx build") ;;
*) echo "unknown call: $*" >&2; exit 64 ;;
esac
printf '%s\0' "$@" >args
printf '%s' "$SOURCE_DATE_EPOCH" >epoch
cat stderr >&2
[ -e fails ] && exit 1
for arg; do
  case "$arg" in --output=*) dest="${arg##*dest=}"; tar -C built -cf "${dest%\"}" . ;; esac
done
`

func newDocker(t *testing.T) docker {
	t.Helper()
	d := docker{t, tree(t, map[string]string{"bin/docker": dockerScript, "stderr": ""})}
	if err := os.Chmod(filepath.Join(d.dir, "bin/docker"), 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d docker) write(name, content string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d docker) read(name string) string {
	d.t.Helper()
	content, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(content)
}

// will makes the fake client build an image with these annotations; nil adds nothing.
func (d docker) will(annotations map[string]string) v1.Hash {
	d.t.Helper()
	img, err := random.Image(1024, 2)
	if err != nil {
		d.t.Fatal(err)
	}
	img = mutate.Annotations(mutate.MediaType(img, types.OCIManifestSchema1), annotations).(v1.Image)
	path, err := layout.Write(filepath.Join(d.dir, "built"), empty.Index)
	if err == nil {
		err = path.AppendImage(img)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		d.t.Fatal(err)
	}
	return digest
}

func (d docker) build(recipe release.Recipe) (release.Layout, error) {
	return d.buildIn(recipe, d.t.TempDir())
}

func (d docker) buildIn(recipe release.Recipe, dir string) (release.Layout, error) {
	environ := []string{"PATH=" + filepath.Join(d.dir, "bin") + ":/usr/bin:/bin", "SOURCE_DATE_EPOCH=1"}
	return image.New(image.Options{Environ: environ}).Build(context.Background(), image.Docker, recipe, dir)
}

var (
	dockerSettings = release.RecipeSettings{"builder": "docker"}
	stamped        = map[string]string{release.AnnotationRevision: commit.String(), release.AnnotationRecipe: dockerSettings.Encode()}
)

func dockerRecipe(t *testing.T) release.Recipe {
	recipe := recipeOf(tree(t, map[string]string{"Dockerfile": "FROM scratch\n", "deploy/Dockerfile": "FROM scratch\n"}))
	recipe.Main, recipe.Settings = "", dockerSettings
	return recipe
}

func TestDockerGetsTheRecipeAsArguments(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	digest := d.will(stamped)
	recipe := dockerRecipe(t)
	recipe.Dockerfile = "deploy/Dockerfile"
	recipe.BuildArgs = map[string]string{"B": "$(id) `id` \"'\n--push", "A": "--output=type=local,dest=/"}
	recipe.Labels = map[string]string{"team": "x --push"}
	dir := filepath.Join(t.TempDir(), "with, comma")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The stand-in does not read CSV as buildx does; only its own directory matters here.
	built, err := d.buildIn(recipe, dir)
	if err != nil {
		t.Fatal(err)
	}
	if built.Digest.String() != digest.String() || built.Dir != dir {
		t.Errorf("got %+v, want %s", built, digest)
	}
	if _, err := os.Stat(filepath.Join(dir, "built.tar")); err == nil {
		t.Error("the archive was left behind")
	}
	annotation := "--annotation=manifest:"
	want := []string{"buildx", "build", "--progress=plain", "--provenance=false", "--sbom=false",
		`--output=type=oci,rewrite-timestamp=true,"dest=` + dir + `/built.tar"`, "--file=" + filepath.Join(recipe.Context, "deploy/Dockerfile"), "--platform=linux/amd64",
		"--build-arg=A=--output=type=local,dest=/", "--build-arg=B=$(id) `id` \"'\n--push",
		"--label=" + release.AnnotationRecipe + `={"builder":"docker"}`,
		"--label=" + release.AnnotationCreated + "=2026-03-04T03:06:07Z", "--label=" + release.AnnotationRevision + "=" + commit.String(),
		"--label=team=x --push",
		annotation + release.AnnotationRecipe + `={"builder":"docker"}`,
		annotation + release.AnnotationCreated + "=2026-03-04T03:06:07Z", annotation + release.AnnotationRevision + "=" + commit.String(),
		"--", recipe.Context}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(d.read("args"), "\x00"), "\x00")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if got := d.read("epoch"); got != "1772593567" {
		t.Errorf("SOURCE_DATE_EPOCH is %s", got)
	}
}

func TestDockerIndexIsAnnotatedToo(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.will(stamped)
	recipe := dockerRecipe(t)
	recipe.Platforms = append(recipe.Platforms, release.Platform{OS: "linux", Architecture: "arm64"})
	if _, err := d.build(recipe); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--platform=linux/amd64,linux/arm64\x00", "--annotation=index,manifest:" + release.AnnotationRevision + "="} {
		if !strings.Contains(d.read("args"), want) {
			t.Errorf("arguments lack %q", want)
		}
	}
}

func TestDockerFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare func(d docker)
		code    int
		want    string
	}{
		"no buildx": {func(d docker) { d.write("no-buildx", "") }, release.ExitFault, "not a docker command"},
		"no docker": {func(d docker) { os.Remove(filepath.Join(d.dir, "bin/docker")) }, release.ExitFault, "--builder go"},
		"no daemon": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n")
		}, release.ExitFault, "start Docker"},
		"wrong driver": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: OCI exporter is not supported for the docker driver.\n")
		}, release.ExitFault, "docker buildx create --use"},
		"old buildx": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "unknown flag: --annotation\nSee 'docker buildx build --help'.\n")
		}, release.ExitFault, "update docker buildx"},
		"a Dockerfile's RUN": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "#7 step\x1b[31m\nERROR: failed to solve: exit code: 1\nView build details\n")
		}, release.ExitFailed, "failed to solve: exit code: 1"},
		"fails without words": {func(d docker) { d.write("fails", "") }, release.ExitFault, "exit status 1"},
		"writes nothing": {func(d docker) {
			os.RemoveAll(filepath.Join(d.dir, "built"))
			os.Mkdir(filepath.Join(d.dir, "built"), 0o755)
		}, release.ExitFault, "index.json"},
		"is not annotated": {func(d docker) { os.RemoveAll(filepath.Join(d.dir, "built")); d.will(nil) }, release.ExitFault, "revision"},
		"of another commit": {func(d docker) {
			os.RemoveAll(filepath.Join(d.dir, "built"))
			d.will(map[string]string{release.AnnotationRevision: "x"})
		}, release.ExitFault, "revision"},
		"without its settings": {func(d docker) {
			os.RemoveAll(filepath.Join(d.dir, "built"))
			d.will(map[string]string{release.AnnotationRevision: commit.String()})
		}, release.ExitFault, "annotated with onedigest.dev/recipe"},
		"writes two images":       {func(d docker) { appendTo(d) }, release.ExitFault, "2 entries"},
		"writes a truncated blob": {func(d docker) { tear(d) }, release.ExitFault, "blob sha256:"},
		"writes another blob":     {func(d docker) { forge(d) }, release.ExitFault, "does not have the content"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDocker(t)
			d.will(stamped)
			test.prepare(d)
			_, err := d.build(dockerRecipe(t))
			if err == nil || release.ExitCode(err) != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got exit %d, %v; want exit %d, %q", release.ExitCode(err), err, test.code, test.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q has more than one line", err)
			}
		})
	}
}

func appendTo(d docker) {
	d.t.Helper()
	img, err := random.Image(16, 1)
	if err != nil {
		d.t.Fatal(err)
	}
	path, err := layout.FromPath(filepath.Join(d.dir, "built"))
	if err == nil {
		err = path.AppendImage(img)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// layer is the file of the image's first layer.
func layer(d docker) string {
	d.t.Helper()
	var index v1.IndexManifest
	if err := json.Unmarshal([]byte(d.read("built/index.json")), &index); err != nil {
		d.t.Fatal(err)
	}
	var manifest v1.Manifest
	if err := json.Unmarshal([]byte(d.read("built/blobs/sha256/"+index.Manifests[0].Digest.Hex)), &manifest); err != nil {
		d.t.Fatal(err)
	}
	return "built/blobs/sha256/" + manifest.Layers[0].Digest.Hex
}

func tear(d docker) { d.write(layer(d), d.read(layer(d))[1:]) }

func forge(d docker) {
	content := []byte(d.read(layer(d)))
	content[0] ^= 1
	d.write(layer(d), string(content))
}

// TestDockerArchiveStaysInItsDirectory unpacks nothing but a layout's own files.
func TestDockerArchiveStaysInItsDirectory(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.will(stamped)
	for _, name := range []string{"built/blobs/escape", "built/manifest.json"} {
		d.write(name, "x")
	}
	if err := os.Symlink("/etc", filepath.Join(d.dir, "built/blobs/sha256", strings.Repeat("0", 64))); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if _, err := d.buildIn(dockerRecipe(t), out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blobs/escape", "manifest.json", "blobs/sha256/" + strings.Repeat("0", 64)} {
		if _, err := os.Lstat(filepath.Join(out, name)); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
}

func TestDockerfileOutsideTheContext(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.will(stamped)
	recipe := dockerRecipe(t)
	recipe.Dockerfile = "/etc/passwd"
	_, err := d.build(recipe)
	var input *release.InputError
	if !errors.As(err, &input) {
		t.Errorf("got %v, want bad input", err)
	}
}

// TestDockerForReal builds with the machine's own docker buildx, which must be able to write OCI layouts and is not
// started here. It needs no base image.
func TestDockerForReal(t *testing.T) {
	t.Parallel()
	if os.Getenv("ONEDIGEST_DOCKER_TEST") != "1" {
		t.Skip("SKIPPED: set ONEDIGEST_DOCKER_TEST=1 to build with this machine's docker buildx")
	}
	if out, err := exec.Command("docker", "buildx", "inspect").CombinedOutput(); err != nil {
		t.Fatalf("ONEDIGEST_DOCKER_TEST is set, but docker buildx does not work: %s", out)
	}
	for name, platforms := range map[string][]release.Platform{
		"image": amd64(),
		"index": {{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}},
	} {
		var digests []string
		for range 2 {
			recipe := recipeOf(tree(t, map[string]string{"Dockerfile": "FROM scratch\nARG TEXT\nLABEL text=$TEXT\nCOPY file /file\n", "file": "content\n"}))
			recipe.Main, recipe.Platforms, recipe.BuildArgs = "", platforms, map[string]string{"TEXT": "$(id) --push"}
			built, err := image.New(image.Options{Environ: os.Environ(), Log: func(line string) { t.Log(line) }}).Build(context.Background(), image.Docker, recipe, t.TempDir())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			digests = append(digests, built.Digest.String())
		}
		if digests[0] != digests[1] {
			t.Errorf("%s: built %s and %s from the same", name, digests[0], digests[1])
		}
	}
}
