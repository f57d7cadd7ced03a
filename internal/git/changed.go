package git

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// changed lists the paths inside the directory, relative to it, that differ from the commit according to git. Files that a flag
// of the index hides are missing; Differences finds those that enter an image.
func (r repository) changed(ctx context.Context, prefix string) ([]string, error) {
	differing := &pathCollector{}
	if err := r.stream(ctx, differing, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none", "--", "."); err != nil {
		return nil, r.fault(err, "comparing with its commit")
	}
	paths := differing.paths
	for i, path := range paths {
		paths[i] = strings.TrimPrefix(path, prefix)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	return paths[:min(maxChanged, len(paths))], nil
}

// statusLength is the length of the status before a path (git-status(1), "Short Format").
const statusLength = len("XY ")

// pathCollector is a writer for a list of NUL-terminated entries, each a status and a path. It keeps the first paths, so that the
// list may have any length.
type pathCollector struct {
	paths []string
	rest  []byte // an entry that is not complete yet
}

// Write adds the complete entries of a chunk and keeps an incomplete one for the next chunk.
func (c *pathCollector) Write(chunk []byte) (int, error) {
	c.rest = append(c.rest, chunk...)
	for len(c.paths) < maxChanged {
		entry, rest, complete := bytes.Cut(c.rest, []byte{0})
		if !complete {
			return len(chunk), nil
		}
		if len(entry) > statusLength {
			c.paths = append(c.paths, string(entry[statusLength:]))
		}
		c.rest = rest
	}
	c.rest = nil
	return len(chunk), nil
}
