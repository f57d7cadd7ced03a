package git

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Modes of entries of a tree (git-fast-import(1), filemodify).
const (
	modeExecutable = "100755"
	modeSymlink    = "120000"
	modeSubmodule  = "160000"
)

// entry is one file, symbolic link or submodule of a commit.
type entry struct{ mode, object string }

// commitTree is the tree of one commit, with the directory where it should be checked out. A submodule has its own commitTree.
type commitTree struct {
	repo       repository
	commit     string
	prefix     string // of its paths, relative to the top of the outermost work tree: "" or ending in a slash
	entries    map[string]entry
	paths      []string // of entries, sorted
	submodules map[string]*commitTree
	attributes committedAttributes
}

// readTree lists a commit. The error is an *exitError if the repository does not have it.
func readTree(ctx context.Context, repo repository, commit, prefix string) (*commitTree, error) {
	var listing bytes.Buffer
	if err := repo.stream(ctx, &listing, "ls-tree", "-r", "-z", "--full-tree", commit, "--"); err != nil {
		return nil, err
	}
	tree := &commitTree{repo: repo, commit: commit, prefix: prefix, entries: map[string]entry{}, submodules: map[string]*commitTree{},
		attributes: committedAttributes{foreign: map[string]string{}}}
	for line := range strings.SplitSeq(listing.String(), "\x00") {
		facts, name, found := strings.Cut(line, "\t") // git-ls-tree(1), "Output format": mode, type and object
		fields := strings.Fields(facts)
		if !found || len(fields) != 3 {
			continue
		}
		tree.entries[name] = entry{mode: fields[0], object: fields[2]}
		tree.paths = append(tree.paths, name)
	}
	slices.Sort(tree.paths)
	return tree, nil
}

// file returns the path on disk of a path in the repository.
func (t *commitTree) file(name string) string {
	return filepath.Join(t.repo.dir, filepath.FromSlash(name))
}

// hasBelow reports whether the commit has anything in a directory.
func (t *commitTree) hasBelow(dir string) bool {
	dir += "/"
	at, _ := slices.BinarySearch(t.paths, dir)
	return at < len(t.paths) && strings.HasPrefix(t.paths[at], dir)
}

// submoduleOf returns the submodule that is or contains a path, and the rest of the path; false if the path is in no submodule.
func (t *commitTree) submoduleOf(name string) (submodule, rest string, found bool) {
	for parent := name; parent != "." && parent != "/"; parent = path.Dir(parent) {
		if t.entries[parent].mode == modeSubmodule {
			return parent, strings.TrimPrefix(strings.TrimPrefix(name, parent), "/"), true
		}
	}
	return "", "", false
}

// Errors of submodule.
var (
	errNotCheckedOut = errors.New("not checked out")
	errNoSuchCommit  = errors.New("the submodule's repository lacks the commit")
)

// submodule returns the tree of the commit that t pins for a submodule. It reads it from the submodule's own repository,
// whichever commit is checked out there. The error is errNotCheckedOut if that repository is not on disk, errNoSuchCommit if it
// lacks the commit. Trees are cached.
func (t *commitTree) submodule(ctx context.Context, name string) (*commitTree, error) {
	if known, found := t.submodules[name]; found {
		return known, nil
	}
	inner := t.repo
	inner.dir = t.file(name)
	if _, err := os.Lstat(filepath.Join(inner.dir, ".git")); err != nil {
		return nil, errNotCheckedOut
	}
	tree, err := readTree(ctx, inner, t.entries[name].object, t.prefix+name+"/")
	var exit *exitError
	if errors.As(err, &exit) {
		return nil, errNoSuchCommit
	}
	if err != nil {
		return nil, inner.fault(err, "listing submodule %q in", name)
	}
	t.submodules[name] = tree
	return tree, nil
}
