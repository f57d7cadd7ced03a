package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
env >environ
[ -n "$DOCKER_CONFIG" ] && cp "$DOCKER_CONFIG/config.json" used.json
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
		"no such host": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: failed to build: failed to solve: nowhere.invalid/x:1: failed to resolve source metadata for nowhere.invalid/x:1: failed to do request: Head \"https://nowhere.invalid/v2/x/manifests/1\": dial tcp: lookup nowhere.invalid on 127.0.0.53:53: no such host\n")
		}, release.ExitFault, "check that the builder can reach the registry"},
		"a busy registry": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: failed to solve: failed to do request: unexpected status from HEAD request to https://r/v2/x/manifests/1: 429 Too Many Requests\n")
		}, release.ExitFault, "run the build again"},
		"no access to a base": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: failed to solve: r/x: failed to resolve source metadata for r/x:1: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope\n")
		}, release.ExitFault, "docker login"},
		"a RUN about the network": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: failed to solve: process \"/bin/sh -c echo dial tcp: no such host; exit 1\" did not complete successfully: exit code: 1\n")
		}, release.ExitFailed, "did not complete successfully"},
		"an instruction about the network": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: failed to solve: dockerfile parse error on line 3: unknown instruction: dial tcp\n")
		}, release.ExitFailed, "dockerfile parse error"},
		"a missing file about the network": {func(d docker) {
			d.write("fails", "")
			d.write("stderr", "ERROR: failed to solve: failed to compute cache key: failed to calculate checksum of ref a::b: \"/no such host\": not found\n")
		}, release.ExitFailed, "not found"},
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
		"writes another blob":     {func(d docker) { forge(d) }, release.ExitFault, "does not match its digest"},
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

// A Dockerfile may be outside the context, and not outside the work tree.
func TestDockerfileOutsideTheContext(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.will(stamped)
	recipe := dockerRecipe(t)
	recipe.Context, recipe.Source.Path = filepath.Join(recipe.Context, "deploy"), "deploy"
	top := filepath.Dir(recipe.Context)
	for name, found := range map[string]bool{"../Dockerfile": true, "/etc/passwd": false, "../../../../../../etc/passwd": false, "link": false} {
		recipe.Dockerfile = name
		if name == "link" {
			if err := os.Symlink("/etc/passwd", filepath.Join(recipe.Context, "link")); err != nil {
				t.Fatal(err)
			}
		}
		_, err := d.build(recipe)
		var input *release.InputError
		if found && err != nil || !found && !errors.As(err, &input) {
			t.Errorf("%s: got %v, accepted %v", name, err, found)
		}
		if found && !strings.Contains(d.read("args"), "--file="+filepath.Join(top, "Dockerfile")+"\x00") {
			t.Errorf("%s: arguments %q", name, d.read("args"))
		}
	}
	recipe.Dockerfile = "../Dockerfile"
	if got := existing(t, top, inputsOf(t, image.Docker, recipe)); !slices.Contains(got, "Dockerfile") || slices.Contains(got, "file") {
		t.Errorf("the inputs are %v", got)
	}
}

func TestDockerGetsWhatElseIsAskedFor(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.will(stamped)
	recipe := recipeOf(tree(t, map[string]string{"app/Dockerfile": "FROM scratch\narg COMMIT=none\n  ARG BUILD_DATE\nARG GIT_SHA\n# ARG VCS_REF\n", "shared/x": "x"}))
	recipe.Main, recipe.Settings, recipe.Context, recipe.Source.Path = "", dockerSettings, filepath.Join(recipe.Context, "app"), "app"
	recipe.BuildArgs = map[string]string{"GIT_SHA": "given"}
	image := release.DockerImageScheme + someBase(t).String()
	recipe.Docker = release.DockerRecipe{Target: "final", Contexts: map[string]string{"shared": "../shared", "base": image}, SSH: []string{"default"},
		Secrets: map[string]string{"TOKEN": "hunter2"}, SecretFiles: map[string]string{"KEY": "/tmp/a,b"},
		CacheFrom: []string{"type=registry,ref=localhost/cache:x"}, CacheTo: []string{"type=gha,mode=max"}}
	if _, err := d.build(recipe); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(d.read("args"), "\x00")
	shared := filepath.Join(filepath.Dir(recipe.Context), "shared")
	for _, want := range []string{"--target=final", "--build-context=shared=" + shared, "--build-context=base=" + image, "--ssh=default", "--secret=id=TOKEN,env=ONEDIGEST_SECRET_0",
		`--secret=id=KEY,"src=/tmp/a,b"`, "--cache-from=type=registry,ref=localhost/cache:x", "--cache-to=type=gha,mode=max",
		"--build-arg=COMMIT=" + commit.String(), "--build-arg=BUILD_DATE=2026-03-04T03:06:07Z", "--build-arg=GIT_SHA=given"} {
		if !slices.Contains(got, want) {
			t.Errorf("the arguments %q lack %q", got, want)
		}
	}
	if strings.Contains(d.read("args"), "hunter2") || strings.Contains(d.read("args"), "VCS_REF") {
		t.Errorf("arguments %q", got)
	}
	if !strings.Contains(d.read("environ"), "ONEDIGEST_SECRET_0=hunter2\n") {
		t.Error("the secret is not in the environment")
	}
}

// What a named context holds enters the image, and is compared with the commit.
func TestDockerInputsOfANamedContext(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"app/Dockerfile": "FROM scratch\n", "shared/x": "x", "shared/skipped": "x", "shared/.dockerignore": "skipped\n", "other/y": "y"})
	recipe := recipeOf(filepath.Join(root, "app"))
	recipe.Main, recipe.Source.Path, recipe.Docker.Contexts = "", "app", map[string]string{"shared": "../shared", "base": release.DockerImageScheme + someBase(t).String()}
	want := []string{"app/Dockerfile", "shared/.dockerignore", "shared/x"}
	inputs := inputsOf(t, image.Docker, recipe)
	if diff := cmp.Diff(want, existing(t, root, inputs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shared/new"}, taken(root, inputs, "shared/new", "shared/skipped", "other/y")); diff != "" {
		t.Errorf("taken: -want +got:\n%s", diff)
	}
	for name, outside := range map[string]string{"outside": "../..", "a file": "../shared/x", "nothing": "../none"} {
		recipe.Docker.Contexts = map[string]string{"shared": outside}
		if _, err := image.New(image.Options{}).Choose(image.Docker, recipe); release.ExitCode(err) != release.ExitInput {
			t.Errorf("%s: got %v, want bad input", name, err)
		}
	}
}

func TestDockerRefusesGitHubsCacheThatCannotBeReached(t *testing.T) {
	t.Parallel()
	recipe := dockerRecipe(t)
	recipe.Docker.CacheTo = []string{"type=gha"}
	_, err := image.New(image.Options{}).Choose(image.Docker, recipe)
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "--cache-to") {
		t.Errorf("got %v, want bad input", err)
	}
	if _, err := image.New(image.Options{Environ: []string{"ACTIONS_RUNTIME_TOKEN=x"}}).Choose(image.Docker, recipe); err != nil {
		t.Error(err)
	}
}

// Registries that the Dockerfile names are logged in to for the build alone.
func TestDockerIsLoggedInForBaseImages(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.will(stamped)
	recipe := dockerRecipe(t)
	dockerfile := "FROM golang:1.26 AS build\nFROM 123456789012.dkr.ecr.eu-central-1.amazonaws.com/base@sha256:x\nCOPY --from=known.example.com/tools /x /x\n"
	if err := os.WriteFile(filepath.Join(recipe.Context, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	d.write("config.json", `{"auths":{"known.example.com":{"auth":"x"}}}`)
	var asked []string
	out := t.TempDir()
	builders := image.New(image.Options{Environ: []string{"PATH=" + filepath.Join(d.dir, "bin") + ":/usr/bin:/bin", "DOCKER_CONFIG=" + d.dir},
		Login: func(_ context.Context, host string) (string, string, error) {
			asked = append(asked, host)
			return "AWS", "token", nil
		}})
	if _, err := builders.Build(t.Context(), image.Docker, recipe, out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"123456789012.dkr.ecr.eu-central-1.amazonaws.com"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if got := d.read("used.json"); !strings.Contains(got, "QVdTOnRva2Vu") || !strings.Contains(got, "known.example.com") {
		t.Errorf("docker used %s", got)
	}
	if _, err := os.Stat(filepath.Join(out, "docker")); err == nil {
		t.Error("the login was left behind")
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

// TestDockerForRealWithEverything has a Dockerfile outside its context, a named context, a target, a secret and the commit.
func TestDockerForRealWithEverything(t *testing.T) {
	t.Parallel()
	if os.Getenv("ONEDIGEST_DOCKER_TEST") != "1" {
		t.Skip("SKIPPED: set ONEDIGEST_DOCKER_TEST=1 to build with this machine's docker buildx")
	}
	root := tree(t, map[string]string{
		"tool/go.mod":  "module example.com/tool\n\ngo 1.24\n",
		"tool/main.go": "package main\n\nimport \"os\"\n\nfunc main() {\n\tsecret, err := os.ReadFile(os.Args[1])\n\tif err != nil || string(secret) != \"hunter2\" {\n\t\tos.Exit(3)\n\t}\n\tif err := os.WriteFile(os.Args[2], []byte(\"made\"), 0o644); err != nil {\n\t\tpanic(err)\n\t}\n}\n",
		"app/file":     "x",
		"Dockerfile": "FROM scratch AS build\nCOPY --from=tools tool /tool\nRUN --mount=type=secret,id=TOKEN [\"/tool\", \"/run/secrets/TOKEN\", \"/out\"]\n" +
			"FROM scratch AS final\nARG COMMIT\nCOPY --from=build /out /out\nCOPY file /file\nLABEL of=$COMMIT\nFROM scratch AS broken\nCOPY none /\n",
	})
	compile := exec.Command("go", "build", "-o", filepath.Join(root, "tool/tool"), ".")
	compile.Dir, compile.Env = filepath.Join(root, "tool"), append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	recipe := recipeOf(filepath.Join(root, "app"))
	recipe.Main, recipe.Source.Path, recipe.Dockerfile = "", "app", "../Dockerfile"
	recipe.Docker = release.DockerRecipe{Target: "final", Contexts: map[string]string{"tools": "../tool"}, Secrets: map[string]string{"TOKEN": "hunter2"}}
	built, err := image.New(image.Options{Environ: os.Environ(), Log: func(line string) { t.Log(line) }}).Build(t.Context(), image.Docker, recipe, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config, err := imageOf(t, built).ConfigFile()
	if err != nil || config.Config.Labels["of"] != commit.String() || len(config.RootFS.DiffIDs) != 2 {
		t.Errorf("labels %v, %d layers (%v)", config.Config.Labels, len(config.RootFS.DiffIDs), err)
	}
	recipe.Docker.Secrets = map[string]string{"TOKEN": "other"}
	recipe.BuildArgs = map[string]string{"COMMIT": "x"}
	recipe.Docker.Target = "broken"
	if _, err := image.New(image.Options{Environ: os.Environ()}).Build(t.Context(), image.Docker, recipe, t.TempDir()); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("a file that is not there: got %v, want a failed build", err)
	}
	if err := os.WriteFile(filepath.Join(root, "Dockerfile"), []byte("FROM 127.0.0.1:1/nothing:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	recipe.Docker.Target = ""
	if _, err := image.New(image.Options{Environ: os.Environ()}).Build(t.Context(), image.Docker, recipe, t.TempDir()); release.ExitCode(err) != release.ExitFault {
		t.Errorf("a registry that is not there: got %v, want a fault", err)
	}
}
