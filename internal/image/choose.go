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
	whereBuilder    = "--builder (INPUT_BUILDER)"
	whereMain       = "--main (INPUT_MAIN)"
	whereDockerfile = "--dockerfile (INPUT_DOCKERFILE)"
	wherePlatforms  = "--platforms (INPUT_PLATFORMS)"
	whereBuildArgs  = "--build-args (INPUT_BUILD_ARGS)"
)

// Choose settles "auto" and refuses a recipe that the builder cannot follow, before anything runs. It looks at files only:
// docker if the recipe names a Dockerfile; else go if its main package is one; else docker if the context has a Dockerfile.
// Whether Docker is installed does not count, or a commit would become one image here and another there.
//
// Its errors are *release.InputError.
func (b *Builders) Choose(builder string, recipe release.Recipe) (string, error) {
	switch builder {
	case Go:
		return Go, fitsGo(recipe)
	case Docker:
		return Docker, fitsDocker(recipe)
	case "auto":
		return chooseByFiles(recipe)
	}
	return "", release.BadInput(whereBuilder, fmt.Sprintf("%q is not a builder", builder), "give auto, go or docker")
}

func chooseByFiles(recipe release.Recipe) (string, error) {
	if recipe.Dockerfile != "" {
		return Docker, fitsDocker(recipe)
	}
	noGo := mainPackage(recipe)
	if noGo == nil {
		return Go, fitsGo(recipe)
	}
	if _, err := dockerfile(recipe); err == nil {
		return Docker, fitsDocker(recipe)
	}
	return "", release.BadInput(whereBuilder, fmt.Sprintf("nothing to build in %q: %v, and there is no Dockerfile", recipe.Context, noGo),
		"name the Go main package with --main or a Dockerfile with --dockerfile")
}

func fitsGo(recipe release.Recipe) error {
	var problems []release.Problem
	if err := mainPackage(recipe); err != nil {
		problems = append(problems, release.Problem{Where: whereMain, What: err.Error(), Do: "name the directory of a Go main package, relative to the context"})
	}
	if recipe.Dockerfile != "" {
		problems = append(problems, release.Problem{Where: whereDockerfile, What: "the go builder reads no Dockerfile", Do: "leave it out, or give --builder docker"})
	}
	if len(recipe.BuildArgs) > 0 {
		problems = append(problems, release.Problem{Where: whereBuildArgs, What: "the go builder takes no build arguments", Do: "leave them out, or give --builder docker"})
	}
	for _, platform := range recipe.Platforms {
		if _, err := target(platform); err != nil {
			problems = append(problems, release.Problem{Where: wherePlatforms, What: err.Error()})
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

func fitsDocker(recipe release.Recipe) error {
	if _, err := dockerfile(recipe); err != nil {
		return release.BadInput(whereDockerfile, err.Error(), "name a Dockerfile inside the context")
	}
	return nil
}

// mainPackage finds out, without running anything, whether the recipe's main is a Go main package on its first platform.
func mainPackage(recipe release.Recipe) error {
	main, err := pattern(recipe.Main)
	if err != nil {
		return err
	}
	look := build.Default
	look.GOOS, look.CgoEnabled = "linux", false
	if len(recipe.Platforms) > 0 {
		look.GOARCH = recipe.Platforms[0].Architecture
	}
	found, err := look.ImportDir(filepath.Join(recipe.Context, main), 0)
	var none *build.NoGoError
	switch {
	case errors.As(err, &none), err == nil && len(found.GoFiles) == 0:
		return fmt.Errorf("%q holds no Go package", main)
	case err != nil && found.Name == "":
		return fmt.Errorf("%q holds no Go package: %w", main, err)
	case found.Name != "main":
		return fmt.Errorf("%q holds package %q, not a main package", main, found.Name)
	}
	return nil // what else is wrong the compiler says better
}

// pattern makes the recipe's main one that names a directory to the go command: never a flag, an import path or several.
func pattern(main string) (string, error) {
	clean := path.Clean("./" + main)
	if strings.HasPrefix(main, "/") || clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains(clean, "...") {
		return "", fmt.Errorf("%q is not one directory inside the context", main)
	}
	if clean == "." {
		return clean, nil
	}
	return "./" + clean, nil
}

// dockerfile is the recipe's, or the context's own; it must lie in the context, symbolic links resolved.
func dockerfile(recipe release.Recipe) (string, error) {
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
		return "", fmt.Errorf("%q lies outside the context %q", file, recipe.Context)
	}
	if info, err := os.Stat(found); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%q is not a file", file)
	}
	return found, nil
}
