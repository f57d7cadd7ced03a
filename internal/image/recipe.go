package image

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Settings returns the recipe's settings in the form that is stored with the image and compared before it is reused. It leaves
// out settings that the builder does not use. It starts no program and sends nothing.
//
// A build argument is stored as a hash that cannot be guessed from the image: many arguments are secret, and everybody who may
// pull an image may read its annotations.
func (b *Builders) Settings(builder string, recipe release.Recipe) (release.RecipeSettings, error) {
	platforms := sortPlatforms(recipe.Platforms)
	names := make([]string, len(platforms))
	for i, platform := range platforms {
		names[i] = platform.String()
	}
	settings := release.RecipeSettings{"context": recipe.Source.Path, settingBuilder: builder, settingPlatforms: strings.Join(names, ",")}
	for name, value := range recipe.Labels {
		settings["labels "+name] = value
	}
	switch builder {
	case Go:
		main, err := packagePath(recipe.Main)
		if err != nil {
			return nil, release.BadSetting(settingMain, err.Error(), "name the directory of a Go main package, relative to the context")
		}
		settings[settingMain] = path.Clean(main)
		for name, value := range recipe.Stamps {
			settings[settingLDFlags+" "+name] = value
		}
		for dir, to := range recipe.Files {
			settings[settingFiles+" "+path.Clean(dir)] = to
		}
		if len(recipe.Tags) > 0 {
			settings[settingTags] = joinTags(recipe.Tags)
		}
		if !recipe.Base.IsZero() {
			settings[settingBase] = recipe.Base.Digest.String()
		}
		if work := workspaceOf(recipe, b.golang.options.Environ); work != "" && work != filepath.Join(recipe.Context, goWork) {
			settings["workspace"] = recipe.Source.GoWork
		}
		if recipe.User != "" && (recipe.User != defaultUser || !recipe.Base.IsZero()) {
			settings[settingUser] = recipe.User
		}
		if recipe.WorkingDir != "" && (recipe.WorkingDir != "/" || !recipe.Base.IsZero()) {
			settings[settingWorkingDir] = recipe.WorkingDir
		}
	case Docker:
		file, err := findDockerfile(recipe)
		if err != nil {
			return nil, release.BadSetting(settingDockerfile, err.Error(), doDockerfile)
		}
		context, err := filepath.EvalSymlinks(recipe.Context)
		if err == nil {
			file, err = filepath.Rel(context, file)
		}
		if err != nil {
			return nil, release.BadSetting(settingDockerfile, err.Error(), doDockerfile)
		}
		settings[settingDockerfile] = filepath.ToSlash(file)
		if recipe.Docker.Target != "" {
			settings[settingTarget] = recipe.Docker.Target
		}
		for name, source := range recipe.Docker.Contexts {
			settings[settingContexts+" "+name] = contextSetting(recipe, source)
		}
		for name, value := range recipe.BuildArgs {
			sum, err := hashArgument(recipe.Source, name, value)
			if err != nil {
				return nil, fmt.Errorf("hashing build argument %q: %w", name, err)
			}
			settings[settingBuildArgs+" "+name] = "hash " + sum
		}
	}
	return settings, nil
}

// argumentRounds makes one guess of a build argument take about 0.1 s.
const argumentRounds = 400_000

// hashArgument hashes a build argument with PBKDF2. The salt contains the hash of the commit object, so that somebody with the
// image but without the repository cannot try values.
func hashArgument(source release.Source, name, value string) (string, error) {
	sum, err := pbkdf2.Key(sha256.New, value, append(source.Object[:], name...), argumentRounds, 16)
	return hex.EncodeToString(sum), err
}
