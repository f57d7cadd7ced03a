package configrepo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Limits of a directory that is read: the number of its files, and the bytes of each, which are those that git's output may have.
const (
	maxFiles = 2000
	MaxFile  = 1<<20 - 1
)

// Files are the files below a directory by their paths in it, with slashes.
type Files map[string][]byte

// Files returns the files below a directory of a commit, none if the commit does not have it. The path is relative to the top, "." for the top itself. A symbolic link or a submodule on the way
// to the directory or below it is an *release.InputError.
func (r *Repository) Files(ctx context.Context, commit release.Commit, dir string) (Files, error) {
	if err := r.checkDirectory(ctx, commit, dir); err != nil {
		return nil, err
	}
	out, err := r.git(ctx, "ls-tree", "-r", "-z", "--full-tree", commit.String(), "--", inDirectory(dir))
	if err != nil {
		return nil, r.fault(err, "listing %q of", dir)
	}
	files := Files{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		about, name, found := strings.Cut(entry, "\t") // mode, type, object. Source: git-ls-tree(1), "Output format"
		if !found {
			continue
		}
		if !strings.HasPrefix(about, "100") {
			return nil, notAFile(name)
		}
		content, err := r.Read(ctx, commit, name)
		if err != nil {
			return nil, err
		}
		if len(content) > MaxFile || len(files) == maxFiles {
			return nil, release.BadSetting("config-path", fmt.Sprintf("%q has more than %d files, or %q has more than %d bytes", dir, maxFiles, name, MaxFile), "name a directory for the manifests of this release alone")
		}
		files[strings.TrimPrefix(name, prefixOf(dir))] = content
	}
	return files, nil
}

// checkDirectory refuses a path of which a part is anything but a directory in the commit.
func (r *Repository) checkDirectory(ctx context.Context, commit release.Commit, dir string) error {
	for part := dir; part != "."; part = path.Dir(part) {
		out, err := r.git(ctx, "ls-tree", "-z", "--full-tree", commit.String(), "--", part)
		if err != nil {
			return r.fault(err, "listing %q of", part)
		}
		if out != "" && !strings.HasPrefix(out, "040000 tree ") {
			return notAFile(part)
		}
	}
	return nil
}

func notAFile(name string) error {
	return release.BadSetting("config-path", fmt.Sprintf("%q is a symbolic link, a submodule or a file where a directory is wanted", name), "name a directory of plain files")
}

// inDirectory is a directory as git's commands match what is below it.
func inDirectory(dir string) string {
	if dir == "." {
		return "."
	}
	return dir + "/"
}

func prefixOf(dir string) string {
	if dir == "." {
		return ""
	}
	return dir + "/"
}

// CommitFiles is Commit for the files below a directory, which does not have to exist. change returns all of them; a file that it does not return is removed.
func (r *Repository) CommitFiles(ctx context.Context, dir string, change func(files Files) (changed Files, message string, err error)) (commit release.Commit, pushed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.push(ctx, func() (release.Commit, bool, error) { return r.commitFiles(ctx, dir, change) })
}

// ProposeFiles is Propose for the files below a directory.
func (r *Repository) ProposeFiles(ctx context.Context, dir, branch string, change func(files Files) (changed Files, message string, err error)) (commit release.Commit, proposed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.propose(ctx, branch, func() (release.Commit, bool, error) { return r.commitFiles(ctx, dir, change) })
}

// commitFiles commits the change of a directory on top of the fetched branch. It writes to git's index alone, so that nothing in the work tree can lead elsewhere.
func (r *Repository) commitFiles(ctx context.Context, dir string, change func(Files) (Files, string, error)) (commit release.Commit, changed bool, err error) {
	head, err := r.Head(ctx)
	if err != nil {
		return "", false, err
	}
	before, err := r.Files(ctx, head, dir)
	if err != nil {
		return "", false, err
	}
	after, message, err := change(maps.Clone(before))
	if err != nil || maps.EqualFunc(before, after, bytes.Equal) {
		return head, false, err
	}
	if err := r.stage(ctx, dir, before, after); err != nil {
		return "", false, err
	}
	return r.record(ctx, dir, message)
}

// stage writes the difference of two states of a directory to the index. Source: git-update-index(1), "Using --index-info".
func (r *Repository) stage(ctx context.Context, dir string, before, after Files) error {
	if len(after) > maxFiles { // Files could not read them again
		return release.BadSetting("config-path", fmt.Sprintf("%q would have %d files, and %d are the most", dir, len(after), maxFiles), "let the chart render fewer objects, or move the other files elsewhere")
	}
	var info strings.Builder
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, stays := after[name]; !stays {
			fmt.Fprintf(&info, "0 %040d\t%s%s\x00", 0, prefixOf(dir), name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if old, had := before[name]; had && bytes.Equal(old, after[name]) {
			continue
		}
		object, err := r.run(ctx, bytes.NewReader(after[name]), "hash-object", "-w", "--stdin")
		if err != nil {
			return r.fault(err, "writing %q to", name)
		}
		fmt.Fprintf(&info, "100644 %s\t%s%s\x00", strings.TrimSpace(object), prefixOf(dir), name)
	}
	if _, err := r.run(ctx, strings.NewReader(info.String()), "update-index", "-z", "--index-info"); err != nil {
		return r.fault(err, "writing %q to", dir)
	}
	return nil
}
