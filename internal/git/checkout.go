package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// CheckedOut compares the commits from which files and directories are checked out with another commit, each in its own
// repository, and says which of them have uncommitted changes. environ is the environment of git, as in Inspect. The error says why the
// checked-out commit is unknown or cannot be compared.
func CheckedOut(ctx context.Context, environ []string, paths []string, commit release.Commit) (release.CheckedOut, error) {
	found := release.CheckedOut{Commit: commit}
	for _, path := range paths {
		dir, name := path, ""
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			dir, name = filepath.Split(path)
		}
		repo, err := open(environ, dir)
		if err != nil {
			return found, err
		}
		head, err := repo.resolve(ctx, "HEAD")
		var exit *exitError
		switch {
		case ctx.Err() != nil:
			return found, context.Cause(ctx)
		case errors.As(err, &exit) && strings.Contains(exit.stderr, "not a git repository"):
			return found, fmt.Errorf("%q is in no git work tree", path)
		case err != nil:
			return found, fmt.Errorf("reading which commit of %q is checked out: %w", path, err)
		}
		changed, err := repo.hasChanges(ctx, name)
		if err != nil {
			return found, fmt.Errorf("reading whether %q is changed: %w", path, err)
		}
		if changed {
			found.Uncommitted = append(found.Uncommitted, path)
		}
		switch {
		case head == commit:
			continue
		case !repo.has(ctx, commit):
			return release.CheckedOut{Commit: head, Unknown: true}, context.Cause(ctx)
		}
		if found.Commit == commit {
			found.Commit = head
		}
		now, err := repo.entry(ctx, head, name)
		if err == nil {
			var then string
			if then, err = repo.entry(ctx, commit, name); now != then {
				found.Differing = append(found.Differing, path)
			}
		}
		if err != nil {
			return found, fmt.Errorf("comparing %q with commit %s: %w", path, commit.Short(), err)
		}
	}
	return found, context.Cause(ctx)
}

// hasChanges reports whether a path of the repository's directory, the directory itself for "", has changed, new or ignored files.
func (r repository) hasChanges(ctx context.Context, name string) (bool, error) {
	out, err := r.git(ctx, "status", "--porcelain", "--untracked-files=all", "--ignored", "--", "./"+name)
	return out != "", err
}

// entry returns what a commit has at a path of the repository's directory, of the directory itself for "": modes, hashes and names; "" if the
// commit does not have the path.
func (r repository) entry(ctx context.Context, commit release.Commit, name string) (string, error) {
	return r.git(ctx, "ls-tree", commit.String(), "./"+name)
}
