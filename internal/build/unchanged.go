package build

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// maxAncestors is how many commits are looked up for an image to reuse. Each costs a request.
const maxAncestors = 30

// fingerprint returns a hash of everything except the recipe that the image is built from: the input files in the commit, and what
// else determines the inputs.
func fingerprint(ctx context.Context, builder string, recipe release.Recipe, deps Deps) (string, error) {
	inputs, err := deps.Builder.Inputs(ctx, builder, recipe)
	if err != nil {
		return "", err
	}
	files, err := deps.WorkTree.Fingerprint(ctx, recipe.Context, recipe.Source.Commit, inputs)
	if err != nil {
		return "", err
	}
	return release.DigestOf([]byte(strings.Join(append([]string{files}, inputs.Fixed...), "\n"))).String(), nil
}

// reuseUnchanged gives the image of an earlier commit the commit's tag, if it was built from the same inputs by the same recipe. The nearest
// earlier commit that has an image decides: an older image with the same inputs, from before a change that was undone, is not used,
// because the image that came between may be live, and the older one's commit would count as a step backwards.
func reuseUnchanged(ctx context.Context, builder string, recipe release.Recipe, settings Settings, deps Deps) (Result, bool, error) {
	if settings.Rebuild {
		return Result{}, false, nil
	}
	ancestors, err := deps.WorkTree.Ancestors(ctx, recipe.Context, recipe.Source.Commit, maxAncestors)
	if err != nil {
		return Result{}, false, err
	}
	for _, ancestor := range ancestors {
		tagged, found, err := deps.Registry.Find(ctx, settings.Repository, release.Tag(ancestor))
		if err != nil {
			return Result{}, false, err
		}
		if !found {
			continue
		}
		from, same, err := sameImage(ctx, builder, tagged, recipe, deps)
		if err != nil || !same {
			return Result{}, false, err
		}
		return addTag(ctx, builder, tagged.Digest, from, recipe, settings, deps)
	}
	return Result{}, false, nil
}

// addTag gives an image of the repository the commit's tag. It returns false if the image no longer exists.
func addTag(ctx context.Context, builder string, digest release.Digest, from release.Commit, recipe release.Recipe, settings Settings, deps Deps) (Result, bool, error) {
	tag := release.Tag(recipe.Source.Commit)
	state, err := deps.Registry.Inspect(ctx, settings.Repository, digest, tag)
	if err != nil || !state.Found {
		return Result{}, false, err
	}
	if !state.TagDigest.IsZero() && state.TagDigest != digest { // a mutable tag would be moved
		return findExisting(ctx, builder, settings.Repository, tag, recipe, deps)
	}
	err = deps.Registry.Tag(ctx, settings.Repository, state, digest, tag)
	var taken *release.TagTakenError
	if errors.As(err, &taken) {
		return findExisting(ctx, builder, settings.Repository, tag, recipe, deps)
	}
	if err != nil {
		return Result{}, false, err
	}
	deps.Reporter.Infof("commit %s changes nothing that enters the image: %s of commit %s is reused, nothing to build", recipe.Source.Commit.Short(), digest, from.Short())
	return reusedFrom(from, settings.Repository, tag, digest), true, nil
}

// isUnchanged reports whether an image that has the commit's tag and names an earlier commit is what the commit would build.
func isUnchanged(ctx context.Context, builder string, tagged release.ImageInfo, recipe release.Recipe, deps Deps) (from release.Commit, same bool, err error) {
	if tagged.Inputs == "" || len(recipe.Source.Changed) > 0 {
		return "", false, nil
	}
	if recipe.Inputs == "" {
		if recipe.Inputs, err = fingerprint(ctx, builder, recipe, deps); err != nil {
			return "", false, err
		}
	}
	return sameImage(ctx, builder, tagged, recipe, deps)
}

// sameImage reports whether an image of another commit was built from the recipe's inputs by the same recipe, and returns that commit.
func sameImage(ctx context.Context, builder string, tagged release.ImageInfo, recipe release.Recipe, deps Deps) (from release.Commit, same bool, err error) {
	from, err = release.ParseCommit(tagged.Revision)
	if err != nil || tagged.Inputs == "" || tagged.Inputs != recipe.Inputs {
		return "", false, nil //nolint:nilerr // an image that names no commit is another program's
	}
	stored, wanted, known, err := settingsOf(ctx, builder, tagged, recipe, deps)
	if err != nil || !known {
		return "", false, err
	}
	return from, stored.Differences(wanted) == "", nil
}

// otherSettings returns how the settings of an image of another commit differ from the recipe's; "" if they are equal or cannot be compared.
func otherSettings(ctx context.Context, builder string, tagged release.ImageInfo, recipe release.Recipe, deps Deps) (string, error) {
	stored, wanted, known, err := settingsOf(ctx, builder, tagged, recipe, deps)
	if err != nil || !known {
		return "", err
	}
	return stored.Differences(wanted), nil
}

// settingsOf returns the settings that an image of another commit was built with, and the recipe's as of that commit, because the stored hash of a build argument
// depends on the commit. It returns false if they cannot be compared.
func settingsOf(ctx context.Context, builder string, tagged release.ImageInfo, recipe release.Recipe, deps Deps) (stored, wanted release.RecipeSettings, known bool, err error) {
	from, err := release.ParseCommit(tagged.Revision)
	if err != nil {
		return nil, nil, false, nil //nolint:nilerr // an image that names no commit is another program's
	}
	if stored, err = release.ParseRecipeSettings(tagged.Recipe); err != nil {
		return nil, nil, false, nil //nolint:nilerr // an image without settings cannot be compared
	}
	wanted = recipe.Settings
	if len(recipe.BuildArgs) > 0 {
		object, found, err := deps.WorkTree.Object(ctx, recipe.Context, from)
		if err != nil || !found {
			return nil, nil, false, err
		}
		recipe.Source.Object = object
		if wanted, err = deps.Builder.Settings(builder, recipe); err != nil {
			return nil, nil, false, fmt.Errorf("comparing with commit %s: %w", from.Short(), err)
		}
	}
	return stored, wanted, true, nil
}

// reusedFrom returns the result for an image of an earlier commit.
func reusedFrom(from release.Commit, repository release.Repository, tag release.Tag, digest release.Digest) Result {
	result := newResult(release.Reused, repository, tag, digest, from)
	result.From = from
	return result
}
