package build

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// findExisting returns the image that the registry holds under the tag. An image of another revision is a *release.Refusal.
func findExisting(ctx context.Context, repository release.Repository, tag release.Tag, source release.Source, deps Deps) (Result, bool, error) {
	tagged, found, err := deps.Registry.Find(ctx, repository, tag)
	if err != nil || !found {
		return Result{}, false, err
	}
	if tagged.Revision != source.Revision() {
		return Result{}, false, &release.Refusal{
			Why: fmt.Sprintf("tag %q in %q holds %s, which is labelled with revision %q", tag, repository, tagged.Digest, tagged.Revision),
			Do:  "find out who pushed it; a commit's tag must name that commit's image",
		}
	}
	deps.Reporter.Infof("%s holds commit %s already: %s, nothing to build", repository, source.Commit.Short(), tagged.Digest)
	return newResult(release.Reused, repository, tag, tagged.Digest, source.Commit), true, nil
}

// push pushes the image. If another build of the commit pushed first, that build's image is the commit's image.
func push(ctx context.Context, layout release.Layout, builder string, recipe release.Recipe, repository release.Repository, deps Deps) (Result, error) {
	tag := tagFor(recipe.Source, deps.Now())
	deps.Reporter.Infof("built %s, pushing to %s", layout.Digest, repository)
	err := deps.Registry.Push(ctx, layout, repository, tag, func(progress release.Progress) {
		deps.Reporter.Progress("pushing", progress)
	})
	var taken *release.TagTakenError
	if errors.As(err, &taken) {
		deps.Reporter.Infof("another build of this commit pushed first: %s", taken.Holds)
		result, found, err := findExisting(ctx, repository, tag, recipe.Source, deps)
		if err == nil && !found {
			err = &release.Fault{Side: "registry", Err: fmt.Errorf("tag %q was taken and then deleted", tag), Do: "run the build again"}
		}
		return result, err
	}
	if err != nil {
		return Result{}, err
	}
	deps.Reporter.Infof("pushed %s", repository.At(layout.Digest))
	result := newResult(release.Created, repository, tag, layout.Digest, recipe.Source.Commit)
	result.Builder, result.Platforms = builder, platformNames(recipe)
	return result, nil
}

func newResult(outcome release.Outcome, repository release.Repository, tag release.Tag, digest release.Digest, commit release.Commit) Result {
	return Result{Outcome: outcome, Image: repository.At(digest), Digest: digest, Tag: tag, Reused: outcome == release.Reused, Commit: commit}
}

func platformNames(recipe release.Recipe) []string {
	names := make([]string, len(recipe.Platforms))
	for i, platform := range recipe.Platforms {
		names[i] = platform.String()
	}
	return names
}

func joinPlatforms(recipe release.Recipe) string { return strings.Join(platformNames(recipe), ", ") }
