package build

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// newRecipe reads the work tree and refuses one that differs from its commit inside the build context.
func newRecipe(ctx context.Context, settings Settings, deps Deps) (release.Recipe, error) {
	dir, err := deps.Workspace.Inside(settings.Context)
	if err != nil {
		return release.Recipe{}, release.BadInput("context", err.Error(), "name a directory of the work tree")
	}
	source, err := deps.WorkTree.Inspect(ctx, dir, settings.Commit)
	if err != nil {
		return release.Recipe{}, err
	}
	if len(source.Changed) > 0 && !settings.AllowDirty {
		return release.Recipe{}, release.BadInput("context", fmt.Sprintf("%q differs from commit %s (%s)",
			settings.Context, source.Commit.Short(), strings.Join(source.Changed, ", ")),
			"commit or remove the changes, or give --allow-dirty for an image that cannot be promoted")
	}
	return release.Recipe{
		Context: dir, Main: settings.Main, Dockerfile: settings.Dockerfile, Platforms: settings.Platforms,
		Source: source, Labels: pairMap(settings.Labels), BuildArgs: pairMap(settings.BuildArgs),
	}, nil
}

// refuseUncommitted refuses a build that would read files that are not in the commit although the build context looks
// clean: files that git ignores or that lie outside the context. It returns the source with such files added to its changes
// if they are allowed.
func refuseUncommitted(ctx context.Context, builder string, recipe release.Recipe, settings Settings, deps Deps) (release.Source, error) {
	source := recipe.Source
	files, err := deps.Builder.Inputs(ctx, builder, recipe)
	if err != nil {
		return source, err
	}
	uncommitted, err := deps.WorkTree.UncommittedFiles(ctx, recipe.Context, files)
	if err != nil {
		return source, err
	}
	if len(uncommitted) > 0 && !settings.AllowDirty {
		return source, release.BadInput("context", fmt.Sprintf("the image would contain files that are not in commit %s (%s)",
			source.Commit.Short(), strings.Join(uncommitted, ", ")),
			"commit them or exclude them from the build, or give --allow-dirty for an image that cannot be promoted")
	}
	source.Changed = slices.Concat(source.Changed, uncommitted)
	return source, nil
}

// tagFor is the commit itself, or for a dirty tree a tag that says so and that no other build uses.
func tagFor(source release.Source, now time.Time) release.Tag {
	if len(source.Changed) == 0 {
		return release.Tag(source.Commit)
	}
	return release.Tag(string(source.Commit) + release.DirtyMark + now.UTC().Format("20060102t150405.000"))
}

func pairMap(list []setting.Pair) map[string]string {
	values := make(map[string]string, len(list))
	for _, pair := range list {
		values[pair.Name] = pair.Value
	}
	return values
}
