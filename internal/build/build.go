// Package build is the verb that builds a commit's image once.
package build

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Deps are the adapters that Run works with.
type Deps struct {
	WorkTree  WorkTree
	Builder   Builder
	Registry  Registry
	Workspace Workspace
	Facts     Facts // nil: nothing is recorded
	SBOMs     SBOMs
	SBOMFacts Facts // records SBOMs; nil: none is attached
	Origin    fact.Origin
	Reporter  release.Reporter
	Now       func() time.Time
}

// Facts records facts about images.
type Facts interface {
	// RecordFact attaches a fact to its image, unless it is recorded already. It returns the digest of the record, and whether it is new.
	RecordFact(ctx context.Context, f fact.Fact) (record release.Digest, created bool, err error)
	// IsRecorded reports whether a fact of a kind is attached to an image that the key of this run signed.
	IsRecorded(ctx context.Context, image release.Image, kind fact.Kind) (bool, error)
}

// WorkTree reads git.
type WorkTree interface {
	// Inspect returns the commit that is checked out in a directory, and the paths inside that git lists as changed. If commit is
	// not "", it must be the checked-out one.
	Inspect(ctx context.Context, dir, commit string) (release.Source, error)
	// Object returns the SHA-256 of a commit's object, and false if the available history lacks the commit.
	Object(ctx context.Context, dir string, commit release.Commit) ([32]byte, bool, error)
	// IsShallow reports whether the available history is cut off.
	IsShallow(ctx context.Context, dir string) (bool, error)
	// Fingerprint returns a hash of an image's inputs as they are in the commit.
	Fingerprint(ctx context.Context, dir string, commit release.Commit, inputs release.Inputs) (string, error)
	// Ancestors returns at most limit commits before one, the nearest first, along the first parents.
	Ancestors(ctx context.Context, dir string, commit release.Commit, limit int) ([]release.Commit, error)
	// Differences compares an image's inputs with the commit, by content, and returns those that differ.
	Differences(ctx context.Context, dir string, commit release.Commit, inputs release.Inputs) ([]release.Difference, error)
}

// Builder builds an image.
type Builder interface {
	// Choose turns "auto" into the name of a builder. It refuses, before anything runs, a recipe that the builder cannot build.
	Choose(builder string, recipe release.Recipe) (string, error)
	// Settings returns the recipe's settings in the form that is stored with the image and compared later.
	Settings(builder string, recipe release.Recipe) (release.RecipeSettings, error)
	// Inputs lists the local files that determine the image.
	Inputs(ctx context.Context, builder string, recipe release.Recipe) (release.Inputs, error)
	// Build writes the image into dir as an OCI layout.
	Build(ctx context.Context, builder string, recipe release.Recipe, dir string) (release.Layout, error)
}

// Registry stores images.
type Registry interface {
	// CreateRepository creates the repository unless it exists, or the registry creates one with its first image. It reports whether it did.
	CreateRepository(ctx context.Context, repository release.Repository) (bool, error)
	// Find returns the image that a tag points to; false if the tag does not exist.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
	// Inspect reads an image's manifest and the digest that a tag of the same repository names.
	Inspect(ctx context.Context, repository release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error)
	// Tag pushes the inspected manifest's own bytes under a tag. It returns a *release.TagTakenError if the tag is immutable and names
	// another image.
	Tag(ctx context.Context, repository release.Repository, state release.TagState, digest release.Digest, tag release.Tag) error
	// Describe returns what an image is labelled with, and false if it does not exist.
	Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error)
	// Copy copies an image into another repository by digest, byte for byte. It sets no tag.
	Copy(ctx context.Context, image release.Image, to release.Repository, progress func(release.Progress)) error
	// Fetch downloads an image for the platforms into dir. If the image does not exist, or not for every platform, the error is a
	// *release.InputError.
	Fetch(ctx context.Context, image release.Image, platforms []release.Platform, dir string) (release.Layout, error)
	// Push pushes an image under a tag, or without one if that is "". If the tag points to another image by then, the error is a *release.TagTakenError.
	Push(ctx context.Context, layout release.Layout, repository release.Repository, tag release.Tag, progress func(release.Progress)) error
}

// Workspace is the part of the disk that build may use.
type Workspace interface {
	// Inside makes a path absolute, with symbolic links resolved, and refuses one outside the work tree.
	Inside(path string) (string, error)
	// Scratch makes an empty directory; remove deletes it.
	Scratch() (dir string, remove func(), err error)
}

// Result is what build did.
type Result struct {
	Outcome release.Outcome `json:"outcome"` // created or reused
	Image   release.Image   `json:"image"`
	Digest  release.Digest  `json:"digest"`
	Tag     release.Tag     `json:"tag"`
	Reused  bool            `json:"reused"`
	Commit  release.Commit  `json:"commit"`               // the commit that the image was built from
	From    release.Commit  `json:"reusedFrom,omitempty"` // Commit, if it is an earlier one than that of the work tree, or ""
	// CommitFrom says how the commit of an image that another program built is known: by its label, or as it was given. It is empty for an
	// image that onedigest built.
	CommitFrom  string                    `json:"commitFrom,omitempty"`
	Builder     string                    `json:"builder,omitempty"`   // empty if the image was reused
	Platforms   []string                  `json:"platforms,omitempty"` // empty if the image was reused
	Record      release.Digest            `json:"record,omitzero"`     // of the signed record of the build; zero if none was written
	SBOM        release.Digest            `json:"sbom,omitzero"`       // of the record with the SBOM; zero if this run attached none
	matrix.Part                           // of the matrix, in Services
	Services    []Result                  `json:"services,omitempty"` // results of a matrix
	Digests     map[string]release.Digest `json:"digests,omitempty"`  // of a matrix's images, by service; without those that failed
}

// Run returns the commit's image if the registry has it. If no input of the image was changed since the nearest earlier commit that has an
// image, it gives that image the commit's tag. Otherwise it builds the image and pushes it under the commit's tag.
// Inputs that differ from the commit are a *release.InputError unless AllowDirty is set; inputs that change during the build
// always are. A tag of another commit's image, or of one that was built with other settings, is a *release.Refusal.
//
// An image that the registry has, and about which the key of this run signed no statement, is built again by the Go builder: if that makes the same digest, the
// statements are recorded.
//
// With Adopt it builds nothing, and tags an image that another program built. With Find it only looks a tag up.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	if settings.Find != "" {
		return find(ctx, settings, deps)
	}
	if !settings.Adopt.IsZero() {
		return adopt(ctx, settings, deps)
	}
	recipe, err := newRecipe(ctx, settings, deps)
	if err != nil {
		return Result{}, err
	}
	builder, err := deps.Builder.Choose(settings.Builder, recipe)
	if err != nil {
		return Result{}, err
	}
	if recipe.Settings, err = deps.Builder.Settings(builder, recipe); err != nil {
		return Result{}, err
	}
	given, err := givenContents(settings, deps)
	if err != nil {
		return Result{}, err
	}
	if recipe.Source, err = checkChanges(ctx, builder, recipe, settings, deps); err != nil {
		return Result{}, err
	}
	if err := createRepository(ctx, settings, deps); err != nil {
		return Result{}, err
	}
	result, found, err := findExisting(ctx, builder, settings.Repository, tagFor(recipe.Source, deps.Now()), recipe, deps)
	if err != nil {
		return result, err
	}
	if found {
		return recordExisting(ctx, builder, recipe, result, given, settings, deps)
	}
	if len(recipe.Source.Changed) == 0 {
		if err := refuseDifferences(ctx, builder, recipe, settings, orAllowDirty, deps); err != nil {
			return Result{}, err
		}
		if recipe.Inputs, err = fingerprint(ctx, builder, recipe, deps); err != nil {
			return Result{}, err
		}
		if result, found, err := reuseUnchanged(ctx, builder, recipe, settings, deps); found || err != nil {
			return result, err
		}
	}
	dir, remove, err := deps.Workspace.Scratch()
	if err != nil {
		return Result{}, err
	}
	defer remove()
	done, err := buildImage(ctx, builder, recipe, dir, given, settings, deps)
	if err != nil {
		return Result{}, err
	}
	return push(ctx, done, settings.Repository, deps)
}

// buildImage builds the image of a recipe in a directory.
func buildImage(ctx context.Context, builder string, recipe release.Recipe, dir string, given contents, settings Settings, deps Deps) (built, error) {
	recipe, removeBase, err := fetchBase(ctx, recipe, deps)
	if err != nil {
		return built{}, err
	}
	defer removeBase()
	began := deps.Now()
	deps.Reporter.Infof("building %s of commit %s with the %s builder", joinPlatforms(recipe), describe(recipe.Source), builder)
	layout, err := deps.Builder.Build(ctx, builder, recipe, dir)
	if err != nil {
		return built{}, err
	}
	// The inputs are listed and compared once more, because something else may have written to the work tree. This also holds if
	// changes are allowed, because the image is already labelled with the commit.
	if len(recipe.Source.Changed) == 0 {
		if err := refuseDifferences(ctx, builder, recipe, settings, orBuildAgain, deps); err != nil {
			return built{}, err
		}
	}
	done := built{layout: layout, builder: builder, recipe: recipe, began: began}
	done.contents, err = listContents(ctx, given, done, settings, deps)
	return done, err
}

// createRepository creates the repository where that is asked for. It is called when nothing of the input can be refused without the registry.
func createRepository(ctx context.Context, settings Settings, deps Deps) error {
	if !settings.Create {
		return nil
	}
	created, err := deps.Registry.CreateRepository(ctx, settings.Repository)
	if created && err == nil {
		deps.Reporter.Infof("created repository %s: its tags are immutable, what is pushed is scanned, and images of uncommitted work expire after 14 days", settings.Repository)
	}
	return err
}
