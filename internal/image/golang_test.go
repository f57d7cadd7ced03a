package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/image/base"
	"github.com/onedigest/onedigest/internal/release"
)

var commit = release.Commit(strings.Repeat("ab", 20))

// shop is a module with a main package at its top, one below, and one that is no main package. It imports nothing, so that
// it compiles fast for any platform.
var shop = map[string]string{
	"go.mod":             "module example.com/shop/v2\n\ngo 1.24\n",
	"main.go":            "package main\n\nvar commit, built string\n\nfunc main() { println(commit, built) }\n",
	"main_test.go":       "package main_test\n",
	"fast.go":            "//go:build fast\n\npackage main\n\nfunc init() { built += \" fast\" }\n",
	"cmd/worker/main.go": "package main\n\nfunc main() { println(\"worker\") }\n",
	"lib/lib.go":         "package lib\n",
	"broken/main.go":     "package main\n\nfunc main() { undefined() }\n",
	"empty/README":       "nothing\n",
}

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func amd64() []release.Platform { return []release.Platform{{OS: "linux", Architecture: "amd64"}} }

func recipeOf(context string) release.Recipe {
	return release.Recipe{Context: context, Main: ".", Platforms: amd64(), Source: release.Source{
		Commit: commit, Created: time.Date(2026, 3, 4, 3, 6, 7, 0, time.UTC), URL: "https://example.com/owner/shop"}}
}

func build(t *testing.T, recipe release.Recipe, environ ...string) release.Layout {
	t.Helper()
	built, err := image.New(image.Options{Environ: append(os.Environ(), environ...)}).Build(context.Background(), image.Go, recipe, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func entry(t *testing.T, built release.Layout) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(built.Dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries.Manifests) != 1 || entries.Manifests[0].Digest.String() != built.Digest.String() {
		t.Fatalf("layout holds %v, want only %s", entries.Manifests, built.Digest)
	}
	return index, entries.Manifests[0]
}

func imageOf(t *testing.T, built release.Layout) v1.Image {
	t.Helper()
	index, descriptor := entry(t, built)
	img, err := index.Image(descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestGoImageIsWhatTheRecipeSays(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, shop))
	recipe.Labels = map[string]string{"team": "payments", release.AnnotationRevision: "forged", release.AnnotationRecipe: "forged"}
	recipe.Settings = release.RecipeSettings{"builder": "go", "main": "."}
	img := imageOf(t, build(t, recipe))
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	stamps := map[string]string{release.AnnotationRevision: commit.String(), release.AnnotationToolchain: "go1.26.8", release.AnnotationCreated: "2026-03-04T03:06:07Z",
		release.AnnotationRecipe: `{"builder":"go","main":"."}`}
	want := v1.Config{Entrypoint: []string{"/app/shop"}, Env: []string{"PATH=/app"}, User: "65532:65532", WorkingDir: "/", Labels: maps.Clone(stamps)}
	want.Labels["team"] = "payments"
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if !config.Created.Equal(recipe.Source.Created) || config.Architecture != "amd64" || config.OS != "linux" {
		t.Errorf("created %v for %s/%s", config.Created, config.OS, config.Architecture)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stamps, manifest.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if manifest.MediaType != types.OCIManifestSchema1 || manifest.Config.MediaType != types.OCIConfigJSON || manifest.Layers[0].MediaType != types.OCILayer {
		t.Errorf("media types %s, %s, %s", manifest.MediaType, manifest.Config.MediaType, manifest.Layers[0].MediaType)
	}
}

// files are the entries of the program's layer.
func files(t *testing.T, img v1.Image) (headers []tar.Header, program []byte) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[1].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return headers, program
		}
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, *header)
		if program, err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGoImagesShareTheirBase: what services expect is one layer, the same for every program and platform.
func TestGoImagesShareTheirBase(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	if err := base.WriteLayer(&want, base.Account{User: base.User, Group: base.User}); err != nil {
		t.Fatal(err)
	}
	worker := recipeOf(tree(t, shop))
	worker.Main, worker.Platforms[0].Architecture, worker.Source.Created = "cmd/worker", "arm64", time.Unix(1, 0)
	for _, recipe := range []release.Recipe{recipeOf(tree(t, shop)), worker} {
		layers, err := imageOf(t, build(t, recipe)).Layers()
		if err != nil || len(layers) != 2 {
			t.Fatalf("%d layers, %v", len(layers), err)
		}
		content, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(content)
		_ = content.Close()
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("the first layer is not the base layer (%v)", err)
		}
	}
}

// The recipe's user runs the program in the recipe's directory, also on a base with others of its own, and the builder's own base knows the user.
func TestGoImageRunsAsTheRecipesUser(t *testing.T) {
	t.Parallel()
	own, onBase := recipeOf(tree(t, shop)), recipeOf(tree(t, shop))
	onBase.Base, onBase.BaseLayout = someBase(t), baseLayout(t, types.DockerLayer, v1.Config{User: "1000", WorkingDir: "/srv"})
	for _, recipe := range []release.Recipe{own, onBase} {
		recipe.User, recipe.WorkingDir = "4711:100", "/app"
		img := imageOf(t, build(t, recipe))
		config, err := img.ConfigFile()
		if err != nil || config.Config.User != "4711:100" || config.Config.WorkingDir != "/app" {
			t.Errorf("user %q in %q, %v", config.Config.User, config.Config.WorkingDir, err)
		}
	}
	own.User = "4711:100"
	layers, err := imageOf(t, build(t, own)).Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	all, err := io.ReadAll(content)
	if err != nil || !bytes.Contains(all, []byte("\napp:x:4711:100:")) || !bytes.Contains(all, []byte("\napp:x:100:")) {
		t.Errorf("the base has no entry for the user (%v)", err)
	}
}

// The recipe's variables are set in the program, with the commit and its date, whatever characters they have.
func TestGoProgramHasTheRecipesVariables(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for linux/amd64")
	}
	recipe := recipeOf(tree(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n", "v/v.go": "package v\n\nvar Version, Text = \"dev\", \"\"\n",
		"main.go": "package main\n\nimport \"example.com/shop/v\"\n\nfunc main() { println(v.Version, v.Text) }\n"}))
	recipe.Stamps = map[string]string{"example.com/shop/v.Version": "{commit} of {date}", "example.com/shop/v.Text": `$(id) "x" -extld=/bin/false`, "main.absent": "x"}
	_, program := files(t, imageOf(t, build(t, recipe)))
	path := filepath.Join(t.TempDir(), "shop")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command(path).CombinedOutput()
	if want := commit.String() + ` of 2026-03-04T03:06:07Z $(id) "x" -extld=/bin/false` + "\n"; string(got) != want || err != nil {
		t.Errorf("the program printed %q (%v), want %q", got, err, want)
	}
}

func TestGoLayerHoldsTheProgramAlone(t *testing.T) {
	t.Parallel()
	dir := tree(t, shop)
	headers, program := files(t, imageOf(t, build(t, recipeOf(dir))))
	var names []string
	for _, header := range headers {
		names = append(names, header.Name)
		if header.Mode != 0o755 || header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.ModTime.Unix() != recipeOf(dir).Source.Created.Unix() {
			t.Errorf("%s: mode %o, owner %d:%d %q, time %s", header.Name, header.Mode, header.Uid, header.Gid, header.Uname, header.ModTime)
		}
	}
	if want := []string{"app/", "app/shop"}; !slices.Equal(names, want) {
		t.Errorf("layer holds %v, want %v", names, want)
	}
	for _, leak := range []string{dir, os.TempDir() + "/", "vcs.revision"} {
		if strings.Contains(string(program), leak) {
			t.Errorf("the program holds %q", leak)
		}
	}
	if runtime.GOARCH != "amd64" {
		return
	}
	path := filepath.Join(t.TempDir(), "shop")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path).CombinedOutput()
	if want := commit.String() + " 2026-03-04T03:06:07Z\n"; string(out) != want || err != nil {
		t.Errorf("the program prints %q (%v), want %q", out, err, want)
	}
}

func TestGoImageIsReproducible(t *testing.T) {
	t.Parallel()
	want := build(t, recipeOf(tree(t, shop))).Digest
	home := tree(t, map[string]string{"go/env": "GOFLAGS=-ldflags=-X=main.built=forged\nGOAMD64=v3\nCGO_ENABLED=1\nGOEXPERIMENT=nodwarf5\n"})
	tests := map[string]struct {
		change  func(*release.Recipe)
		environ []string
		same    bool
	}{
		"another user's go env -w": {func(*release.Recipe) {}, []string{"GOENV=", "XDG_CONFIG_HOME=" + home}, true},
		"a fork's remote":          {func(r *release.Recipe) { r.Source.URL = "https://example.com/fork/shop" }, nil, true},
		"another directory":        {func(*release.Recipe) {}, nil, true},
		"another environment": {func(*release.Recipe) {}, []string{"GOFLAGS=-tags=other -ldflags=-X=main.commit=forged", "GOARCH=arm64", "GOAMD64=v3", "CGO_ENABLED=1",
			"GOEXPERIMENT=rangefunc", "GODEBUG=http2client=0", "TZ=Asia/Tokyo", "GOENV=/nonexistent", "PWD=/"}, true},
		"another spelling of main": {func(r *release.Recipe) { r.Main = "./cmd/.." }, nil, true},
		"another zone":             {func(r *release.Recipe) { r.Source.Created = r.Source.Created.In(time.FixedZone("", 3600)) }, nil, true},
		"another main package":     {func(r *release.Recipe) { r.Main = "cmd/worker" }, nil, false},
		"another commit":           {func(r *release.Recipe) { r.Source.Commit = release.Commit(strings.Repeat("cd", 20)) }, nil, false},
		"another time":             {func(r *release.Recipe) { r.Source.Created = r.Source.Created.Add(time.Second) }, nil, false},
		"a dirty tree":             {func(r *release.Recipe) { r.Source.Changed = []string{"main.go"} }, nil, false},
		"a build tag":              {func(r *release.Recipe) { r.Tags = []string{"fast"} }, nil, false},
		"another label":            {func(r *release.Recipe) { r.Labels = map[string]string{"a": "b"} }, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recipe := recipeOf(tree(t, shop))
			test.change(&recipe)
			if got := build(t, recipe, test.environ...).Digest; (got == want) != test.same {
				t.Errorf("built %s and %s, want the same: %v", want, got, test.same)
			}
		})
	}
}

// forked is a workspace whose module a needs the workspace's own example.com/text, which no proxy has.
var forked = map[string]string{
	"go.work":      "go 1.24\n\nuse (\n\t./a\n\t./text\n)\n",
	"a/go.mod":     "module example.com/a\n\ngo 1.24\n\nrequire example.com/text v0.21.0\n",
	"a/main.go":    "package main\n\nimport \"example.com/text\"\n\nfunc main() { println(text.Name) }\n",
	"text/go.mod":  "module example.com/text\n\ngo 1.24\n",
	"text/text.go": "package text\n\nconst Name = \"fork\"\n",
}

// TestGoWorkAboveTheContext: the commit's go.work above the context decides which modules are compiled, as it does for `go build` there.
func TestGoWorkAboveTheContext(t *testing.T) {
	t.Parallel()
	root := tree(t, forked)
	recipe := recipeOf(filepath.Join(root, "a"))
	recipe.Source.Path, recipe.Source.GoWork = "a", "go.work"
	built := build(t, recipe, "GOPROXY=off", "GOFLAGS=-mod=mod")
	whole := recipeOf(root)
	whole.Main = "./a"
	if of := build(t, whole, "GOPROXY=off"); of.Digest != built.Digest {
		t.Errorf("built %s with the context below go.work, %s with that of go.work", built.Digest, of.Digest)
	}
	changed := recipe
	fork := maps.Clone(forked)
	fork["text/text.go"] = "package text\n\nconst Name = \"another\"\n"
	changed.Context = filepath.Join(tree(t, fork), "a")
	if of := build(t, changed, "GOPROXY=off"); of.Digest == built.Digest {
		t.Error("another fork makes the same image")
	}
	settings, err := image.New(image.Options{}).Settings(image.Go, recipe)
	if err != nil || settings["workspace"] != "go.work" {
		t.Errorf("got settings %v, %v", settings, err)
	}
	fork["text/text.go"] = "package text\n"
	changed.Context = filepath.Join(tree(t, fork), "a")
	_, err = image.New(image.Options{Environ: append(os.Environ(), "GOPROXY=off")}).Build(t.Context(), image.Go, changed, t.TempDir())
	if failure := new(release.Failure); !errors.As(err, &failure) || !strings.Contains(failure.Do, "GOWORK=off") {
		t.Errorf("a workspace that does not compile: %v", err)
	}
	if err := os.Remove(filepath.Join(root, "go.work")); err != nil {
		t.Fatal(err)
	}
	_, err = image.New(image.Options{Environ: os.Environ()}).Build(t.Context(), image.Go, recipe, t.TempDir())
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "go.work\", and the work tree does not") {
		t.Errorf("without the work tree's go.work: %v", err)
	}
}

// TestGoWorkOffAboveTheContext: GOWORK=off leaves the commit's go.work above the context out, with the fork that it takes in place of a module, and the recipe does
// not name it.
func TestGoWorkOffAboveTheContext(t *testing.T) {
	t.Parallel()
	nested := map[string]string{"go.work": "go 1.24\n\nuse ./app\n"}
	for path, content := range shop {
		nested["app/"+path] = content
	}
	root := tree(t, nested)
	recipe := recipeOf(filepath.Join(root, "app"))
	recipe.Source.Path, recipe.Source.GoWork = "app", "go.work"
	if err := os.WriteFile(filepath.Join(root, "go.work"), []byte("go 1.24\n\nuse (\n\t./app\n\t./gone\n)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := build(t, recipe, "GOWORK=off").Digest, build(t, recipeOf(tree(t, shop))).Digest; got != want {
		t.Errorf("built %s, want %s as without go.work", got, want)
	}
	var warned []string
	builders := image.New(image.Options{Environ: append(os.Environ(), "GOWORK=off"), Warn: func(line string) { warned = append(warned, line) }})
	if settings, err := builders.Settings(image.Go, recipe); err != nil || settings["workspace"] != "" {
		t.Errorf("got settings %v, %v", settings, err)
	}
	inputs, err := builders.Inputs(t.Context(), image.Go, recipe)
	if err != nil || slices.Contains(inputs.Files, filepath.Join(root, "go.work")) || len(taken(root, inputs, "go.work")) > 0 {
		t.Errorf("go.work is an input: %v", err)
	}
	if got := strings.Join(warned, "\n"); !strings.Contains(got, "go.work\" is not used, because the environment has GOWORK=off") {
		t.Errorf("warned %q", got)
	}
}

// A go.work above the context that the commit does not have, or that does not use the module, is not part of the recipe.
func TestGoWorkAboveTheContextDoesNotCount(t *testing.T) {
	t.Parallel()
	nested := map[string]string{"go.work": "go 1.24\n\nuse ./nowhere\n"}
	for path, content := range shop {
		nested["app/"+path] = content
	}
	want := build(t, recipeOf(tree(t, shop))).Digest
	recipe := recipeOf(filepath.Join(tree(t, nested), "app"))
	recipe.Source.Path = "app"
	for _, committed := range []string{"", "go.work"} {
		recipe.Source.GoWork = committed
		if got := build(t, recipe).Digest; got != want {
			t.Errorf("go.work %q of the commit: built %s below it, %s without", committed, got, want)
		}
	}
}

func TestGoBuildUsesVendoredModules(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, map[string]string{
		"go.mod":                        "module example.com/shop\n\ngo 1.24\n\nrequire example.com/dep v1.0.0\n",
		"main.go":                       "package main\n\nimport \"example.com/dep\"\n\nfunc main() { dep.Do() }\n",
		"vendor/modules.txt":            "# example.com/dep v1.0.0\n## explicit; go 1.24\nexample.com/dep\n",
		"vendor/example.com/dep/dep.go": "package dep\n\nfunc Do() {}\n",
	}))
	build(t, recipe, "GOPROXY=off")
}

func TestGoIndexOfSeveralPlatforms(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, shop))
	recipe.Main = "cmd/worker"
	recipe.Platforms = []release.Platform{{OS: "linux", Architecture: "arm", Variant: "v7"}, {OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "amd64"}}
	built := build(t, recipe)
	root, descriptor := entry(t, built)
	index, err := root.ImageIndex(descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, child := range manifest.Manifests {
		platforms = append(platforms, child.Platform.String())
		img, err := index.Image(child.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil || config.Platform().String() != child.Platform.String() || config.Config.Entrypoint[0] != "/app/worker" {
			t.Errorf("%s: config for %s runs %v (%v)", child.Platform, config.Platform(), config.Config.Entrypoint, err)
		}
		below, err := img.Manifest()
		if err != nil || below.Annotations[release.AnnotationRevision] != commit.String() {
			t.Errorf("%s: annotations %v (%v)", child.Platform, below.Annotations, err)
		}
	}
	if want := []string{"linux/amd64", "linux/arm/v7"}; !slices.Equal(platforms, want) {
		t.Errorf("platforms %v, want %v", platforms, want)
	}
	if manifest.MediaType != types.OCIImageIndex || manifest.Annotations[release.AnnotationRevision] != commit.String() {
		t.Errorf("index %s with annotations %v", manifest.MediaType, manifest.Annotations)
	}
	slices.Reverse(recipe.Platforms)
	if again := build(t, recipe); again.Digest != built.Digest {
		t.Errorf("platforms in another order make %s, not %s", again.Digest, built.Digest)
	}
}

func TestGoBuildFails(t *testing.T) {
	t.Parallel()
	dir := tree(t, shop)
	bare := tree(t, map[string]string{"main.go": "package main\n\nfunc main() {}\n"})
	missing := tree(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n", "main.go": "package main\n\nimport _ \"example.com/elsewhere\"\n\nfunc main() {}\n"})
	source := func(rest string) string {
		return tree(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n", "main.go": "package main\n\n" + rest})
	}
	const elsewhere = "module example.com/shop\n\ngo 1.24\n\nrequire example.com/elsewhere v1.0.0\n"
	const sum = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	required := tree(t, map[string]string{"go.mod": elsewhere, "go.sum": "example.com/elsewhere v1.0.0 " + sum + "\nexample.com/elsewhere v1.0.0/go.mod " + sum + "\n", "main.go": "package main\n\nimport _ \"example.com/elsewhere\"\n\nfunc main() {}\n"})
	replaced := tree(t, map[string]string{"go.mod": elsewhere + "\nreplace example.com/elsewhere => ./third/sub\n", "main.go": "package main\n\nimport _ \"example.com/elsewhere\"\n\nfunc main() {}\n"})
	tests := map[string]struct {
		change  func(*release.Recipe)
		environ []string
		code    int
		want    string
	}{
		"does not compile":   {func(r *release.Recipe) { r.Main = "broken" }, nil, release.ExitFailed, "broken/main.go:3:15: undefined: undefined"},
		"a missing module":   {func(r *release.Recipe) { r.Context = missing }, nil, release.ExitFailed, "example.com/elsewhere"},
		"no last brace":      {func(r *release.Recipe) { r.Context = source("func main() {\n") }, nil, release.ExitFailed, "unexpected EOF, expected }"},
		"quotes the network": {func(r *release.Recipe) { r.Context = source("var s int = \"https://x: dial tcp\"\n\nfunc main() {}\n") }, nil, release.ExitFailed, "dial tcp"},
		"quotes the command": {func(r *release.Recipe) { r.Context = source("var s int = \"directory not found\"\n\nfunc main() {}\n") }, nil, release.ExitFailed, "directory not found"},
		"embeds a pattern": {func(r *release.Recipe) {
			r.Context = source("import _ \"embed\"\n\n//go:embed 502 X\nvar s string\n\nfunc main() {}\n")
		}, nil, release.ExitFailed, "no matching files found"},
		"no proxy":           {func(r *release.Recipe) { r.Context = required }, []string{"GOPROXY=http://127.0.0.1:1", "GOMODCACHE=" + t.TempDir()}, release.ExitFault, "check that the module proxy can be reached"},
		"no submodule":       {func(r *release.Recipe) { r.Context = replaced }, nil, release.ExitFailed, "git submodule update --init"},
		"no main package":    {func(r *release.Recipe) { r.Main = "lib" }, nil, release.ExitInput, "not a main package"},
		"no package":         {func(r *release.Recipe) { r.Main = "empty" }, nil, release.ExitInput, "no Go files"},
		"no directory":       {func(r *release.Recipe) { r.Main = "absent" }, nil, release.ExitInput, "directory not found"},
		"out of the context": {func(r *release.Recipe) { r.Main = "../x" }, nil, release.ExitInput, "not one directory"},
		"several":            {func(r *release.Recipe) { r.Main = "./..." }, nil, release.ExitInput, "not one directory"},
		"a flag":             {func(r *release.Recipe) { r.Main = "-toolexec=id" }, nil, release.ExitInput, "-toolexec=id"},
		"no module":          {func(r *release.Recipe) { r.Context = bare }, nil, release.ExitInput, "go.mod"},
		"no such platform":   {func(r *release.Recipe) { r.Platforms[0].Architecture = "vax" }, nil, release.ExitInput, "linux/vax"},
		"no such variant":    {func(r *release.Recipe) { r.Platforms[0].Variant = "v9" }, nil, release.ExitInput, `variant "v9"`},
		"another system":     {func(r *release.Recipe) { r.Platforms[0].OS = "windows" }, nil, release.ExitInput, "linux"},
		"no go":              {func(*release.Recipe) {}, []string{"PATH=/nonexistent"}, release.ExitFault, "install Go"},
		"no go but here":     {func(*release.Recipe) {}, []string{"PATH=.:"}, release.ExitFault, "install Go"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recipe := recipeOf(dir)
			test.change(&recipe)
			out := t.TempDir()
			_, err := image.New(image.Options{Environ: append(os.Environ(), test.environ...)}).Build(context.Background(), image.Go, recipe, out)
			if err == nil || release.ExitCode(err) != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got exit %d, %v; want exit %d, %q", release.ExitCode(err), err, test.code, test.want)
			}
			if left, _ := os.ReadDir(out); len(left) > 0 {
				t.Errorf("left %v behind", left)
			}
		})
	}
}

func TestGoBuildEndsWhenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	builders := image.New(image.Options{Environ: os.Environ(), Log: func(line string) {
		if strings.HasPrefix(line, "compiling") {
			cancel()
		}
	}})
	defer cancel()
	if _, err := builders.Build(ctx, image.Go, recipeOf(tree(t, shop)), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
