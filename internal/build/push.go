package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// findExisting returns the image that the tag points to in the registry. An image of another revision, or with other or unknown
// settings, is a *release.Refusal.
func findExisting(ctx context.Context, builder string, repository release.Repository, tag release.Tag, recipe release.Recipe, deps Deps) (Result, bool, error) {
	tagged, found, err := deps.Registry.Find(ctx, repository, tag)
	if err != nil || !found {
		return Result{}, false, err
	}
	source := recipe.Source
	if tagged.Revision != source.Revision() {
		from, same, err := isUnchanged(ctx, builder, tagged, recipe, deps)
		if err != nil {
			return Result{}, false, err
		}
		if same {
			deps.Reporter.Infof("%s holds commit %s already: %s of commit %s, nothing to build", repository, source.Commit.Short(), tagged.Digest, from.Short())
			return reusedFrom(from, repository, tag, tagged.Digest), true, nil
		}
		differences, err := otherSettings(ctx, builder, tagged, recipe, deps)
		if err != nil {
			return Result{}, false, err
		}
		return Result{}, false, refuseOtherRevision(repository, tag, tagged, differences)
	}
	if err := compareSettings(repository, tag, tagged, recipe.Settings); err != nil {
		return Result{}, false, err
	}
	deps.Reporter.Infof("%s holds commit %s already: %s, nothing to build", repository, source.Commit.Short(), tagged.Digest)
	return newResult(release.Reused, repository, tag, tagged.Digest, source.Commit), true, nil
}

// refuseOtherRevision refuses an image that has the tag of the commit and is labelled with another revision. differences are those of its settings; "" if there
// are none, or none are known.
func refuseOtherRevision(repository release.Repository, tag release.Tag, tagged release.ImageInfo, differences string) error {
	why := fmt.Sprintf("tag %q in %q holds %s, which is labelled with revision %q", tag, repository, tagged.Digest, tagged.Revision)
	if differences != "" {
		return &release.Refusal{
			Why: why + " and was built with other settings: " + differences,
			Do:  "give the same settings to use that image, or give this build a repository of its own; if no build of onedigest reused the image for the commit, find out who set the tag",
		}
	}
	return &release.Refusal{Why: why, Do: "find out who pushed it, then delete the tag or build into another repository; a commit's tag must name that commit's image"}
}

// compareSettings refuses an image of the commit that was built by another recipe: it may contain another service, or be for
// another platform. It also refuses an image without a recorded recipe, because that cannot be compared.
func compareSettings(repository release.Repository, tag release.Tag, tagged release.ImageInfo, wanted release.RecipeSettings) error {
	const elsewhere = "or give this build a repository of its own: a commit has one image in a repository"
	holds := fmt.Sprintf("tag %q in %q holds %s", tag, repository, tagged.Digest)
	if tagged.Recipe == "" {
		return &release.Refusal{
			Why: holds + ", which is labelled with the commit but not with the settings that it was built with, so it cannot be compared with the requested build",
			Do:  "delete the tag, if an older onedigest pushed it, and build again, " + elsewhere,
		}
	}
	held, err := release.ParseRecipeSettings(tagged.Recipe)
	if err != nil {
		return &release.Refusal{
			Why: fmt.Sprintf("%s, whose annotation %s cannot be read: %v", holds, release.AnnotationRecipe, err),
			Do:  "find out who pushed it, " + elsewhere,
		}
	}
	if differences := held.Differences(wanted); differences != "" {
		return &release.Refusal{
			Why: fmt.Sprintf("%s, which was built from the commit with other settings: %s", holds, differences),
			Do:  "give the same settings to use that image, " + elsewhere,
		}
	}
	return nil
}

// built is an image that was built, on the disk.
type built struct {
	layout   release.Layout
	builder  string
	recipe   release.Recipe
	began    time.Time
	contents contents
}

// records are what a build attached to its image.
type records struct{ built, sbom release.Digest }

// push pushes the image and tags it. If another build of the commit pushed first, it returns that build's image.
func push(ctx context.Context, built built, repository release.Repository, deps Deps) (Result, error) {
	tag := tagFor(built.recipe.Source, deps.Now())
	deps.Reporter.Infof("built %s, pushing to %s", built.layout.Digest, repository)
	attached, err := pushAndRecord(ctx, built, repository, tag, deps)
	var taken *release.TagTakenError
	if errors.As(err, &taken) {
		deps.Reporter.Infof("another build of this commit pushed first: %s", taken.Holds)
		result, found, err := findExisting(ctx, built.builder, repository, tag, built.recipe, deps)
		if err == nil && !found {
			err = &release.Fault{Side: "registry", Err: fmt.Errorf("tag %q was taken and then deleted", tag), Do: "run the build again"}
		}
		return result, err
	}
	if err != nil {
		return Result{}, err
	}
	deps.Reporter.Infof("pushed %s", repository.At(built.layout.Digest))
	result := newResult(release.Created, repository, tag, built.layout.Digest, built.recipe.Source.Commit)
	result.Builder, result.Platforms, result.Record, result.SBOM = built.builder, platformNames(built.recipe), attached.built, attached.sbom
	return result, nil
}

// pushAndRecord pushes the image under its tag. If facts are recorded, it records who built it and what it contains before it sets the tag: a tag says
// that the records are there, because only a run that builds can write them. An image of uncommitted work is not recorded.
func pushAndRecord(ctx context.Context, built built, repository release.Repository, tag release.Tag, deps Deps) (attached records, err error) {
	recorded := (deps.Facts != nil || built.contents.isKnown()) && len(built.recipe.Source.Changed) == 0
	pushedAs := tag
	if recorded {
		pushedAs = ""
	}
	err = deps.Registry.Push(ctx, built.layout, repository, pushedAs, func(progress release.Progress) {
		deps.Reporter.Progress("pushing", progress)
	})
	if err != nil || !recorded {
		return attached, err
	}
	if deps.Facts != nil {
		if attached.built, err = recordBuilt(ctx, built, repository, deps); err != nil {
			return attached, err
		}
	}
	if attached.sbom, err = recordContents(ctx, built.contents, repository.At(built.layout.Digest), deps); err != nil {
		return attached, err
	}
	state, err := deps.Registry.Inspect(ctx, repository, built.layout.Digest, tag)
	switch {
	case err != nil:
		return attached, err
	case state.TagDigest == built.layout.Digest:
		return attached, nil
	case !state.TagDigest.IsZero():
		return attached, &release.TagTakenError{Tag: tag, Holds: state.TagDigest, Wanted: built.layout.Digest}
	case !state.Found:
		return attached, &release.Fault{Side: "registry", Err: fmt.Errorf("%s was pushed and is not there", built.layout.Digest), Do: "run the build again"}
	}
	return attached, deps.Registry.Tag(ctx, repository, state, built.layout.Digest, tag)
}

// recordBuilt records the provenance of the image: its source, commit, recipe, inputs and builder.
func recordBuilt(ctx context.Context, built built, repository release.Repository, deps Deps) (release.Digest, error) {
	source := built.recipe.Source
	recipe := release.DigestOf([]byte(built.recipe.Settings.Encode()))
	record, created, err := deps.Facts.RecordFact(ctx, fact.Fact{Kind: fact.Built, Image: repository.At(built.layout.Digest), Commit: source.Commit, By: deps.Origin.By, Run: deps.Origin.Run, At: deps.Now().UTC(),
		Build: &fact.Build{Type: fact.BuildType, Source: source.URL, Builder: deps.Origin.Builder, Recipe: recipe, Inputs: built.recipe.Inputs, Platforms: platformNames(built.recipe), StartedAt: built.began.UTC()}})
	if created {
		deps.Reporter.Infof("recorded that %s built it from commit %s", deps.Origin.Builder, source.Commit.Short())
	}
	return record, err
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
