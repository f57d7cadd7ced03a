package gitops

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/release"
)

// Trailers of a commit's message. Source: git-interpret-trailers(1).
const (
	trailerImage       = "Onedigest-Image"
	trailerCommit      = "Onedigest-Commit"
	trailerEnvironment = "Onedigest-Environment"
	trailerRun         = "Onedigest-Run"
	trailerActor       = "Onedigest-Actor"
)

// message is the message of a deploy's commit.
func (r *Release) message(deployment release.Deployment) string {
	main := deployment.Main()
	subject := fmt.Sprintf("Deploy %s %s to %s", deployment.Name, shortOr(deployment.Commit, main.Image.Digest), r.Environment)
	return subject + "\n\n" + r.trailers(deployment, deployment.Images, deployment.Commit)
}

func shortOr(commit release.Commit, digest release.Digest) string {
	if commit == "" {
		return digest.Short()
	}
	return commit.Short()
}

// trailers say what a commit deploys and which run made it.
func (r *Release) trailers(deployment release.Deployment, images []release.BuiltImage, commit release.Commit) string {
	var lines strings.Builder
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&lines, "%s: %s\n", name, strings.Join(strings.Fields(value), " "))
		}
	}
	for _, image := range images {
		add(trailerImage, image.Image.String())
	}
	add(trailerCommit, commit.String())
	add(trailerEnvironment, r.Environment.String())
	add(trailerRun, deployment.RunURL)
	add(trailerActor, deployment.Actor)
	return lines.String()
}

// revision is a change of the values file after which it has a digest.
type revision struct {
	configrepo.Change
	digest release.Digest   // of the main image
	byHand configrepo.Files // of the newest one, all files of the directory, if its manifests are not those of its lock file; else nil
	commit release.Commit   // of the main image, if the change is a deploy's
	mark   release.Mark
}

// revisions lists the changes with a digest, newest first. A commit without one ends them: what is older was not deployed from here.
func (r *Release) revisions(ctx context.Context) (revisions []revision, err error) {
	if err := r.Repository.Refresh(ctx); err != nil {
		return nil, err
	}
	changes, err := r.Repository.Changes(ctx, r.file)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		digest, err := digestAt(change.Content, r.Keys[""])
		if err != nil || digest.IsZero() {
			break
		}
		found := revision{Change: change, digest: digest, mark: parseMark(change.Note)}
		if strings.HasSuffix(change.Trailers[trailerImage], "@"+digest.String()) || len(r.Keys) > 1 {
			found.commit, _ = release.ParseCommit(change.Trailers[trailerCommit])
		}
		revisions = append(revisions, found)
	}
	for i := len(revisions) - 2; i >= 0; i-- { // a change of other values keeps the commit
		if revisions[i].commit == "" && revisions[i].digest == revisions[i+1].digest {
			revisions[i].commit = revisions[i+1].commit
		}
	}
	return revisions, r.checkNewest(ctx, revisions)
}

// checkNewest forgets the commit of the newest revision if somebody has changed its manifests since: what they run is not what the lock file says.
func (r *Release) checkNewest(ctx context.Context, revisions []revision) error {
	if !r.Manifests || len(revisions) == 0 {
		return nil
	}
	head, err := r.Repository.Head(ctx)
	if err != nil {
		return err
	}
	files, intact, err := r.filesAt(ctx, head)
	if err == nil && !intact {
		revisions[0].commit, revisions[0].byHand = "", files
	}
	return err
}

func parseMark(note string) release.Mark {
	switch mark := release.Mark(note); mark {
	case release.MarkReady, release.MarkProved, release.MarkFailed, release.MarkRolledBack:
		return mark
	}
	return ""
}

// History lists the revisions, newest first. The newest is what the branch wants to run.
func (r *Release) History(ctx context.Context, _ string) ([]release.Revision, error) {
	revisions, err := r.revisions(ctx)
	if err != nil {
		return nil, err
	}
	history := make([]release.Revision, len(revisions))
	for i, found := range revisions {
		history[i] = release.Revision{Number: found.Number, Status: "superseded", At: found.At, Commit: found.commit, Digest: found.digest, RunURL: found.Trailers[trailerRun],
			Mark: found.mark, Description: found.Subject}
		if i == 0 {
			history[i].Status = "deployed"
		}
		switch {
		case found.byHand != nil:
			r.Warn(fmt.Sprintf("the manifests beside %q are not those that it sums up: somebody has changed them by hand", r.file))
			if !r.main.IsZero() {
				history[i].References = imagesIn(found.byHand, r.main.Repository, found.digest)
			}
		case found.commit == "" && !r.main.IsZero():
			history[i].References = []string{r.main.Repository.At(found.digest).String()}
		}
	}
	return history, nil
}

// RollbackTarget finds the newest revision that smoke proved, or else that became ready. One with the digests that are deployed is no target.
func (r *Release) RollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error) {
	return r.target(ctx, deployment, func(revision) bool { return true })
}

// LiveRollbackTarget is RollbackTarget for the newest revision: one with its digest is no target.
func (r *Release) LiveRollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error) {
	var live *revision
	return r.target(ctx, deployment, func(candidate revision) bool {
		if live == nil {
			live = &candidate
		}
		return candidate.digest != live.digest || r.Manifests && !bytes.Equal(candidate.Content, live.Content)
	})
}

func (r *Release) target(ctx context.Context, deployment release.Deployment, may func(revision) bool) (release.RollbackTarget, error) {
	revisions, err := r.revisions(ctx)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	revisions = slices.DeleteFunc(revisions, func(candidate revision) bool { return !may(candidate) || r.deploysSame(candidate.Content, deployment) })
	for _, mark := range []release.Mark{release.MarkProved, release.MarkReady} {
		for _, candidate := range revisions {
			if candidate.mark != mark {
				continue
			}
			if r.Manifests {
				if _, intact, err := r.filesAt(ctx, candidate.Commit); err != nil {
					return release.RollbackTarget{}, err
				} else if !intact {
					r.Warn(fmt.Sprintf("commit %s is no target of a rollback: its manifests are not those that %q sums up", candidate.Commit.Short(), r.file))
					continue
				}
			}
			target := release.RollbackTarget{Revision: candidate.Number, Mark: mark, Commit: candidate.commit, Digest: candidate.digest, Namespaces: []string{deployment.Namespace}}
			if !deployment.Main().Image.IsZero() {
				target.Images = []release.Image{deployment.Main().Image.Repository.At(candidate.digest)}
			}
			return target, nil
		}
	}
	return release.RollbackTarget{Obstacles: []release.Obstacle{{What: fmt.Sprintf("no other digest in %q of branch %q has been verified yet", r.file, r.Repository.Branch)}}}, nil
}

// deploysSame reports whether a revision is what is deployed: the digests, and with Manifests every manifest.
func (r *Release) deploysSame(content []byte, deployment release.Deployment) bool {
	if r.Manifests {
		return bytes.Equal(content, r.next.files[LockFile])
	}
	return r.has(content, deployment.Images)
}

// has reports whether a values file has the digests of all images, of which there is at least one.
func (r *Release) has(content []byte, images []release.BuiltImage) bool {
	return len(images) > 0 && !slices.ContainsFunc(images, func(image release.BuiltImage) bool {
		digest, err := digestAt(content, r.Keys[image.Name])
		return err != nil || digest != image.Image.Digest
	})
}

// Rollback commits the digests of an earlier revision again, and watches as Deploy does. It refuses if somebody else has changed the digest since this deploy.
func (r *Release) Rollback(ctx context.Context, _ string, to int, wait release.Wait) (release.Deployed, error) {
	changes, err := r.Repository.Changes(ctx, r.file)
	if err != nil {
		return release.Deployed{}, err
	}
	at := slices.IndexFunc(changes, func(change configrepo.Change) bool { return change.Number == to })
	if at < 0 || r.deployed == nil {
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("change %d of %q is no longer in the history of the configuration branch", to, r.file)}
	}
	target := changes[at]
	deployment := *r.deployed
	if r.Manifests {
		return r.rollbackFiles(ctx, target, deployment, wait)
	}
	commit, pushed, err := r.Repository.Commit(ctx, r.file, func(content []byte) ([]byte, string, error) {
		for _, image := range deployment.Images {
			found, err := digestAt(content, r.Keys[image.Name])
			if err != nil || found != image.Image.Digest {
				return nil, "", &release.Refusal{Why: fmt.Sprintf("somebody else has changed the digest in %q since this deploy", r.file), Do: "see the newest commits of the configuration repository's branch, then revert them or deploy again"}
			}
		}
		return r.revert(content, target, deployment)
	})
	if err != nil {
		return release.Deployed{}, err
	}
	if !pushed {
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("change %d of %q has the same digests as the deploy that failed, so there is nothing to go back to", to, r.file)}
	}
	return r.follow(ctx, release.Deployed{Outcome: release.RolledBack}, commit, pushed, wait)
}

// rollbackFiles is Rollback for manifests.
func (r *Release) rollbackFiles(ctx context.Context, target configrepo.Change, deployment release.Deployment, wait release.Wait) (release.Deployed, error) {
	directory := path.Dir(r.file)
	files, err := r.Repository.Files(ctx, target.Commit, directory)
	if err != nil {
		return release.Deployed{}, err
	}
	earlier, err := own(files)
	if err != nil {
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("commit %s does not have the manifests of its deploy in %q", target.Commit.Short(), directory), Err: err}
	}
	images, err := r.earlierImages(target, deployment)
	if err != nil {
		return release.Deployed{}, err
	}
	commit, pushed, err := r.Repository.CommitFiles(ctx, directory, func(files configrepo.Files) (configrepo.Files, string, error) {
		if _, err := own(files); err != nil || !bytes.Equal(files[LockFile], r.next.files[LockFile]) {
			return nil, "", &release.Refusal{Why: fmt.Sprintf("somebody else has changed the manifests in %q since this deploy", directory), Do: "see the newest commits of the configuration repository's branch, then revert them or deploy again"}
		}
		next, err := r.replaceFiles(files, earlier)
		return next, r.revertMessage(target, deployment, images), err
	})
	if err != nil {
		return release.Deployed{}, err
	}
	if !pushed {
		return release.Deployed{}, &release.Failure{What: fmt.Sprintf("change %d of %q has the same manifests as the deploy that failed, so there is nothing to go back to", target.Number, r.file)}
	}
	return r.follow(ctx, release.Deployed{Outcome: release.RolledBack}, commit, pushed, wait)
}

// revert writes the digests of a target into a values file, with the message of the commit.
func (r *Release) revert(content []byte, target configrepo.Change, deployment release.Deployment) ([]byte, string, error) {
	images, err := r.earlierImages(target, deployment)
	if err != nil {
		return nil, "", err
	}
	next, err := r.withDigests(content, images)
	return next, r.revertMessage(target, deployment, images), err
}

// earlierImages returns the deployment's images with the digests of an earlier change.
func (r *Release) earlierImages(target configrepo.Change, deployment release.Deployment) ([]release.BuiltImage, error) {
	images := slices.Clone(deployment.Images)
	for i, image := range images {
		digest, err := digestAt(target.Content, r.Keys[image.Name])
		if err != nil || digest.IsZero() {
			return nil, &release.Failure{What: fmt.Sprintf("commit %s has no digest at %q of %q", target.Commit.Short(), r.Keys[image.Name], r.file), Err: err}
		}
		images[i].Image = image.Image.Repository.At(digest)
	}
	return images, nil
}

// revertMessage is the message of a commit that goes back to an earlier change.
func (r *Release) revertMessage(target configrepo.Change, deployment release.Deployment, images []release.BuiltImage) string {
	commit, _ := release.ParseCommit(target.Trailers[trailerCommit])
	subject, _, _ := strings.Cut(r.message(deployment), "\n")
	message := fmt.Sprintf("Revert %q\n\nThis reverts commit %s, and goes back to the digest of %s.\n\n", subject, r.commit, target.Commit)
	return message + r.trailers(deployment, images, commit)
}

// Mark records what is known of a revision as a git note.
func (r *Release) Mark(ctx context.Context, _ string, number int, mark release.Mark) error {
	changes, err := r.Repository.Changes(ctx, r.file)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(changes, func(change configrepo.Change) bool { return change.Number == number })
	if at < 0 {
		return &release.Failure{What: fmt.Sprintf("change %d of %q is not known any more", number, r.file)}
	}
	return r.Repository.Note(ctx, changes[at].Commit, r.file, string(mark), func(old string) bool { return mark.Replaces(parseMark(old)) })
}
