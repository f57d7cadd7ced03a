package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// GoBuilder compiles a Go main package into an image of the program on a small base, without Docker.
//
// The image depends on the recipe, the Go toolchain and this builder only, not on the directory, the user, the clock or the
// machine's Go settings. A module pins its toolchain with go.mod's toolchain line. The certificate
// authorities, time zones and users below the program are those of package base, unless the recipe names a base.
type GoBuilder struct{ options Options }

// Build writes an image for one platform, or an index for several, into dir as an OCI layout. The errors are those of
// Builders.Build, and *release.InputError if the recipe names no main package.
func (b GoBuilder) Build(ctx context.Context, recipe release.Recipe, dir string) (release.Layout, error) {
	golang, err := b.toolchain(ctx, recipe)
	if err != nil {
		return release.Layout{}, err
	}
	recipe.Toolchain = golang.pin.name
	name, main, err := golang.findMain(ctx, recipe)
	if err != nil {
		return release.Layout{}, err
	}
	scratch := filepath.Join(dir, "compiled")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return release.Layout{}, fmt.Errorf("making %q: %w", scratch, err)
	}
	defer os.RemoveAll(scratch)
	platforms := sortPlatforms(recipe.Platforms)
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
	return writeLayout(dir, recipe, platforms, images)
}

// findMain returns the main package's path and the name of its program.
func (g goCommand) findMain(ctx context.Context, recipe release.Recipe) (name, main string, err error) {
	main, err = packagePath(recipe.Main)
	if err == nil && len(recipe.Platforms) == 0 {
		err = errors.New("no platform to build for")
	}
	if err != nil {
		return "", "", release.BadSetting(settingMain, err.Error(), "name the directory of a Go main package, relative to the context")
	}
	environ, err := goEnviron(recipe.Platforms[0])
	if err != nil {
		return "", "", release.BadSetting(settingPlatforms, err.Error(), "")
	}
	out, stderr, err := g.fetching.withEnviron(nil, environ...).run(ctx, recipe.Context, "list", tagsFlag(recipe), "-f", "{{.Name}} {{.ImportPath}}", "--", main)
	if err != nil {
		return "", "", g.failure(ctx, recipe.Context, err, stderr, fmt.Sprintf("finding Go package %q", main))
	}
	kind, imported, _ := strings.Cut(strings.TrimSpace(out), " ")
	if kind != "main" {
		return "", "", release.BadSetting(settingMain, fmt.Sprintf("%q is package %q, not a main package", main, kind), "name the directory of a Go main package")
	}
	return programName(imported), main, nil
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// programName returns the name that `go build` gives a program: the last part of the import path that is not a major version.
func programName(imported string) string {
	name := path.Base(imported)
	if majorVersion.MatchString(name) && path.Dir(imported) != "." {
		name = path.Base(path.Dir(imported))
	}
	return name
}

// compile compiles the program for one platform. It does not set -mod: without GOFLAGS the go command does not change go.mod, and
// uses a vendor directory if there is one (https://go.dev/ref/mod#build-commands).
func (g goCommand) compile(ctx context.Context, recipe release.Recipe, main string, platform release.Platform, binary string) error {
	environ, err := goEnviron(platform)
	if err != nil {
		return release.BadSetting(settingPlatforms, err.Error(), "")
	}
	g.log(fmt.Sprintf("compiling %s for %s with %s, pinned by %s", main, platform, g.pin.name, g.pin.by))
	_, stderr, err := g.withEnviron(nil, environ...).run(ctx, recipe.Context, "build", "-trimpath", "-buildvcs=false", tagsFlag(recipe),
		"-ldflags="+linkerFlags(recipe),
		"-o", binary, "--", main)
	if err != nil {
		return g.failure(ctx, recipe.Context, err, stderr, fmt.Sprintf("compiling %q for %s", main, platform))
	}
	return nil
}

// linkerFlags strips the program, so that it does not depend on the machine, and sets main.commit, main.built and the recipe's variables. The
// linker ignores variables that the program does not have (go doc cmd/link, -X).
func linkerFlags(recipe release.Recipe) string {
	commit, date := recipe.Source.Revision(), recipe.Source.Created.UTC().Format(time.RFC3339)
	flags := "-s -w -buildid= -X main.commit=" + commit + " -X main.built=" + date
	for _, name := range slices.Sorted(maps.Keys(recipe.Stamps)) {
		value := strings.NewReplacer("{commit}", commit, "{date}", date).Replace(recipe.Stamps[name])
		flags += " -X '" + name + "=" + value + "'" // a value has no single quote; the go command knows no other escape
	}
	return flags
}

// tagsFlag returns the flag for the recipe's build tags; without tags it has no effect.
func tagsFlag(recipe release.Recipe) string { return "-tags=" + joinTags(recipe.Tags) }

// joinTags sorts the tags and drops duplicates, because the program records them.
func joinTags(tags []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(tags))), ",")
}
