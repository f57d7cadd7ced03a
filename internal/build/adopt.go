package build

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// How the commit of an image that another program built is known.
const (
	commitLabelled = "label" // the image's own revision label
	commitGiven    = "given" // the setting commit; the image says nothing, or what its base image says
)

// adopt makes an image that another program built the image of its commit: it copies the image into the repository by digest,
// unless it is there, and gives it the commit's tag. It builds nothing and compares no input: only the image's label, or the
// given commit, says that it was built from the commit.
func adopt(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	described, found, err := deps.Registry.Describe(ctx, settings.Adopt)
	if err != nil {
		return Result{}, err
	}
	if !found {
		return Result{}, release.BadSetting("adopt", fmt.Sprintf("%q is not in its registry", settings.Adopt), "push it first, and give the digest that the push printed")
	}
	if err := release.RefuseArtifact(settings.Adopt, described.Artifact); err != nil {
		return Result{}, err
	}
	commit, known, err := adoptedCommit(ctx, described.Revision, settings, deps)
	if err != nil {
		return Result{}, err
	}
	given, err := givenContents(settings, deps)
	if err != nil {
		return Result{}, err
	}
	if err := createRepository(ctx, settings, deps); err != nil {
		return Result{}, err
	}
	tag := release.Tag(commit)
	tagged, found, err := deps.Registry.Find(ctx, settings.Repository, tag)
	if err != nil {
		return Result{}, err
	}
	outcome, sbom := release.Reused, release.Digest{}
	switch {
	case found && tagged.Digest != settings.Adopt.Digest:
		return Result{}, refuseOtherImage(tag, tagged.Digest, settings)
	case !found:
		outcome = release.Created
		if sbom, err = tagAdopted(ctx, tag, given, settings, deps); err != nil {
			return Result{}, err
		}
	}
	deps.Reporter.Infof("%s is the image of commit %s in %s", settings.Adopt.Digest, commit.Short(), settings.Repository)
	deps.Reporter.Warnf("%s", map[string]string{
		commitLabelled: fmt.Sprintf("onedigest did not build %s: that it was built from commit %s is what its label says, and no input was compared", settings.Adopt.Digest.Short(), commit.Short()),
		commitGiven:    fmt.Sprintf("onedigest did not build %s, and it has no revision label of a known commit: that it was built from commit %s is what was given, and no input was compared", settings.Adopt.Digest.Short(), commit.Short()),
	}[known])
	result := newResult(outcome, settings.Repository, tag, settings.Adopt.Digest, commit)
	result.CommitFrom, result.SBOM = known, sbom
	return result, nil
}

// adoptedCommit returns the commit in the image's label, or the given one if there is no label or another program's, and which of them it
// is. An image without a label of its own has its base image's.
func adoptedCommit(ctx context.Context, revision string, settings Settings, deps Deps) (commit release.Commit, known string, err error) {
	given := release.Commit("")
	if settings.Commit != "" {
		if given, err = release.ParseCommit(settings.Commit); err != nil {
			return "", "", release.BadSetting("commit", err.Error(), "give the full id of the commit that the image was built from")
		}
	}
	if revision == "" {
		if given == "" {
			return "", "", release.BadSetting("commit", fmt.Sprintf("%q has no label %s, and no commit is given", settings.Adopt, release.AnnotationRevision),
				"give the full id of the commit that it was built from, or label the image")
		}
		return given, commitGiven, nil
	}
	labelled, err := release.ParseCommit(revision)
	if err != nil {
		return "", "", &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, which is not a commit", settings.Adopt, revision),
			Do: "build it, all of its platforms from one commit, from a clean work tree, and label it with the full id of the commit"}
	}
	if given == labelled {
		return labelled, commitLabelled, nil
	}
	inherited, err := mayBeInherited(ctx, labelled, settings, deps)
	if err != nil {
		return "", "", err
	}
	if inherited && given == "" {
		return "", "", release.BadSetting("commit", fmt.Sprintf("image %q is labelled with revision %q, which git does not know here: the label may be the base image's", settings.Adopt, revision),
			"give the full id of the commit that the image was built from")
	}
	if inherited && isOwn(ctx, given, settings, deps) {
		deps.Reporter.Warnf("image %s is labelled with revision %s, which git does not know here: the label may be the base image's, and the given commit %s is used", settings.Adopt.Digest.Short(), labelled.Short(), given.Short())
		return given, commitGiven, nil
	}
	if given != "" {
		return "", "", &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, not with commit %s", settings.Adopt, revision, given),
			Do: "give the commit that it was built from"}
	}
	return labelled, commitLabelled, nil
}

// mayBeInherited reports whether a labelled commit is not of the work tree's history: the label may be that of the base image. It
// returns false without a work tree.
func mayBeInherited(ctx context.Context, labelled release.Commit, settings Settings, deps Deps) (bool, error) {
	dir, err := deps.Workspace.Inside(settings.Context)
	if err != nil {
		return false, nil //nolint:nilerr // an image can be adopted without a work tree
	}
	_, found, err := deps.WorkTree.Object(ctx, dir, labelled)
	return err == nil && !found, ctx.Err()
}

// isOwn reports whether a commit is in the work tree's repository, and the repository has its whole history. In a shallow clone it returns
// false, because another commit that a label names may be missing there.
func isOwn(ctx context.Context, commit release.Commit, settings Settings, deps Deps) bool {
	dir, err := deps.Workspace.Inside(settings.Context)
	if err != nil || commit == "" {
		return false
	}
	_, found, err := deps.WorkTree.Object(ctx, dir, commit)
	shallow, shallowErr := deps.WorkTree.IsShallow(ctx, dir)
	return err == nil && shallowErr == nil && found && !shallow
}

func refuseOtherImage(tag release.Tag, holds release.Digest, settings Settings) error {
	return &release.Refusal{Why: fmt.Sprintf("tag %q in %q holds %s, not %s", tag, settings.Repository, holds, settings.Adopt.Digest),
		Do: "a commit has one image in a repository; give each service a repository of its own"}
}

// tagAdopted copies the image into the repository if it is not there, attaches the SBOM that was given, and tags the image.
func tagAdopted(ctx context.Context, tag release.Tag, given contents, settings Settings, deps Deps) (sbom release.Digest, err error) {
	state, err := deps.Registry.Inspect(ctx, settings.Repository, settings.Adopt.Digest, tag)
	if err == nil && !state.Found {
		deps.Reporter.Infof("copying %s to %s", settings.Adopt, settings.Repository)
		if err = deps.Registry.Copy(ctx, settings.Adopt, settings.Repository, func(p release.Progress) { deps.Reporter.Progress("copying", p) }); err == nil {
			state, err = deps.Registry.Inspect(ctx, settings.Repository, settings.Adopt.Digest, tag)
		}
	}
	if err != nil {
		return sbom, err
	}
	if !state.TagDigest.IsZero() && state.TagDigest != settings.Adopt.Digest { // a mutable tag would be moved
		return sbom, refuseOtherImage(tag, state.TagDigest, settings)
	}
	if sbom, err = recordContents(ctx, given, settings.Repository.At(settings.Adopt.Digest), deps); err != nil {
		return sbom, err
	}
	err = deps.Registry.Tag(ctx, settings.Repository, state, settings.Adopt.Digest, tag)
	var taken *release.TagTakenError
	if errors.As(err, &taken) {
		if taken.Holds == settings.Adopt.Digest {
			return sbom, nil
		}
		return sbom, refuseOtherImage(tag, taken.Holds, settings)
	}
	return sbom, err
}
