// Package promote is the verb that lets an image into the next environment: the same bytes, under one more name.
package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Deps is what promote needs of everything around it.
type Deps struct {
	Registry Registry
	Evidence Evidence
	Reporter release.Reporter
}

// Evidence is what smoke left.
type Evidence interface {
	// Read returns the records about an image, in no order.
	Read(ctx context.Context, image release.Image) ([]release.Evidence, error)
}

// Registry tags without moving a layer.
type Registry interface {
	// Find says what a tag names.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.Tagged, bool, error)
	// Describe reads what an image is labelled with, in its manifest or its configuration.
	Describe(ctx context.Context, image release.Image) (release.Tagged, bool, error)
	// Inspect reads an image's manifest and what a tag of the repository names.
	Inspect(ctx context.Context, repository release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error)
	// Tag puts the manifest's own bytes under a tag. It returns a *release.TagTakenError if an immutable tag is taken.
	Tag(ctx context.Context, repository release.Repository, looked release.TagState, digest release.Digest, tag release.Tag) error
	// Copy brings an image into another repository under a tag, byte for byte.
	Copy(ctx context.Context, image release.Image, to release.Repository, tag release.Tag) error
}

// Result is what promote did.
type Result struct {
	Outcome release.Outcome     `json:"outcome"` // created or unchanged
	Image   release.Image       `json:"image"`
	Digest  release.Digest      `json:"digest"`
	Tag     release.Tag         `json:"tag"`
	Commit  release.Commit      `json:"commit"`
	From    release.Environment `json:"from"`
	To      release.Environment `json:"to"`
	Proved  time.Time           `json:"provedAt"`
}

// Run finds the proof, looks at the image and the tag, tags if need be, looks again and compares.
func Run(ctx context.Context, settings Settings, world Deps) (Result, error) {
	settings, err := resolve(ctx, settings, world)
	if err != nil {
		return Result{}, err
	}
	proof, err := prove(ctx, settings, world)
	if err != nil {
		return Result{}, err
	}
	tag := settings.Tag
	if tag == "" {
		tag = release.Tag(settings.To.String() + "-" + proof.Commit.String())
	}
	result := Result{Image: settings.TargetRepository.At(settings.Image.Digest), Digest: settings.Image.Digest, Tag: tag,
		Commit: proof.Commit, From: settings.From, To: settings.To, Proved: proof.At}
	if settings.TargetRepository != settings.Image.Repository {
		result.Outcome, err = carry(ctx, settings, tag, proof.Commit, world)
	} else {
		result.Outcome, err = name(ctx, settings, tag, proof.Commit, world)
	}
	if err != nil {
		return result, err
	}
	world.Reporter.Infof("%s: %s is %s in %s", result.Outcome, tag, settings.Image.Digest, settings.TargetRepository)
	if settings.MovingTag != "" {
		err = move(ctx, settings, world)
	}
	return result, err
}

// resolve finds the image of a commit when nobody named the image itself.
func resolve(ctx context.Context, settings Settings, world Deps) (Settings, error) {
	if settings.Image.IsZero() {
		tagged, found, err := world.Registry.Find(ctx, settings.Repository, release.Tag(settings.Commit))
		switch {
		case err != nil:
			return settings, err
		case !found:
			return settings, &release.Refusal{Why: fmt.Sprintf("%q holds no image of commit %s", settings.Repository, settings.Commit), Do: "build the commit first"}
		case tagged.Revision != settings.Commit.String():
			return settings, &release.Refusal{Why: fmt.Sprintf("tag %s in %q names an image labelled with revision %q", settings.Commit, settings.Repository, tagged.Revision)}
		}
		settings.Image = settings.Repository.At(tagged.Digest)
		world.Reporter.Infof("commit %s is %s", settings.Commit.Short(), tagged.Digest)
	}
	if settings.TargetRepository == "" {
		settings.TargetRepository = settings.Image.Repository
	}
	return settings, nil
}

// prove finds the newest record of the environment below; it alone counts, for a later failure outdates a pass.
func prove(ctx context.Context, settings Settings, world Deps) (release.Evidence, error) {
	records, err := world.Evidence.Read(ctx, settings.Image)
	if err != nil {
		return release.Evidence{}, err
	}
	records = slices.DeleteFunc(records, func(record release.Evidence) bool { return record.Environment != settings.From })
	if len(records) == 0 {
		return release.Evidence{}, &release.Refusal{Why: fmt.Sprintf("nothing in the registry says that %q proved %s", settings.From, settings.Image.Digest),
			Do: fmt.Sprintf("deploy it to %q and run smoke with --image", settings.From)}
	}
	newest := slices.MaxFunc(records, func(a, b release.Evidence) int { return a.At.Compare(b.At) })
	if err := newest.Proves(settings.Image.Digest, settings.From); err != nil {
		return newest, &release.Refusal{Why: err.Error(), Do: fmt.Sprintf("make %q pass first (%s)", settings.From, newest.At.Format(time.RFC3339))}
	}
	if _, err := release.ParseCommit(newest.Commit.String()); err != nil {
		return newest, &release.Refusal{Why: "the evidence names no commit: " + err.Error(), Do: "run smoke with --expect-commit"}
	}
	world.Reporter.Infof("%q proved %s at %s: %d checks, %d rounds", settings.From, settings.Image.Digest, newest.At.Format(time.RFC3339), len(newest.Checks), newest.Rounds)
	return newest, nil
}

// name tags the image inside its repository: one look, one tag, one look.
func name(ctx context.Context, settings Settings, tag release.Tag, commit release.Commit, world Deps) (release.Outcome, error) {
	looked, err := look(ctx, settings.Image, tag, commit, world.Registry)
	if err != nil {
		return "", err
	}
	if !looked.TagDigest.IsZero() {
		return standing(looked.TagDigest, settings.Image.Digest, tag)
	}
	err = world.Registry.Tag(ctx, settings.Image.Repository, looked, settings.Image.Digest, tag)
	var taken *release.TagTakenError
	if errors.As(err, &taken) && !taken.Holds.IsZero() {
		return standing(taken.Holds, settings.Image.Digest, tag)
	}
	if err != nil {
		return "", err
	}
	return compare(ctx, settings.Image, tag, world.Registry)
}

// carry copies the image into another repository unless it is there under the tag already.
func carry(ctx context.Context, settings Settings, tag release.Tag, commit release.Commit, world Deps) (release.Outcome, error) {
	if _, err := look(ctx, settings.Image, tag, commit, world.Registry); err != nil {
		return "", err
	}
	target := settings.TargetRepository.At(settings.Image.Digest)
	there, err := world.Registry.Inspect(ctx, target.Repository, target.Digest, tag)
	if err != nil {
		return "", err
	}
	if !there.TagDigest.IsZero() {
		return standing(there.TagDigest, target.Digest, tag)
	}
	world.Reporter.Infof("copying to %s", target.Repository)
	err = world.Registry.Copy(ctx, settings.Image, target.Repository, tag)
	var taken *release.TagTakenError
	if errors.As(err, &taken) && !taken.Holds.IsZero() {
		return standing(taken.Holds, target.Digest, tag)
	}
	if err != nil {
		return "", err
	}
	return compare(ctx, target, tag, world.Registry)
}

// move points the moving tag at the image in the target repository.
func move(ctx context.Context, settings Settings, world Deps) error {
	target := settings.TargetRepository.At(settings.Image.Digest)
	looked, err := world.Registry.Inspect(ctx, target.Repository, target.Digest, settings.MovingTag)
	if err != nil || looked.TagDigest == target.Digest {
		return err
	}
	err = world.Registry.Tag(ctx, target.Repository, looked, target.Digest, settings.MovingTag)
	var taken *release.TagTakenError
	if errors.As(err, &taken) {
		return &release.Refusal{Why: fmt.Sprintf("the repository does not let tag %q move from %s", settings.MovingTag, taken.Holds),
			Do: "exclude the tag from the repository's immutability, or leave --moving-tag out"}
	}
	if err != nil {
		return err
	}
	if _, err := compare(ctx, target, settings.MovingTag, world.Registry); err != nil {
		return err
	}
	world.Reporter.Infof("moved %s to %s", settings.MovingTag, target.Digest)
	return nil
}

// look reads the image and holds it to the commit that the evidence names.
func look(ctx context.Context, image release.Image, tag release.Tag, commit release.Commit, registry Registry) (release.TagState, error) {
	looked, err := registry.Inspect(ctx, image.Repository, image.Digest, tag)
	switch {
	case err != nil:
		return looked, err
	case !looked.Found:
		return looked, &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry any more", image), Do: "a lifecycle rule may have expired it; build the commit again and prove it again"}
	}
	revision := looked.Revision
	if revision == "" { // the manifest does not say; its configuration may
		described, _, err := registry.Describe(ctx, image)
		if err != nil {
			return looked, err
		}
		revision = described.Revision
	}
	if revision != commit.String() {
		return looked, &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, its evidence with commit %s", image, revision, commit)}
	}
	return looked, nil
}

// standing decides about a tag that is there already.
func standing(holds, wanted release.Digest, tag release.Tag) (release.Outcome, error) {
	if holds == wanted {
		return release.Unchanged, nil
	}
	return release.Refused, &release.Refusal{Why: fmt.Sprintf("tag %q names %s already, not %s", tag, holds, wanted), Do: "a released tag is never moved; give another --tag"}
}

// compare reads the tag again.
func compare(ctx context.Context, image release.Image, tag release.Tag, registry Registry) (release.Outcome, error) {
	again, err := registry.Inspect(ctx, image.Repository, image.Digest, tag)
	if err != nil {
		return "", err
	}
	if again.TagDigest != image.Digest {
		return "", &release.Failure{What: fmt.Sprintf("tag %q was given to %s, but names %s", tag, image.Digest, again.TagDigest), Do: "somebody else moves this tag; make it immutable"}
	}
	return release.Created, nil
}
