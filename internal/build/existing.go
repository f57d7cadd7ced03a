package build

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// goBuilder is the builder that makes the same image of a commit on every machine.
const goBuilder = "go"

// recordExisting records how an image was built that the registry has already, if the key of this run has not signed that: it builds the image again, and what it
// records holds only if the digest is the same. An image that cannot be built again is used without a record, with a warning. The error is a registry's, or that
// of a context that ended.
func recordExisting(ctx context.Context, builder string, recipe release.Recipe, existing Result, given contents, settings Settings, deps Deps) (Result, error) {
	lacking, err := lackingRecords(ctx, existing.Image, settings, deps)
	if err != nil || lacking == "" {
		return existing, err
	}
	short := existing.Digest.Short()
	if existing.From != "" {
		deps.Reporter.Warnf("this key has signed no statement about %s of %s: check out commit %s, which it was built from, and build it with the same settings and the key", lacking, short, existing.From.Short())
		return existing, nil
	}
	if builder != goBuilder {
		deps.Reporter.Warnf("this key has signed no statement about %s of %s, and the %s builder need not make the same image again: only the run that builds an image can record it", lacking, short, builder)
		return existing, nil
	}
	deps.Reporter.Infof("no statement about %s of %s is signed by this key: building the image again, to sign one if the digest is the same", lacking, short)
	dir, remove, err := deps.Workspace.Scratch()
	if err != nil {
		return existing, err
	}
	defer remove()
	again, err := buildAgain(ctx, builder, recipe, dir, given, settings, deps)
	switch {
	case ctx.Err() != nil:
		return existing, context.Cause(ctx)
	case err != nil:
		deps.Reporter.Warnf("nothing is recorded of %s, which cannot be built again: %v", short, err)
		return existing, nil
	case again.layout.Digest != existing.Digest:
		deps.Reporter.Warnf("nothing is recorded of %s: building commit %s again gives %s; build it with the version of onedigest that built the image", short, existing.Commit.Short(), again.layout.Digest.Short())
		return existing, nil
	}
	deps.Reporter.Infof("building it again gives the same digest")
	if existing.Record, err = recordBuilt(ctx, again, settings.Repository, deps); err != nil {
		return existing, err
	}
	existing.SBOM, err = recordContents(ctx, again.contents, existing.Image, deps)
	return existing, err
}

// lackingRecords says what the key of this run has not signed about an image; "" if nothing is lacking, or nothing is signed.
func lackingRecords(ctx context.Context, image release.Image, settings Settings, deps Deps) (string, error) {
	if deps.Facts == nil {
		return "", nil
	}
	isBuilt, err := deps.Facts.IsRecorded(ctx, image, fact.Built)
	if err != nil || !isBuilt {
		return "the provenance", err
	}
	if deps.SBOMFacts == nil || settings.SBOMFile != "" {
		return "", nil
	}
	isListed, err := deps.SBOMFacts.IsRecorded(ctx, image, fact.Listed)
	if err != nil || !isListed {
		return "the contents", err
	}
	return "", nil
}

// buildAgain builds the image of a recipe whose inputs are those of the commit.
func buildAgain(ctx context.Context, builder string, recipe release.Recipe, dir string, given contents, settings Settings, deps Deps) (again built, err error) {
	if err := refuseDifferences(ctx, builder, recipe, settings, "", deps); err != nil {
		return built{}, err
	}
	if recipe.Inputs, err = fingerprint(ctx, builder, recipe, deps); err != nil {
		return built{}, err
	}
	return buildImage(ctx, builder, recipe, dir, given, settings, deps)
}
