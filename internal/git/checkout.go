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
// repository. It ignores uncommitted changes. environ is the environment of git, as in Inspect. The error says why the
// checked-out commit is unknown.
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
		case head == commit:
			continue
		case !repo.has(ctx, commit):
			return release.CheckedOut{Commit: head, Unknown: true}, context.Cause(ctx)
		}
		if found.Commit == commit {
			found.Commit = head
		}
		if repo.entry(ctx, head, name) != repo.entry(ctx, commit, name) {
			found.Differing = append(found.Differing, path)
		}
	}
	return found, context.Cause(ctx)
}

// entry returns the hash of a path of the repository's directory in a commit, of the directory itself for ""; "" if the commit
// does not have the path.
func (r repository) entry(ctx context.Context, commit release.Commit, name string) string {
	out, err := r.git(ctx, "rev-parse", "--verify", commit.String()+":./"+name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}
