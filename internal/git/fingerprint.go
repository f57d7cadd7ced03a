package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Fingerprint returns a hash of an image's inputs in a commit: the path, mode and blob of each input, and of every .gitattributes, because
// attributes change files at checkout. Two commits with the same fingerprint have the same inputs. A path counts if it is
// an input in the commit or in the work tree; its content is the commit's, and a path that the commit lacks adds nothing. The errors are those of Differences.
func Fingerprint(ctx context.Context, environ []string, dir string, commit release.Commit, inputs release.Inputs) (string, error) {
	collected, err := collect(ctx, environ, dir, commit, inputs)
	if err != nil {
		return "", err
	}
	for _, name := range collected.paths {
		if _, _, err := collected.find(ctx, name); err != nil { // find reads the submodules that have inputs, for addAttributes
			return "", err
		}
	}
	collected.addAttributes(collected.root)
	slices.Sort(collected.paths)
	sum := sha256.New()
	for _, name := range collected.paths {
		tree, rest, err := collected.find(ctx, name)
		if err != nil {
			return "", err
		}
		if tree == nil {
			return "", fmt.Errorf("%q is in a submodule that cannot be read", name)
		}
		if entry, found := tree.entries[rest]; found {
			fmt.Fprintf(sum, "%s %s %q\n", entry.mode, entry.object, name)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// addAttributes adds each .gitattributes of a tree, and of the submodules in it that were read.
func (c *comparison) addAttributes(tree *commitTree) {
	for _, name := range tree.paths {
		if path.Base(name) == attributesFile {
			c.add(tree.prefix + name)
		}
	}
	for _, inner := range tree.submodules {
		c.addAttributes(inner)
	}
}

// collect lists the paths of the inputs, those that the commit has and those that the work tree has.
func collect(ctx context.Context, environ []string, dir string, commit release.Commit, inputs release.Inputs) (*comparison, error) {
	repo, err := open(environ, dir)
	if err != nil {
		return nil, err
	}
	top, err := repo.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, repo.fault(err, "finding the top of")
	}
	repo.dir = filepath.FromSlash(strings.TrimRight(top, "\n"))
	tree, err := readTree(ctx, repo, commit.String(), "")
	if err != nil {
		return nil, repo.fault(err, "listing commit %q of", commit.Short())
	}
	comparison := &comparison{root: tree, inputs: inputs, isLink: map[string]bool{}, compared: map[string]bool{}}
	for _, file := range inputs.Files {
		comparison.addFile(file, maxLinks)
	}
	for _, rule := range inputs.Rules {
		if err := comparison.addRule(ctx, rule); err != nil {
			return nil, err
		}
	}
	return comparison, nil
}

// Ancestors returns the commits before one, the nearest first, along the first parents: on a main branch these are the commits that
// it had. It returns fewer than limit where the history begins or is cut off.
func Ancestors(ctx context.Context, environ []string, dir string, commit release.Commit, limit int) ([]release.Commit, error) {
	repo, err := open(environ, dir)
	if err != nil {
		return nil, err
	}
	out, err := repo.git(ctx, "rev-list", "--first-parent", "--skip=1", "--max-count="+strconv.Itoa(limit), commit.String(), "--")
	if err != nil {
		return nil, repo.fault(err, "listing the commits before %q of", commit.Short())
	}
	var commits []release.Commit
	for line := range strings.Lines(out) {
		ancestor, err := release.ParseCommit(strings.TrimSpace(line))
		if err != nil {
			return nil, repo.fault(err, "listing the commits before %q of", commit.Short())
		}
		commits = append(commits, ancestor)
	}
	return commits, nil
}

// IsShallow reports whether the history of the repository that dir belongs to is cut off.
func IsShallow(ctx context.Context, environ []string, dir string) (bool, error) {
	repo, err := open(environ, dir)
	if err != nil {
		return false, err
	}
	return repo.isShallow(ctx)
}

// Object returns the SHA-256 of a commit's object, as Source.Object; false if the repository does not have the commit.
func Object(ctx context.Context, environ []string, dir string, commit release.Commit) ([32]byte, bool, error) {
	repo, err := open(environ, dir)
	if err != nil {
		return [32]byte{}, false, err
	}
	if !repo.has(ctx, commit) {
		return [32]byte{}, false, ctx.Err()
	}
	object, err := repo.objectHash(ctx, commit)
	return object, err == nil, err
}
