package git

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
)

// pathsAtOnce keeps a command line far below what any system takes.
const pathsAtOnce = 400

// UncommittedFiles picks the files, at most 20, that the commit checked out around dir does not hold as they are: outside the work
// tree, untracked, ignored, or changed. Files are absolute; so are the answers, but for those inside the work tree, which
// are relative to its top. The errors are Inspect's.
func UncommittedFiles(ctx context.Context, environ []string, dir string, files []string) ([]string, error) {
	repo, err := open(environ, dir)
	if err != nil {
		return nil, err
	}
	top, err := repo.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, repo.fault(err, "finding the top of")
	}
	repo.dir = strings.TrimRight(top, "\n")
	var strays, inside []string
	for _, file := range files {
		below, err := filepath.Rel(repo.dir, file)
		if err != nil || below == ".." || strings.HasPrefix(below, ".."+string(filepath.Separator)) {
			strays = append(strays, file)
			continue
		}
		inside = append(inside, below)
	}
	for paths := range slices.Chunk(inside, pathsAtOnce) {
		differing := &entries{tag: 3, wanted: func([]byte) bool { return true }}
		args := append([]string{"--literal-pathspecs", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=traditional", "--"}, paths...)
		if err := repo.stream(ctx, differing, args...); err != nil {
			return nil, repo.fault(err, "looking for ignored files in")
		}
		strays = append(strays, differing.paths...)
	}
	slices.Sort(strays)
	strays = slices.Compact(strays)
	return strays[:min(maxChanged, len(strays))], nil
}
