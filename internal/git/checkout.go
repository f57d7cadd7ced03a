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
// repository, and says which of them the work tree has otherwise than the commit that is checked out. The comparison is that of Differences: neither
// flags of the index nor ignore rules nor filters hide a change, and a file with the commit's own bytes, such as the pointer of a file of Git LFS, is none. environ is the environment of git, as in Inspect. The error says why the
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
		inputs, err := repo.inputsAt(ctx, path)
		if err != nil {
			return found, fmt.Errorf("listing the files of %q: %w", path, err)
		}
		changed, err := Differences(ctx, environ, dir, head, inputs)
		if err != nil {
			return found, fmt.Errorf("reading whether %q is changed: %w", path, err)
		}
		if len(changed) > 0 {
			if len(found.Uncommitted) == 0 {
				found.Change = changed[0]
			}
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
		differs, err := repo.differs(ctx, head, commit, name)
		if err == nil && !differs && len(changed) == 0 { // a link may lead to a file that differs, an attribute may change a file at checkout
			var others []release.Difference
			others, err = Differences(ctx, environ, dir, commit, inputs)
			differs = len(others) > 0
		}
		if err != nil {
			return found, fmt.Errorf("comparing %q with commit %s: %w", path, commit.Short(), err)
		}
		if differs {
			found.Differing = append(found.Differing, path)
		}
	}
	return found, context.Cause(ctx)
}

// inputsAt returns a file, or all files below a directory, for Differences: those that the work tree has, and those that a commit has.
func (r repository) inputsAt(ctx context.Context, path string) (release.Inputs, error) {
	top, err := r.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return release.Inputs{}, err
	}
	path, err = belowTop(path, filepath.FromSlash(strings.TrimRight(top, "\n")))
	if err != nil {
		return release.Inputs{}, err
	}
	inputs := release.Inputs{Stored: true}
	err = addFiles(ctx, &inputs, path)
	return inputs, err
}

// belowTop returns a path as one below the top of its work tree, which has no links. Links below the top stay, because the commit has them.
func belowTop(path, top string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for above := path; ; above = filepath.Dir(above) {
		if resolved, err := filepath.EvalSymlinks(above); err == nil && resolved == top {
			below, err := filepath.Rel(above, path)
			return filepath.Join(top, below), err
		}
		if above == filepath.Dir(above) { // a link leads into this work tree
			return filepath.EvalSymlinks(path)
		}
	}
}

// maxEntries is how many entries of a directory and those below it are compared at most, as many as of a chart are read.
const maxEntries = 50_000

// addFiles adds a file, or all files below a directory. A link to a directory below it is a file: no chart with one is rendered, and one may lead to all files of the machine, or to itself again.
func addFiles(ctx context.Context, inputs *release.Inputs, path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		inputs.Files = append(inputs.Files, path) // one that is missing or leads nowhere is compared as such
		return nil
	}
	inputs.Rules = append(inputs.Rules, release.InputRule{Dir: path, Matches: anyPath, MayContain: anyPath})
	left := maxEntries
	return addBelow(ctx, inputs, path, &left)
}

// addBelow adds the files below a directory. left is how many entries may still be read.
func addBelow(ctx context.Context, inputs *release.Inputs, dir string, left *int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if *left -= len(entries); *left < 0 {
		return fmt.Errorf("it has more than %d entries", maxEntries)
	}
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case entry.Name() == ".git": // the repository's own, or the file that a submodule has
		case !entry.IsDir():
			inputs.Files = append(inputs.Files, name)
		default:
			if err := addBelow(ctx, inputs, name, left); err != nil {
				return err
			}
		}
	}
	return nil
}

func anyPath(string) bool { return true }

// differs reports whether two commits have something else at a path of the repository's directory, at the directory itself for "".
func (r repository) differs(ctx context.Context, one, other release.Commit, name string) (bool, error) {
	now, err := r.entry(ctx, one, name)
	if err != nil {
		return false, err
	}
	then, err := r.entry(ctx, other, name)
	return now != then, err
}

// entry returns what a commit has at a path of the repository's directory, of the directory itself for "": modes, hashes and names; "" if the
// commit does not have the path.
func (r repository) entry(ctx context.Context, commit release.Commit, name string) (string, error) {
	return r.git(ctx, "ls-tree", commit.String(), "./"+name)
}
