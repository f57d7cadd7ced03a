package build

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Values of the setting sbom.
const (
	SBOMAuto = "auto" // if the run signs
	SBOMOn   = "on"
	SBOMOff  = "off"
)

// SBOMs are documents that list what images contain.
type SBOMs interface {
	// ReadSBOM reads a document in a file of the work tree, and its time. The error is a *release.InputError.
	ReadSBOM(file string) (sbom fact.SBOM, at time.Time, err error)
	// ListContents lists what a built image contains, as far as the builders can tell. name is the last part of its repository's path.
	ListContents(ctx context.Context, builder string, recipe release.Recipe, layout release.Layout, name string) (sbom fact.SBOM, at time.Time, err error)
}

// contents is an SBOM that is to be attached; without a document, there is none.
type contents struct {
	sbom fact.SBOM
	at   time.Time
}

func (c contents) isKnown() bool { return len(c.sbom.Document) > 0 }

// givenContents reads the SBOM that the settings name.
func givenContents(settings Settings, deps Deps) (given contents, err error) {
	if settings.SBOMFile != "" && deps.SBOMFacts != nil {
		given.sbom, given.at, err = deps.SBOMs.ReadSBOM(settings.SBOMFile)
	}
	return given, err
}

// listContents lists what was built, unless an SBOM was given, none is recorded, or the image is of uncommitted work. A run that was not asked for an
// SBOM goes on without one, and says so.
func listContents(ctx context.Context, given contents, built built, settings Settings, deps Deps) (contents, error) {
	if given.isKnown() || deps.SBOMFacts == nil || len(built.recipe.Source.Changed) > 0 {
		return given, nil
	}
	var listed contents
	var err error
	listed.sbom, listed.at, err = deps.SBOMs.ListContents(ctx, built.builder, built.recipe, built.layout, path.Base(settings.Repository.Path()))
	switch {
	case err == nil:
		return listed, nil
	case ctx.Err() != nil:
		return contents{}, err
	case settings.SBOM == SBOMOn:
		return contents{}, release.BadSetting("sbom", fmt.Sprintf("is on, but no SBOM can be written: %v", err), "give the file of another program with --sbom-file, or leave it out")
	}
	deps.Reporter.Warnf("no SBOM is attached to %s: %v", built.layout.Digest.Short(), err)
	return contents{}, nil
}

// recordContents attaches the SBOM to the image, unless there is none. It is called before the tag is set, so that an image that has a tag has its SBOM.
func recordContents(ctx context.Context, known contents, image release.Image, deps Deps) (release.Digest, error) {
	if !known.isKnown() {
		return release.Digest{}, nil
	}
	record, created, err := deps.SBOMFacts.RecordFact(ctx, fact.Fact{Kind: fact.Listed, Image: image, At: known.at, SBOM: &known.sbom})
	if created {
		deps.Reporter.Infof("attached an SBOM: CycloneDX %s with %d components", known.sbom.Spec, known.sbom.Components)
	}
	return record, err
}
