package configrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
)

// attempts is how often a push is tried while others push to the same branch.
const attempts = 6

// The author of commits where git's configuration names none.
const (
	defaultName  = "onedigest"
	defaultEmail = "noreply@onedigest.dev"
)

// Commit changes one file on the branch and pushes that as one commit. change gets the file's content on the newest commit of the branch, and returns the new
// content and the commit's message; it is called again if somebody else has pushed in between. If it changes nothing, nothing is committed, and the newest commit is returned. The commit is signed if git's configuration
// says so (commit.gpgSign).
func (r *Repository) Commit(ctx context.Context, file string, change func(content []byte) (changed []byte, message string, err error)) (commit release.Commit, pushed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.push(ctx, func() (release.Commit, bool, error) { return r.commitFile(ctx, file, change) })
}

// push makes a commit on top of the newest one and pushes it; again if somebody else has pushed in between.
func (r *Repository) push(ctx context.Context, next func() (commit release.Commit, changed bool, err error)) (commit release.Commit, pushed bool, err error) {
	for attempt := 1; ; attempt++ {
		if err := r.refresh(ctx); err != nil {
			return "", false, err
		}
		commit, changed, err := next()
		if err != nil || !changed {
			return commit, false, err
		}
		_, err = r.git(ctx, "push", "--quiet", "--no-verify", r.URL, commit.String()+":refs/heads/"+r.Branch)
		if err == nil {
			_, err = r.git(ctx, "update-ref", tracking, commit.String())
			return commit, true, err
		}
		if !lostRace(err) || attempt == attempts || ctx.Err() != nil {
			return "", false, refused(r.fault(err, "pushing to branch %q of", r.Branch))
		}
	}
}

// Propose pushes a change like that of Commit to a branch of its own on top of the newest commit, in place of an older proposal. If it changes nothing, nothing is pushed, and if the branch has the same proposal
// already, it stays as it is.
func (r *Repository) Propose(ctx context.Context, file, branch string, change func(content []byte) (changed []byte, message string, err error)) (commit release.Commit, proposed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.propose(ctx, branch, func() (release.Commit, bool, error) { return r.commitFile(ctx, file, change) })
}

// propose makes a commit on top of the newest one and pushes it to a branch of its own.
func (r *Repository) propose(ctx context.Context, branch string, next func() (commit release.Commit, changed bool, err error)) (commit release.Commit, proposed bool, err error) {
	if err := r.refresh(ctx); err != nil {
		return "", false, err
	}
	commit, changed, err := next()
	if err != nil || !changed {
		return commit, false, err
	}
	if _, err := r.git(ctx, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", r.URL, "+refs/heads/"+branch+":"+proposal); err == nil && r.same(ctx, proposal, "HEAD") {
		commit, err = r.commit(ctx, proposal)
		return commit, true, err
	}
	if _, err = r.git(ctx, "push", "--quiet", "--no-verify", r.URL, "+"+commit.String()+":refs/heads/"+branch); err != nil {
		return "", false, refused(r.fault(err, "pushing to branch %q of", branch))
	}
	return commit, true, nil
}

// proposal is the reference of an older proposal.
const proposal = "refs/remotes/origin/proposal"

// same reports whether two commits have the same content and the same parent.
func (r *Repository) same(ctx context.Context, a, b string) bool {
	one, err := r.git(ctx, "rev-parse", a+"^{tree}", a+"^1")
	if err != nil {
		return false
	}
	other, err := r.git(ctx, "rev-parse", b+"^{tree}", b+"^1")
	return err == nil && one == other
}

// lostRace reports whether a push was refused because somebody else has pushed since the fetch.
func lostRace(err error) bool {
	for _, sign := range []string{"(fetch first)", "(non-fast-forward)", "cannot lock ref", "failed to lock", "incorrect old value provided"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}

// refused adds what to do if the remote does not let this user push.
func refused(err error) error {
	var fault *release.Fault
	if errors.As(err, &fault) {
		fault.Do = "let the run's credentials push to the branch, without force"
	}
	return err
}

// commitFile commits the change of one file on top of the fetched branch.
func (r *Repository) commitFile(ctx context.Context, file string, change func([]byte) ([]byte, string, error)) (commit release.Commit, changed bool, err error) {
	head, err := r.Head(ctx)
	if err != nil {
		return "", false, err
	}
	content, err := r.Read(ctx, head, file)
	if err != nil {
		return "", false, err
	}
	if content == nil {
		return "", false, release.BadSetting("config-file", fmt.Sprintf("%q does not exist on branch %q any more", file, r.Branch), "name a file of the branch")
	}
	next, message, err := change(content)
	if err != nil || bytes.Equal(next, content) {
		return head, false, err
	}
	if err := r.write(file, next); err != nil {
		return "", false, err
	}
	if _, err := r.git(ctx, "add", "--", file); err != nil {
		return "", false, r.fault(err, "committing %q to", file)
	}
	return r.record(ctx, file, message)
}

// record commits what the index has.
func (r *Repository) record(ctx context.Context, subject, message string) (commit release.Commit, changed bool, err error) {
	identity, err := r.identity(ctx)
	if err != nil {
		return "", false, err
	}
	if _, err := r.git(ctx, append(identity, "commit", "--quiet", "--no-verify", "--cleanup=verbatim", "--message", message)...); err != nil {
		return "", false, r.fault(err, "committing %q to", subject)
	}
	commit, err = r.commit(ctx, "HEAD")
	return commit, true, err
}

// write replaces a file of the work tree. The file must be a regular one in directories that are none but directories, as a commit may have symbolic links.
func (r *Repository) write(file string, content []byte) error {
	target := filepath.Join(r.dir, filepath.FromSlash(file))
	if actual, err := filepath.EvalSymlinks(target); err != nil || actual != target {
		return release.BadSetting("config-file", fmt.Sprintf("%q is reached by a symbolic link", file), "name the file itself")
	}
	return os.WriteFile(target, content, 0o600)
}

// identity returns the settings of the author where git's configuration has none.
func (r *Repository) identity(ctx context.Context) ([]string, error) {
	_, err := r.git(ctx, "config", "--get", "user.email")
	if status, ended := git.ExitStatus(err); ended && status == 1 { // git-config(1): no such key
		return []string{"-c", "user.name=" + defaultName, "-c", "user.email=" + defaultEmail}, nil
	}
	return nil, err
}

// Note sets what is known of a commit about a file, as a git note that is pushed. The newest note about a file replaces an older one if replaces says so.
func (r *Repository) Note(ctx context.Context, commit release.Commit, file, value string, replaces func(old string) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for attempt := 1; ; attempt++ {
		if err := r.refresh(ctx); err != nil {
			return err
		}
		known := r.note(ctx, commit)
		if !replaces(known[file]) {
			return nil
		}
		known[file] = value
		identity, err := r.identity(ctx)
		if err != nil {
			return err
		}
		if _, err := r.git(ctx, append(identity, "notes", "--ref", notes, "add", "--force", "--message", formatNote(known), commit.String())...); err != nil {
			return r.fault(err, "adding a note to %q of", commit.Short())
		}
		_, err = r.git(ctx, "push", "--quiet", "--no-verify", r.URL, notes+":"+notes)
		if err == nil {
			return nil
		}
		if !lostRace(err) || attempt == attempts || ctx.Err() != nil {
			return refused(r.fault(err, "pushing %q to", notes))
		}
	}
}
