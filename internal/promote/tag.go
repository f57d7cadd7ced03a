package promote

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// inspect reads the image and its tag, in the target repository too if that is another one, and refuses a tag that names another image.
// The outcome is refused, or "" if nothing forbids the promotion.
func (p *promotion) inspect(ctx context.Context, registry Registry) (outcome release.Outcome, err error) {
	if p.source, err = inspectImage(ctx, p.settings.Image, p.settings.Tag, p.evidence.Commit, registry); err != nil {
		return "", err
	}
	p.target = p.source
	if p.settings.TargetRepository != p.settings.Image.Repository {
		if p.target, err = registry.Inspect(ctx, p.settings.TargetRepository, p.settings.Image.Digest, p.settings.Tag); err != nil {
			return "", err
		}
	}
	if p.target.TagDigest.IsZero() || p.target.TagDigest == p.settings.Image.Digest {
		return "", nil
	}
	return checkExistingTag(p.target.TagDigest, p.settings.Image.Digest, p.settings.Tag)
}

// inspectFurtherTags reads the later commit's tag and the moving tag, so that one that cannot be written is found before the first is. The
// outcome is as that of inspect.
func (p *promotion) inspectFurtherTags(ctx context.Context, deps Deps) (release.Outcome, error) {
	registry := deps.Registry
	target := p.settings.TargetRepository.At(p.settings.Image.Digest)
	p.furtherTagged = true
	if p.isForLaterCommit() {
		tag := release.Tag(p.settings.Commit)
		state, err := registry.Inspect(ctx, target.Repository, target.Digest, tag)
		if err != nil {
			return "", err
		}
		if !state.TagDigest.IsZero() && state.TagDigest != target.Digest {
			return checkExistingTag(state.TagDigest, target.Digest, tag)
		}
		p.furtherTagged = state.TagDigest == target.Digest
	}
	if p.settings.MovingTag == "" {
		return "", nil
	}
	state, err := registry.Inspect(ctx, target.Repository, target.Digest, p.settings.MovingTag)
	if p.furtherTagged = p.furtherTagged && state.TagDigest == target.Digest; err != nil || state.TagDigest == target.Digest {
		return "", err
	}
	return "", p.checkMovingTag(ctx, state.TagDigest, deps)
}

// checkMovingTag refuses a moving tag that names another image and that its repository does not let move, and warns of one that could be set this once. Settings that
// cannot be read refuse nothing: the registry does when the tag is moved.
func (p *promotion) checkMovingTag(ctx context.Context, held release.Digest, deps Deps) error {
	if deps.Settings == nil {
		return nil
	}
	found, err := deps.Settings(ctx, p.settings.TargetRepository)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil || !found.Fixes(p.settings.MovingTag):
		return nil
	case held.IsZero():
		deps.Reporter.Warnf("the repository lets tag %q be set once and never move: the next promotion will be refused; exclude the tag from the repository's immutability, or omit --moving-tag", p.settings.MovingTag)
		return nil
	}
	return doesNotMove(p.settings.MovingTag, held)
}

// doesNotMove is the refusal of a repository to let a tag move.
func doesNotMove(tag release.Tag, held release.Digest) error {
	return &release.Refusal{Why: fmt.Sprintf("the repository does not let tag %q move from %s", tag, held),
		Do: "exclude the tag from the repository's immutability, or omit --moving-tag"}
}

// tagImage gives the image its tag in the target repository, and copies it there first, with its evidence, if it is another
// repository.
func (p *promotion) tagImage(ctx context.Context, deps Deps) (release.Outcome, error) {
	watch := func() { // once the image is in the repository
		if deps.WatchExpiry != nil {
			deps.WatchExpiry(ctx, p.result.Image, p.settings.Tag, p.settings.To)
		}
	}
	if p.settings.TargetRepository != p.settings.Image.Repository {
		return copyTo(ctx, p.settings, p.evidence.Record, p.target, watch, deps)
	}
	watch()
	return tagInPlace(ctx, p.settings.Image, p.source, p.settings.Tag, deps.Registry)
}

// inspectImage reads the image and the tag's state, and refuses an image that is not of the commit that the evidence names
// (release.CommitOf).
func inspectImage(ctx context.Context, image release.Image, tag release.Tag, commit release.Commit, registry Registry) (release.TagState, error) {
	state, err := registry.Inspect(ctx, image.Repository, image.Digest, tag)
	switch {
	case err != nil:
		return state, err
	case !state.Found:
		return state, &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry any more", image), Do: "a lifecycle rule may have expired it; build the commit again and prove it again"}
	}
	if err := release.RefuseArtifact(image, release.ArtifactOf(state.Manifest)); err != nil {
		return state, err
	}
	revision := state.Revision
	if revision == "" { // not in the manifest's annotations; the configuration may have it
		described, _, err := registry.Describe(ctx, image)
		if err != nil {
			return state, err
		}
		revision = described.Revision
	}
	if of, err := release.CommitOf(ctx, image, revision, commit, registry); err != nil {
		return state, err
	} else if of != commit {
		return state, &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, but its evidence names commit %s", image, revision, commit),
			Do: "build the commit from a clean work tree and prove that image"}
	}
	return state, nil
}

// tagInPlace tags an image that its repository holds unless the tag exists.
func tagInPlace(ctx context.Context, image release.Image, state release.TagState, tag release.Tag, registry Registry) (release.Outcome, error) {
	if !state.TagDigest.IsZero() {
		return checkExistingTag(state.TagDigest, image.Digest, tag)
	}
	if err := registry.Tag(ctx, image.Repository, state, image.Digest, tag); err != nil {
		return checkTakenTag(err, image.Digest, tag)
	}
	return verifyTag(ctx, image, tag, registry)
}

// copyTo copies the image and its record into the target repository, and tags it last: a tag that is set says that the image
// and its evidence are there. It calls copied once the image is there. The record is copied even if the tag exists already, which completes a run that was killed.
func copyTo(ctx context.Context, settings Settings, record release.Digest, state release.TagState, copied func(), deps Deps) (release.Outcome, error) {
	target := settings.TargetRepository.At(settings.Image.Digest)
	if state.TagDigest.IsZero() {
		deps.Reporter.Infof("copying to %s", target.Repository)
		if err := deps.Registry.Copy(ctx, settings.Image, target.Repository, func(p release.Progress) { deps.Reporter.Progress("copying", p) }); err != nil {
			return "", err
		}
	}
	copied()
	if err := deps.Evidence.CopyEvidence(ctx, settings.Image, record, target.Repository, deps.Origin.Run); err != nil {
		return "", err
	}
	if !state.TagDigest.IsZero() {
		return release.Unchanged, nil
	}
	// Copying takes time, in which somebody else may have set the tag, and a mutable repository would let it be overwritten.
	state, err := deps.Registry.Inspect(ctx, target.Repository, target.Digest, settings.Tag)
	if err != nil {
		return "", err
	}
	return tagInPlace(ctx, target, state, settings.Tag, deps.Registry)
}

// isForLaterCommit reports whether the image was built from an earlier commit than the given one, and goes to another target repository.
func (p *promotion) isForLaterCommit() bool {
	return p.settings.Commit != "" && p.settings.Commit != p.evidence.Commit && p.settings.TargetRepository != p.settings.Image.Repository
}

// tagLaterCommit also tags the image with the given commit in the target repository, if the image was built from another commit and promoted to another
// repository: deploy accepts it as that commit's image only by this tag.
func (p *promotion) tagLaterCommit(ctx context.Context, deps Deps) error {
	if !p.isForLaterCommit() {
		return nil
	}
	target, tag := p.settings.TargetRepository.At(p.settings.Image.Digest), release.Tag(p.settings.Commit)
	state, err := deps.Registry.Inspect(ctx, target.Repository, target.Digest, tag)
	if err != nil {
		return err
	}
	_, err = tagInPlace(ctx, target, state, tag, deps.Registry)
	return err
}

// moveTag points the moving tag, if there is one, at the image in the target repository.
func (p *promotion) moveTag(ctx context.Context, deps Deps) error {
	settings := p.settings
	if settings.MovingTag == "" {
		return nil
	}
	target := settings.TargetRepository.At(settings.Image.Digest)
	state, err := deps.Registry.Inspect(ctx, target.Repository, target.Digest, settings.MovingTag)
	if err != nil || state.TagDigest == target.Digest {
		return err
	}
	err = deps.Registry.Tag(ctx, target.Repository, state, target.Digest, settings.MovingTag)
	var taken *release.TagTakenError
	if errors.As(err, &taken) {
		return doesNotMove(settings.MovingTag, taken.Holds)
	}
	if err != nil {
		return err
	}
	if _, err := verifyTag(ctx, target, settings.MovingTag, deps.Registry); err != nil {
		return err
	}
	deps.Reporter.Infof("moved %s to %s", settings.MovingTag, target.Digest)
	return nil
}

// checkExistingTag accepts a tag that names the wanted digest already and refuses one that names another.
func checkExistingTag(existing, wanted release.Digest, tag release.Tag) (release.Outcome, error) {
	if existing == wanted {
		return release.Unchanged, nil
	}
	return release.Refused, &release.Refusal{Why: fmt.Sprintf("tag %q names %s already, not %s", tag, existing, wanted), Do: "a released tag is never moved; give another --tag"}
}

// checkTakenTag handles an error of Tag: a tag that somebody else created in the meantime is checked as an existing one.
func checkTakenTag(err error, wanted release.Digest, tag release.Tag) (release.Outcome, error) {
	var taken *release.TagTakenError
	if errors.As(err, &taken) && !taken.Holds.IsZero() {
		return checkExistingTag(taken.Holds, wanted, tag)
	}
	return "", err
}

// verifyTag reads the tag back, because a mutable tag can be moved by somebody else at any time.
func verifyTag(ctx context.Context, image release.Image, tag release.Tag, registry Registry) (release.Outcome, error) {
	state, err := registry.Inspect(ctx, image.Repository, image.Digest, tag)
	if err != nil {
		return "", err
	}
	if state.TagDigest.IsZero() {
		return "", &release.Failure{What: fmt.Sprintf("tag %q was set to %s, and the registry does not have it", tag, image.Digest), Do: "run again; if it stays away, ask who runs the registry, which accepted it"}
	}
	if state.TagDigest != image.Digest {
		return "", &release.Failure{What: fmt.Sprintf("tag %q was set to %s, but names %s", tag, image.Digest, state.TagDigest), Do: "somebody else moves this tag; make it immutable"}
	}
	return release.Created, nil
}
