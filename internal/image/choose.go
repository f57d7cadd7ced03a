package image

import (
	"errors"
	"fmt"
	"go/build"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	settingBuilder    = "builder"
	settingMain       = "main"
	settingDockerfile = "dockerfile"
	settingPlatforms  = "platforms"
	settingBase       = "base"
	settingBuildArgs  = "build-args"
	settingTags       = "tags"
	settingFiles      = "files"
	settingUser       = "user"
	settingWorkingDir = "working-dir"
	settingLDFlags    = "ldflags"
	settingTarget     = "target"
	settingContexts   = "build-contexts"
	settingCacheFrom  = "cache-from"
	settingCacheTo    = "cache-to"
)

// Choose turns "auto" into the name of a builder. It refuses, before anything runs, a recipe that the builder cannot build. It
// reads files only.
//
// For "auto", the recipe's settings decide: go for a main package other than the context itself, docker for a Dockerfile. Without
// such a setting, the files in the context decide: a Go main package of a module, or a Dockerfile. If both are possible, the
// recipe is refused, because they make different images. Whether Docker is installed does not matter: the same commit must become
// the same image on every machine.
//
// Its errors are *release.InputError.
func (b *Builders) Choose(builder string, recipe release.Recipe) (string, error) {
	switch builder {
	case Go:
		return Go, checkGoRecipe(recipe)
	case Docker:
		return Docker, b.checkDockerRecipe(recipe)
	case "auto":
		return b.chooseByFiles(recipe)
	}
	return "", release.BadSetting(settingBuilder, fmt.Sprintf("%q is not a builder", builder), "give auto, go or docker")
}

// chooseByFiles chooses the builder for "auto".
func (b *Builders) chooseByFiles(recipe release.Recipe) (string, error) {
	named := namesMain(recipe)
	switch {
	case named && recipe.Dockerfile != "":
		return "", ambiguous(fmt.Sprintf("the Go main package %q and the Dockerfile %q are both named", recipe.Main, recipe.Dockerfile))
	case named:
		return Go, checkGoRecipe(recipe)
	case recipe.Dockerfile != "":
		return Docker, b.checkDockerRecipe(recipe)
	}
	notGo := checkMainPackage(recipe)
	if notGo == nil && moduleFile(recipe.Context) == "" {
		notGo = errors.New("no go.mod is in it or above it")
	}
	dockerfiles := standardDockerfiles(recipe.Context)
	switch {
	case notGo == nil && len(dockerfiles) > 0:
		return "", ambiguous(fmt.Sprintf("the context holds a Go main package and a %s", strings.Join(dockerfiles, " and a ")))
	case notGo == nil:
		return Go, checkGoRecipe(recipe)
	case len(dockerfiles) > 0:
		return Docker, b.checkDockerRecipe(recipe)
	}
	return "", nothingToBuild(recipe, notGo)
}

// namesMain reports whether the recipe's main package is not the default, the context itself.
func namesMain(recipe release.Recipe) bool {
	return recipe.Main != "" && path.Clean(recipe.Main) != "."
}

func ambiguous(what string) error {
	return release.BadSetting(settingBuilder, what+", and they make different images",
		"give --builder go for the Go program or --builder docker for the Dockerfile")
}

// nothingToBuild returns the error for a context without a Go program or Dockerfile. It lists those in subdirectories, which --main or --dockerfile can
// name.
func nothingToBuild(recipe release.Recipe, notGo error) error {
	what := fmt.Sprintf("nothing to build in %q: %v, and there is no Dockerfile", recipe.Context, notGo)
	var found []string
	for _, pattern := range []string{"cmd/*", "*.Dockerfile", "Dockerfile.*", "*/Dockerfile"} {
		matches, _ := filepath.Glob(filepath.Join(recipe.Context, pattern)) // the patterns are well-formed
		for _, match := range matches {
			below, err := filepath.Rel(recipe.Context, match)
			candidate := recipe
			candidate.Main = below
			if err == nil && (pattern != "cmd/*" || checkMainPackage(candidate) == nil) {
				found = append(found, fmt.Sprintf("%q", below))
			}
		}
	}
	if len(found) > 0 {
		what += "; there are " + strings.Join(found[:min(len(found), maxFound)], ", ")
	}
	return release.BadSetting(settingBuilder, what, "name the Go main package with --main or a Dockerfile with --dockerfile")
}

// maxFound is how many main packages and Dockerfiles a message lists.
const maxFound = 10

// checkGoRecipe refuses settings that the Go builder does not support.
func checkGoRecipe(recipe release.Recipe) error {
	var problems []release.Problem
	if err := checkMainPackage(recipe); err != nil {
		problems = append(problems, release.Problem{Setting: settingMain, What: err.Error(), Do: "name the directory of a Go main package, relative to the context"})
	}
	if recipe.Dockerfile != "" {
		problems = append(problems, release.Problem{Setting: settingDockerfile, What: "the go builder does not use a Dockerfile", Do: "omit it, or give --builder docker"})
	}
	if len(recipe.BuildArgs) > 0 {
		problems = append(problems, release.Problem{Setting: settingBuildArgs, What: "the go builder takes no build arguments", Do: "omit them, or give --builder docker"})
	}
	if !reflect.DeepEqual(recipe.Docker, release.DockerRecipe{}) {
		problems = append(problems, release.Problem{Setting: settingBuilder,
			What: "the go builder takes no target, build-contexts, secrets, secret-files, ssh, cache-from or cache-to", Do: "omit them, or give --builder docker"})
	}
	for _, platform := range recipe.Platforms {
		if _, err := goEnviron(platform); err != nil {
			problems = append(problems, release.Problem{Setting: settingPlatforms, What: err.Error()})
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// checkDockerRecipe refuses settings that the Docker builder does not support.
func (b *Builders) checkDockerRecipe(recipe release.Recipe) error {
	var problems []release.Problem
	if _, err := findDockerfile(recipe); err != nil {
		problems = append(problems, release.Problem{Setting: settingDockerfile, What: err.Error(), Do: doDockerfile})
	}
	problems = append(problems, checkContexts(recipe)...)
	problems = append(problems, checkCaches(recipe, b.docker.options.Environ)...)
	if !recipe.Base.IsZero() {
		problems = append(problems, release.Problem{Setting: settingBase, What: "the Dockerfile names the base of what the docker builder builds", Do: "omit it, or give --builder go"})
	}
	if namesMain(recipe) {
		problems = append(problems, release.Problem{Setting: settingMain, What: "the docker builder builds what the Dockerfile says, not a Go main package", Do: "omit it, or give --builder go"})
	}
	if len(recipe.Stamps) > 0 {
		problems = append(problems, release.Problem{Setting: settingLDFlags, What: "the docker builder takes no linker flags", Do: "omit them and give build-args, or give --builder go"})
	}
	if recipe.User != "" {
		problems = append(problems, release.Problem{Setting: settingUser, What: "the Dockerfile names the user of what the docker builder builds (USER)", Do: "omit it, or give --builder go"})
	}
	if recipe.WorkingDir != "" {
		problems = append(problems, release.Problem{Setting: settingWorkingDir, What: "the Dockerfile names the working directory of what the docker builder builds (WORKDIR)", Do: "omit it, or give --builder go"})
	}
	if len(recipe.Tags) > 0 {
		problems = append(problems, release.Problem{Setting: settingTags, What: "the docker builder takes no build tags", Do: "omit them, or give --builder go"})
	}
	if len(recipe.Files) > 0 {
		problems = append(problems, release.Problem{Setting: settingFiles, What: "the docker builder copies what the Dockerfile says", Do: "omit them, or give --builder go"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// checkMainPackage checks, without running a program, that the recipe's main is a Go main package on its first platform.
func checkMainPackage(recipe release.Recipe) error {
	main, err := packagePath(recipe.Main)
	if err != nil {
		return err
	}
	platform := build.Default
	platform.GOOS, platform.CgoEnabled, platform.BuildTags = "linux", false, recipe.Tags
	if len(recipe.Platforms) > 0 {
		platform.GOARCH = recipe.Platforms[0].Architecture
	}
	found, err := platform.ImportDir(filepath.Join(recipe.Context, main), 0)
	var none *build.NoGoError
	switch {
	case errors.As(err, &none), err == nil && len(found.GoFiles) == 0:
		return leftOut(platform, filepath.Join(recipe.Context, main), main, found)
	case err != nil && found.Name == "":
		return fmt.Errorf("%q holds no Go package: %w", main, err)
	case found.Name != "main":
		return fmt.Errorf("%q holds package %q, not a main package", main, found.Name)
	}
	return nil // the compiler reports everything else better
}

// leftOut says why no file of a directory is compiled: none is there, all of them use cgo, or their names or build constraints are of other platforms.
func leftOut(platform build.Context, dir, main string, found *build.Package) error {
	if len(found.IgnoredGoFiles) == 0 {
		return fmt.Errorf("%q holds no Go package in this work tree, from which a sparse checkout may leave it out", main)
	}
	names := strings.Join(found.IgnoredGoFiles[:min(len(found.IgnoredGoFiles), maxFound)], ", ")
	platform.CgoEnabled = true
	if with, err := platform.ImportDir(dir, 0); err == nil && len(with.CgoFiles) > 0 {
		return fmt.Errorf("%q holds no Go package without cgo, which the Go builder disables (%s): --builder docker can build it", main, names)
	}
	return fmt.Errorf("%q holds no Go package for %s/%s: names, build constraints or missing tags leave out %s", main, platform.GOOS, platform.GOARCH, names)
}

// packagePath converts the recipe's main to a path such as ./cmd/shop, which the go command cannot mistake for a flag, an import path or a pattern.
func packagePath(main string) (string, error) {
	clean := path.Clean("./" + main)
	if strings.HasPrefix(main, "/") || clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains(clean, "...") {
		return "", fmt.Errorf("%q is not one directory inside the context", main)
	}
	if clean == "." {
		return clean, nil
	}
	return "./" + clean, nil
}

// dockerfileNames are the names that docker buildx and podman look for when no file is named.
var dockerfileNames = []string{"Dockerfile", "dockerfile", "Containerfile"}

// standardDockerfiles returns those of dockerfileNames that exist in the context. Two names of the same file count once.
func standardDockerfiles(context string) (names []string) {
	var seen []os.FileInfo
	for _, name := range dockerfileNames {
		info, err := os.Stat(filepath.Join(context, name))
		if err != nil || !info.Mode().IsRegular() || slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			continue
		}
		seen = append(seen, info)
		names = append(names, name)
	}
	return names
}

// doDockerfile is the advice for a Dockerfile that cannot be used.
const doDockerfile = "name a Dockerfile inside the work tree, relative to the context"

// findDockerfile returns the recipe's Dockerfile, or the only one in the context. It must be inside the work tree after symbolic
// links are resolved.
func findDockerfile(recipe release.Recipe) (string, error) {
	file := recipe.Dockerfile
	if file == "" {
		names := standardDockerfiles(recipe.Context)
		if len(names) > 1 {
			return "", fmt.Errorf("the context %q holds %s, which are different files", recipe.Context, strings.Join(names, " and "))
		}
		file = append(names, "Dockerfile")[0]
	}
	found, err := insideTop(recipe, file)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(found); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%q is not a file", file)
	}
	return found, nil
}
