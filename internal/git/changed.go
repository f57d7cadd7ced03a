package git

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// changed lists the paths inside the directory, relative to it, that differ from the commit.
func (r repository) changed(ctx context.Context, prefix string) ([]string, error) {
	differing := &pathCollector{tagLength: 3, matches: func([]byte) bool { return true }}
	if err := r.stream(ctx, differing, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none", "--", "."); err != nil {
		return nil, r.fault(err, "comparing with its commit")
	}
	// Files flagged assume-unchanged (lower case) or skip-worktree (S, as in a sparse checkout) may be anything or absent,
	// and status ignores them (git-ls-files(1), -v).
	hidden := &pathCollector{tagLength: 2, matches: func(tag []byte) bool { return tag[0] == 'S' || tag[0] >= 'a' && tag[0] <= 'z' }}
	if err := r.stream(ctx, hidden, "ls-files", "-z", "-v", "--full-name", "--", "."); err != nil {
		return nil, r.fault(err, "listing the files of")
	}
	paths := slices.Concat(differing.paths, hidden.paths)
	for i, path := range paths {
		paths[i] = strings.TrimPrefix(path, prefix)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	return paths[:min(maxChanged, len(paths))], nil
}

// pathCollector is a writer for a list of any length of NUL-terminated entries, each a tag of fixed length and a path. It
// keeps the first paths whose tag matches.
type pathCollector struct {
	tagLength int
	matches   func(tag []byte) bool
	paths     []string
	rest      []byte // an entry that is not complete yet
}

func (c *pathCollector) Write(chunk []byte) (int, error) {
	c.rest = append(c.rest, chunk...)
	for len(c.paths) < maxChanged {
		entry, rest, complete := bytes.Cut(c.rest, []byte{0})
		if !complete {
			return len(chunk), nil
		}
		if len(entry) > c.tagLength && c.matches(entry[:c.tagLength]) {
			c.paths = append(c.paths, string(entry[c.tagLength:]))
		}
		c.rest = rest
	}
	c.rest = nil
	return len(chunk), nil
}
