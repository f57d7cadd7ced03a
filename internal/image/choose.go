package image

import (
	"errors"
	"fmt"
	"go/build"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	settingBuilder    = "builder"
	settingMain       = "main"
	settingDockerfile = "dockerfile"
	settingPlatforms  = "platforms"
	settingBuildArgs  = "build-args"
)

// Choose turns "auto" into the name of a builder, and refuses a recipe that the builder cannot follow before anything runs.
// It reads files only: docker if the recipe names a Dockerfile; else go if its main package is one; else docker if the
// context has a Dockerfile. Whether Docker is installed does not count, because a commit would become different images on
// different machines.
//
// Its errors are *release.InputError.
func (b *Builders) Choose(builder string, recipe release.Recipe) (string, error) {
	switch builder {
	case Go:
		return Go, checkGoRecipe(recipe)
	case Docker:
		return Docker, checkDockerRecipe(recipe)
	case "auto":
		return chooseByFiles(recipe)
	}
	return "", release.BadSetting(settingBuilder, fmt.Sprintf("%q is not a builder", builder), "give auto, go or docker")
}

// chooseByFiles chooses the builder for "auto".
func chooseByFiles(recipe release.Recipe) (string, error) {
	if recipe.Dockerfile != "" {
		return Docker, checkDockerRecipe(recipe)
	}
	notGo := checkMainPackage(recipe)
	if notGo == nil {
		return Go, checkGoRecipe(recipe)
	}
	if _, err := findDockerfile(recipe); err == nil {
		return Docker, checkDockerRecipe(recipe)
	}
	return "", release.BadSetting(settingBuilder, fmt.Sprintf("nothing to build in %q: %v, and there is no Dockerfile", recipe.Context, notGo),
		"name the Go main package with --main or a Dockerfile with --dockerfile")
}

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

func checkDockerRecipe(recipe release.Recipe) error {
	if _, err := findDockerfile(recipe); err != nil {
		return release.BadSetting(settingDockerfile, err.Error(), "name a Dockerfile inside the context")
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
	platform.GOOS, platform.CgoEnabled = "linux", false
	if len(recipe.Platforms) > 0 {
		platform.GOARCH = recipe.Platforms[0].Architecture
	}
	found, err := platform.ImportDir(filepath.Join(recipe.Context, main), 0)
	var none *build.NoGoError
	switch {
	case errors.As(err, &none), err == nil && len(found.GoFiles) == 0:
		return fmt.Errorf("%q holds no Go package", main)
	case err != nil && found.Name == "":
		return fmt.Errorf("%q holds no Go package: %w", main, err)
	case found.Name != "main":
		return fmt.Errorf("%q holds package %q, not a main package", main, found.Name)
	}
	return nil // the compiler reports everything else better
}

// packagePath turns the recipe's main into the path of one directory for the go command: not a flag, an import path or a
// pattern.
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

// findDockerfile returns the recipe's Dockerfile, or the one of the context. It must be inside the context, with symbolic
// links resolved.
func findDockerfile(recipe release.Recipe) (string, error) {
	file := recipe.Dockerfile
	if file == "" {
		file = "Dockerfile"
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(recipe.Context, file)
	}
	context, err := filepath.EvalSymlinks(recipe.Context)
	if err != nil {
		return "", fmt.Errorf("the context %q cannot be read", recipe.Context)
	}
	found, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", fmt.Errorf("%q does not exist", file)
	}
	if below, err := filepath.Rel(context, found); err != nil || !filepath.IsLocal(below) {
		return "", fmt.Errorf("%q is outside the context %q", file, recipe.Context)
	}
	if info, err := os.Stat(found); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%q is not a file", file)
	}
	return found, nil
}
