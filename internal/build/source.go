package build

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// newRecipe makes the recipe from the settings and the work tree.
func newRecipe(ctx context.Context, settings Settings, deps Deps) (release.Recipe, error) {
	dir, err := deps.Workspace.Inside(settings.Context)
	if err != nil {
		return release.Recipe{}, release.BadInput("context", err.Error(), "name a directory of the work tree")
	}
	source, err := deps.WorkTree.Inspect(ctx, dir, settings.Commit)
	if err != nil {
		return release.Recipe{}, err
	}
	return release.Recipe{
		Context: dir, Main: settings.Main, Dockerfile: settings.Dockerfile, Platforms: settings.Platforms, Base: settings.Base,
		Source: source, Labels: pairMap(settings.Labels), BuildArgs: pairMap(settings.BuildArgs), Docker: settings.recipe(),
		Tags: settings.Tags, User: settings.User, WorkingDir: settings.WorkingDir, Stamps: pairMap(settings.Stamps), Files: filesOf(settings.Files), WithoutCgo: settings.WithoutCgo,
	}, nil
}

// differencesOf compares the current inputs of a recipe with the commit.
func differencesOf(ctx context.Context, builder string, recipe release.Recipe, deps Deps) ([]release.Difference, error) {
	inputs, err := deps.Builder.Inputs(ctx, builder, recipe)
	if err != nil {
		return nil, err
	}
	return deps.WorkTree.Differences(ctx, recipe.Context, recipe.Source.Commit, inputs)
}

// refuseDifferences refuses a build whose inputs differ from the commit; or is further advice.
func refuseDifferences(ctx context.Context, builder string, recipe release.Recipe, settings Settings, or string, deps Deps) error {
	differences, err := differencesOf(ctx, builder, recipe, deps)
	if err == nil && len(differences) > 0 {
		err = differencesError(settings.Context, recipe.Source, differences, or)
	}
	return err
}

// checkChanges compares the image's inputs with the commit. Inputs that differ are an error unless changes are allowed; the result's Changed
// lists them. It runs before the tag is chosen, so that a change is found even if the commit's image exists. If git lists no changed path and
// changes are not allowed, it compares nothing, because an existing image needs no inputs.
func checkChanges(ctx context.Context, builder string, recipe release.Recipe, settings Settings, deps Deps) (release.Source, error) {
	source := recipe.Source
	if len(source.Changed) == 0 && !settings.AllowDirty {
		return source, nil
	}
	differences, err := differencesOf(ctx, builder, recipe, deps)
	if err != nil {
		return source, err
	}
	if len(differences) > 0 && !settings.AllowDirty {
		return source, differencesError(settings.Context, source, differences, orAllowDirty)
	}
	source.Changed = nil
	for _, difference := range differences {
		source.Changed = append(source.Changed, difference.Path)
	}
	return source, nil
}

// describe returns the commit and its repository. The repository is not part of the image, because forks have the same commits.
func describe(source release.Source) string {
	if source.URL == "" {
		return source.Commit.Short()
	}
	return source.Commit.Short() + " of " + source.URL
}

// fetchBase downloads the recipe's base image, if it has one; remove deletes it.
func fetchBase(ctx context.Context, recipe release.Recipe, deps Deps) (with release.Recipe, remove func(), err error) {
	if recipe.Base.IsZero() {
		return recipe, func() {}, nil
	}
	dir, remove, err := deps.Workspace.Scratch()
	if err != nil {
		return recipe, nil, err
	}
	deps.Reporter.Infof("fetching base %s", recipe.Base)
	if recipe.BaseLayout, err = deps.Registry.Fetch(ctx, recipe.Base, recipe.Platforms, dir); err != nil {
		remove()
		return recipe, nil, err
	}
	return recipe, remove, nil
}

// tagFor returns the image's tag: the commit, or for a work tree with changes a unique tag with DirtyMark.
func tagFor(source release.Source, now time.Time) release.Tag {
	if len(source.Changed) == 0 {
		return release.Tag(source.Commit)
	}
	return release.Tag(string(source.Commit) + release.DirtyMark + now.UTC().Format("20060102t150405.000"))
}

// filesOf returns nil for none, so that a recipe without files is as it was before there were any.
func filesOf(list []setting.Pair) map[string]string {
	if len(list) == 0 {
		return nil
	}
	return pairMap(list)
}

func pairMap(list []setting.Pair) map[string]string {
	values := make(map[string]string, len(list))
	for _, pair := range list {
		values[pair.Name] = pair.Value
	}
	return values
}
