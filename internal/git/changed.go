package git

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// changed lists paths inside the directory, relative to it, that are not as the commit has them.
func (r repository) changed(ctx context.Context, prefix string) ([]string, error) {
	differing := &entries{tag: 3, wanted: func([]byte) bool { return true }}
	if err := r.stream(ctx, differing, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none", "--", "."); err != nil {
		return nil, r.fault(err, "comparing with its commit")
	}
	// Files flagged assume-unchanged (lower case) or skip-worktree (S, as in a sparse checkout) may be anything or absent,
	// and status is told not to look (git-ls-files(1), -v).
	hidden := &entries{tag: 2, wanted: func(tag []byte) bool { return tag[0] == 'S' || tag[0] >= 'a' && tag[0] <= 'z' }}
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

// entries picks the first paths of a NUL-ended list, of any length, whose entries begin with a tag of fixed width.
type entries struct {
	tag    int
	wanted func(tag []byte) bool
	paths  []string
	rest   []byte
}

func (e *entries) Write(chunk []byte) (int, error) {
	e.rest = append(e.rest, chunk...)
	for len(e.paths) < maxChanged {
		entry, rest, whole := bytes.Cut(e.rest, []byte{0})
		if !whole {
			return len(chunk), nil
		}
		if len(entry) > e.tag && e.wanted(entry[:e.tag]) {
			e.paths = append(e.paths, string(entry[e.tag:]))
		}
		e.rest = rest
	}
	e.rest = nil
	return len(chunk), nil
}
