package git

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
)

// pathsPerCommand keeps a command line far below the limit of any system.
const pathsPerCommand = 400

// UncommittedFiles returns those of the files, at most 20, that are not in the checked-out commit of dir's work tree or
// differ from it: outside the work tree, untracked, ignored, or changed. The files are absolute paths. The result holds
// absolute paths of files outside the work tree, and paths relative to its top of files inside. The errors are those of
// Inspect.
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
	var uncommitted, inside []string
	for _, file := range files {
		below, err := filepath.Rel(repo.dir, file)
		if err != nil || below == ".." || strings.HasPrefix(below, ".."+string(filepath.Separator)) {
			uncommitted = append(uncommitted, file)
			continue
		}
		inside = append(inside, below)
	}
	for paths := range slices.Chunk(inside, pathsPerCommand) {
		differing := &pathCollector{tagLength: 3, matches: func([]byte) bool { return true }}
		args := append([]string{"--literal-pathspecs", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=traditional", "--"}, paths...)
		if err := repo.stream(ctx, differing, args...); err != nil {
			return nil, repo.fault(err, "listing uncommitted files of")
		}
		uncommitted = append(uncommitted, differing.paths...)
	}
	slices.Sort(uncommitted)
	uncommitted = slices.Compact(uncommitted)
	return uncommitted[:min(maxChanged, len(uncommitted))], nil
}
