package image

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Settings returns the recipe's settings as they are stored with the image and compared before it is reused. It leaves out what
// the builder does not use, and it sends nothing and runs nothing.
//
// A build argument is stored as a hash, because many hold a secret and whoever may pull an image may read its annotations.
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
		if len(recipe.Tags) > 0 {
			settings[settingTags] = joinTags(recipe.Tags)
		}
		if !recipe.Base.IsZero() {
			settings[settingBase] = recipe.Base.Digest.String()
		}
	case Docker:
		file, err := findDockerfile(recipe)
		if err != nil {
			return nil, release.BadSetting(settingDockerfile, err.Error(), "name a Dockerfile inside the context")
		}
		context, err := filepath.EvalSymlinks(recipe.Context)
		if err == nil {
			file, err = filepath.Rel(context, file)
		}
		if err != nil {
			return nil, release.BadSetting(settingDockerfile, err.Error(), "name a Dockerfile inside the context")
		}
		settings[settingDockerfile] = filepath.ToSlash(file)
		for name, value := range recipe.BuildArgs {
			sum := sha256.Sum256([]byte(name + "=" + value))
			settings[settingBuildArgs+" "+name] = "hash " + hex.EncodeToString(sum[:6])
		}
	}
	return settings, nil
}
