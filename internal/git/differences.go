package git

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Differences compares an image's inputs with the commit, file by file and by content, and returns those that differ. It uses
// neither the index nor ignore rules, so that no index flag and no pattern hides a file. A submodule is compared with the commit
// that the outer commit names. dir is a directory of the work tree; environ is the environment of git, as in Inspect.
//
// A file that git converts at checkout is equal if .gitattributes alone determines the conversion. A Git LFS file is equal if it
// has the hash in its pointer.
//
// The errors are those of Inspect.
func Differences(ctx context.Context, environ []string, dir string, commit release.Commit, inputs release.Inputs) ([]release.Difference, error) {
	comparison, err := collect(ctx, environ, dir, commit, inputs)
	if err != nil {
		return nil, err
	}
	differences, err := comparison.run(ctx)
	for i := range differences {
		differences[i].Path = relativeTo(dir, comparison.root.repo.dir, differences[i].Path)
	}
	return differences, err
}

// relativeTo makes a path relative to dir that is relative to the top. It returns an absolute path unchanged.
func relativeTo(dir, top, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return path
	}
	below, err := filepath.Rel(resolved, filepath.Join(top, path))
	if err != nil {
		return path
	}
	return filepath.ToSlash(below)
}

// maxLinks is the largest number of symbolic links that are followed to one file, as on Linux (path_resolution(7)).
const maxLinks = 40

// comparison collects the paths to compare, then compares them.
type comparison struct {
	root        *commitTree // of the work tree that has dir; the trees of its submodules hang below it
	inputs      release.Inputs
	isLink      map[string]bool // by directory, on disk
	compared    map[string]bool // by path relative to the top
	paths       []string        // the keys of compared
	differences []release.Difference
}

func (c *comparison) addDifference(kind release.DifferenceKind, path, note string) {
	c.differences = append(c.differences, release.Difference{Kind: kind, Path: path, Note: note})
}

// addFile adds a file, and each symbolic link that is followed to reach it.
func (c *comparison) addFile(file string, links int) {
	below, inside := c.below(file)
	if !inside || links == 0 {
		if _, err := os.Lstat(file); err == nil {
			c.addDifference(release.OutsideWorkTree, file, "")
		}
		return
	}
	parts := strings.Split(below, string(filepath.Separator))
	at := c.root.repo.dir
	for i, part := range parts {
		next := filepath.Join(at, part)
		last := i == len(parts)-1
		if last && c.inputs.Links || !c.link(next) {
			at = next
			continue
		}
		c.add(filepath.ToSlash(filepath.Join(parts[:i+1]...)))
		target, err := os.Readlink(next)
		if err != nil {
			return
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(at, target)
		}
		c.addFile(filepath.Join(append([]string{target}, parts[i+1:]...)...), links-1)
		return
	}
	c.add(filepath.ToSlash(below))
}

// link reports whether a path is a symbolic link.
func (c *comparison) link(path string) bool {
	link, known := c.isLink[path]
	if !known {
		info, err := os.Lstat(path)
		link = err == nil && info.Mode()&fs.ModeSymlink != 0
		c.isLink[path] = link
	}
	return link
}

// below returns a path relative to the top of the work tree; false if the path is outside.
func (c *comparison) below(path string) (string, bool) {
	below, err := filepath.Rel(c.root.repo.dir, path)
	return below, err == nil && below != "." && filepath.IsLocal(below)
}

// add adds a path to compare, once.
func (c *comparison) add(path string) {
	if !c.compared[path] {
		c.compared[path] = true
		c.paths = append(c.paths, path)
	}
}

// addRule adds the commit's files that match a rule. Only this finds files that are missing on disk.
func (c *comparison) addRule(ctx context.Context, rule release.InputRule) error {
	dir, err := filepath.EvalSymlinks(rule.Dir)
	if err != nil {
		dir = rule.Dir // the directory is missing, with the files that the commit has in it
	}
	base := ""
	if dir != c.root.repo.dir {
		below, inside := c.below(dir)
		if !inside {
			return nil // its files are outside as well
		}
		base = filepath.ToSlash(below)
	}
	return c.addFrom(ctx, c.root, base, "", rule)
}

// addFrom adds the files of one tree that match a rule. base is the path of the rule's directory in the tree; above is the path
// of the tree in the rule's directory, if the tree is the inner one.
func (c *comparison) addFrom(ctx context.Context, tree *commitTree, base, above string, rule release.InputRule) error {
	if submodule, rest, found := tree.submoduleOf(base); base != "" && found {
		return c.addSubmodule(ctx, tree, submodule, func(inner *commitTree) error { return c.addFrom(ctx, inner, rest, above, rule) })
	}
	if base != "" {
		base += "/"
	}
	for _, path := range tree.paths {
		below, found := strings.CutPrefix(path, base)
		if !found {
			continue
		}
		below = above + below
		if tree.entries[path].mode != modeSubmodule {
			if rule.Matches(below) {
				c.add(tree.prefix + path)
			}
			continue
		}
		if !rule.MayContain(below) {
			continue
		}
		if err := c.addSubmodule(ctx, tree, path, func(inner *commitTree) error { return c.addFrom(ctx, inner, "", below+"/", rule) }); err != nil {
			return err
		}
	}
	return nil
}

// addSubmodule calls add with a submodule's tree, or records why there is none.
func (c *comparison) addSubmodule(ctx context.Context, tree *commitTree, path string, add func(*commitTree) error) error {
	inner, err := tree.submodule(ctx, path)
	if c.noteSubmodule(ctx, tree, path, err) {
		return nil
	}
	if err != nil {
		return err
	}
	return add(inner)
}

// noteSubmodule records the error of reading a submodule as a difference if it is one (not checked out, or without the commit), and reports
// whether it did.
func (c *comparison) noteSubmodule(ctx context.Context, tree *commitTree, path string, err error) bool {
	switch {
	case errors.Is(err, errNotCheckedOut):
		c.addDifference(release.AbsentSubmodule, tree.prefix+path, "")
	case errors.Is(err, errNoSuchCommit):
		inner := tree.repo
		inner.dir = tree.file(path)
		head, _ := inner.resolve(ctx, "HEAD")
		c.addDifference(release.OtherSubmodule, tree.prefix+path, "at "+head.Short())
	default:
		return false
	}
	return true
}

// run compares all paths and returns the differences, sorted by kind and path.
func (c *comparison) run(ctx context.Context) ([]release.Difference, error) {
	byTree := map[*commitTree][]string{}
	var trees []*commitTree
	for _, path := range c.paths {
		tree, rest, err := c.find(ctx, path)
		switch {
		case err != nil:
			return nil, err
		case tree == nil:
			continue
		case byTree[tree] == nil:
			trees = append(trees, tree)
		}
		byTree[tree] = append(byTree[tree], rest)
	}
	for _, tree := range trees {
		found, err := tree.compare(ctx, byTree[tree], c.inputs)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 && tree != c.root {
			found = tree.otherCommit(ctx, found)
		}
		c.differences = append(c.differences, found...)
	}
	slices.SortFunc(c.differences, func(a, b release.Difference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Path, b.Path))
	})
	return slices.Compact(c.differences), nil
}

// find returns the innermost tree that contains a path, and the path in it. It returns nil if the path's submodule cannot be
// read, and records why.
func (c *comparison) find(ctx context.Context, path string) (*commitTree, string, error) {
	tree := c.root
	for {
		submodule, rest, found := tree.submoduleOf(path)
		if !found || rest == "" {
			return tree, path, nil
		}
		inner, err := tree.submodule(ctx, submodule)
		if c.noteSubmodule(ctx, tree, submodule, err) {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		tree, path = inner, rest
	}
}

// otherCommit replaces the differences in a submodule by a single one, if another commit is checked out in it.
func (t *commitTree) otherCommit(ctx context.Context, differences []release.Difference) []release.Difference {
	head, err := t.repo.resolve(ctx, "HEAD")
	if err != nil || head.String() == t.commit {
		return differences
	}
	return []release.Difference{{Kind: release.OtherSubmodule, Path: strings.TrimSuffix(t.prefix, "/"), Note: "at " + head.Short()}}
}
