package build

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// find returns the image of the tag Find. If the tag does not exist, the error is a *release.Refusal. The commit is empty if the image is not
// labelled with one.
func find(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	info, found, err := deps.Registry.Find(ctx, settings.Repository, settings.Find)
	if err != nil {
		return Result{}, err
	}
	if !found {
		return Result{}, &release.Refusal{Why: fmt.Sprintf("no image in %q has the tag %q", settings.Repository, settings.Find),
			Do: "build the commit first, or give the tag of an image that is there: that of a commit is its full SHA"}
	}
	if err := release.RefuseArtifact(settings.Repository.At(info.Digest), info.Artifact); err != nil {
		return Result{}, err
	}
	deps.Reporter.Infof("%s:%s is %s", settings.Repository, settings.Find, info.Digest)
	commit, err := release.ParseCommit(info.Revision)
	if err != nil {
		commit = ""
	}
	return Result{Outcome: release.Reused, Image: release.Image{Repository: settings.Repository, Digest: info.Digest}, Digest: info.Digest,
		Tag: settings.Find, Reused: true, Commit: commit}, nil
}
