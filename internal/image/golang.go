package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/onedigest/onedigest/internal/release"
)

// GoBuilder compiles a Go main package and puts the program, alone, into an image: no base image, no Docker.
//
// The image is a function of the recipe, the Go toolchain and this program: the directory, the user, the clock and the
// machine's Go settings do not reach it. A module pins its toolchain with go.mod's toolchain line. There are no CA
// certificates and no time zones in the image, for the build machine's would make it differ from machine to machine: a
// program that needs them imports golang.org/x/crypto/x509roots/fallback and time/tzdata.
type GoBuilder struct{ options Options }

// Build leaves an image for one platform, or an index for several, as an OCI layout in dir. The errors are those of
// Builders.Build, and *release.InputError if the recipe names no main package.
func (b GoBuilder) Build(ctx context.Context, recipe release.Recipe, dir string) (release.Layout, error) {
	golang, err := b.toolchain(ctx, recipe)
	if err != nil {
		return release.Layout{}, err
	}
	name, main, err := golang.identify(ctx, recipe)
	if err != nil {
		return release.Layout{}, err
	}
	scratch := filepath.Join(dir, "compiled")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return release.Layout{}, fmt.Errorf("making %q: %w", scratch, err)
	}
	defer os.RemoveAll(scratch)
	platforms := inOrder(recipe.Platforms)
	images := make([]v1.Image, len(platforms))
	for i, platform := range platforms {
		binary := filepath.Join(scratch, fmt.Sprint(i))
		if err := golang.compile(ctx, recipe, main, platform, binary); err != nil {
			return release.Layout{}, err
		}
		if images[i], err = pack(recipe, platform, name, binary); err != nil {
			return release.Layout{}, fmt.Errorf("packing %q for %q: %w", name, platform, err)
		}
	}
	return write(dir, recipe, platforms, images)
}

// golang is the go command, set up for one recipe.
type golang struct{ program }

// decisive are the variables by which a user changes what the compiler makes (go help environment).
var decisive = []string{"GOFLAGS", "GOEXPERIMENT", "GOOS", "GOARCH", "GOAMD64", "GOARM", "GOARM64", "GO386", "GOMIPS", "GOMIPS64", "GOPPC64",
	"GORISCV64", "GOWASM", "GOFIPS140", "GODEBUG", "GO111MODULE", "GOWORK", "GOENV", "CGO_ENABLED", "GO_EXTLINK_ENABLED", "GOROOT_FINAL", "GOBIN"}

// portable are the user's settings that say where modules come from and where they are kept, which the image does not
// depend on: the go.sum file sees to that.
var portable = []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOAUTH", "GOVCS", "GOPATH", "GOMODCACHE",
	"GOCACHE", "GOTMPDIR", "GOTOOLCHAIN"}

// toolchain finds the go command and frees it of the user's settings, those in the file of `go env -w` too, but for the
// portable ones.
func (b GoBuilder) toolchain(ctx context.Context, recipe release.Recipe) (golang, error) {
	program, err := find("go", b.options)
	if err != nil {
		return golang{}, release.NewFault("builder", "install Go (https://go.dev/dl), or give --builder docker", err, "looking for %q", "go")
	}
	plain := program.with(slices.DeleteFunc(slices.Clone(decisive), func(name string) bool { return name == "GOENV" }))
	out, stderr, err := plain.run(ctx, recipe.Context, append([]string{"env", "-json"}, portable...)...)
	settings := map[string]string{}
	if err == nil {
		err = json.Unmarshal([]byte(out), &settings)
	}
	if err != nil {
		return golang{}, said(ctx, err, stderr, "asking %q for its settings", "go env")
	}
	workspace := "off" // a go.work above the context is no part of the recipe
	if _, err := os.Stat(filepath.Join(recipe.Context, "go.work")); err == nil {
		workspace = filepath.Join(recipe.Context, "go.work")
	}
	fixed := []string{"GOENV=off", "GOWORK=" + workspace, "CGO_ENABLED=0", "PWD=" + recipe.Context}
	for name, value := range settings {
		fixed = append(fixed, name+"="+value)
	}
	program = program.with(append(slices.Clone(decisive), "PWD"), fixed...)
	program.log = progress(program.log)
	return golang{program}, nil
}

// progress tells what the go command does ("go: downloading …"). What the compiler says comes in the error.
func progress(tell func(string)) func(string) {
	return func(line string) {
		if strings.HasPrefix(line, "go: ") || strings.HasPrefix(line, "compiling ") {
			tell(line)
		}
	}
}

// identify asks for the main package and the name of its program.
func (g golang) identify(ctx context.Context, recipe release.Recipe) (name, main string, err error) {
	main, err = pattern(recipe.Main)
	if err == nil && len(recipe.Platforms) == 0 {
		err = errors.New("no platform to build for")
	}
	if err != nil {
		return "", "", release.BadInput(whereMain, err.Error(), "name the directory of a Go main package, relative to the context")
	}
	environ, err := target(recipe.Platforms[0])
	if err != nil {
		return "", "", release.BadInput(wherePlatforms, err.Error(), "")
	}
	out, stderr, err := g.with(nil, environ...).run(ctx, recipe.Context, "list", "-f", "{{.Name}} {{.ImportPath}}", "--", main)
	if err != nil {
		return "", "", g.judge(ctx, err, stderr, fmt.Sprintf("finding Go package %q", main))
	}
	kind, imported, _ := strings.Cut(strings.TrimSpace(out), " ")
	if kind != "main" {
		return "", "", release.BadInput(whereMain, fmt.Sprintf("%q is package %q, not a main package", main, kind), "name the directory of a Go main package")
	}
	return programName(imported), main, nil
}

var majorPattern = regexp.MustCompile(`^v[0-9]+$`)

// programName is the last part of the import path that is not a major version, as `go build` names programs.
func programName(imported string) string {
	name := path.Base(imported)
	if majorPattern.MatchString(name) && path.Dir(imported) != "." {
		name = path.Base(path.Dir(imported))
	}
	return name
}

// compile leaves the mode of -mod to the go command: without GOFLAGS it reads go.mod only, and takes a vendor directory if
// there is one (https://go.dev/ref/mod#build-commands).
func (g golang) compile(ctx context.Context, recipe release.Recipe, main string, platform release.Platform, binary string) error {
	environ, err := target(platform)
	if err != nil {
		return release.BadInput(wherePlatforms, err.Error(), "")
	}
	g.log(fmt.Sprintf("compiling %s for %s", main, platform))
	_, stderr, err := g.with(nil, environ...).run(ctx, recipe.Context, "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid= -X main.commit="+recipe.Source.Revision()+" -X main.built="+recipe.Source.Created.UTC().Format(time.RFC3339),
		"-o", binary, "--", main)
	if err != nil {
		return g.judge(ctx, err, stderr, fmt.Sprintf("compiling %q for %s", main, platform))
	}
	return nil
}

// unreachable are the words of Go's network errors. A module that cannot be fetched is not a fault of the source.
var unreachable = regexp.MustCompile(`dial tcp|no such host|connection re(?:fused|set)|i/o timeout|TLS handshake|network is unreachable|\b50[0-9] [A-Z]|unexpected EOF`)

// judge tells a world out of order from bad input from source that does not compile.
func (g golang) judge(ctx context.Context, err error, stderr, what string) error {
	switch {
	case ctx.Err() != nil || stderr == "":
		return said(ctx, err, stderr, "%s", what)
	case strings.Contains(stderr, "unsupported GOOS/GOARCH pair"):
		return release.BadInput(wherePlatforms, stderr, "`go tool dist list` names the platforms")
	case strings.Contains(stderr, "go.mod file not found"), strings.Contains(stderr, "directory not found"), strings.Contains(stderr, "no Go files in"):
		return release.BadInput(whereMain, firstLine(stderr), "name the directory of a Go main package of a module, relative to the context")
	case unreachable.MatchString(stderr):
		return &release.Fault{Side: "builder", Err: fmt.Errorf("%s: %w", what, errors.New(stderr)), Do: "see whether the module proxy can be reached"}
	}
	do := ""
	if strings.Contains(stderr, "go.sum") || strings.Contains(stderr, "updates to go.mod needed") {
		do = "run go mod tidy and commit go.mod and go.sum"
	}
	return &release.Failure{What: what + " failed", Err: errors.New(firstLines(stderr, maxErrors)), Do: do}
}

// said is a fault of the builder in its own words, or the end of the context.
func said(ctx context.Context, err error, stderr, format string, subjects ...any) error {
	if ctx.Err() == nil && stderr != "" {
		err = errors.New(stderr)
	}
	return release.NewFault("builder", "", err, format, subjects...)
}

// maxErrors is how many lines of the compiler are shown; it gives up after ten errors in a package itself.
const maxErrors = 30

func firstLines(text string, most int) string {
	lines := strings.Split(text, "\n")
	if left := len(lines) - most; left > 0 {
		lines = append(lines[:most], fmt.Sprintf("… and %d lines more", left))
	}
	return strings.Join(lines, "\n")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
