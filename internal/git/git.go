// Package git reads a work tree with the git program. It writes nothing: no ref, no index, no lock.
package git

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
)

// maxChanged is how many changed paths are listed.
const maxChanged = 20

const (
	settingContext = "context"
	settingCommit  = "commit"
)

// Inspect describes what is built: the commit that is checked out in dir's work tree, its time and hash, the URL of origin, the nearest go.work above dir,
// and the paths inside dir that git reports as different from the commit: changed, deleted, staged, or untracked and not ignored. The commit is any revision that git
// understands, "" for HEAD; it must be the one that is checked out, because the work tree is what is built. environ is the
// environment of git; variables that would point git at another repository are removed.
//
// A directory that is not in a work tree, a repository without a commit, and a commit that is unknown or not checked out
// are an *release.InputError; a git that is missing or fails in another way is a *release.Fault.
func Inspect(ctx context.Context, environ []string, dir, commit string) (release.Source, error) {
	repo, err := open(environ, dir)
	if err != nil {
		return release.Source{}, err
	}
	prefix, err := repo.prefix(ctx)
	if err != nil {
		return release.Source{}, err
	}
	source := release.Source{Path: path.Clean("./" + prefix)}
	if source.Commit, err = repo.checkedOut(ctx, commit); err != nil {
		return release.Source{}, err
	}
	if source.Object, err = repo.objectHash(ctx, source.Commit); err != nil {
		return release.Source{}, err
	}
	if source.Created, err = repo.committerTime(ctx, source.Commit); err != nil {
		return release.Source{}, err
	}
	if source.URL, err = repo.originURL(ctx); err != nil {
		return release.Source{}, err
	}
	if source.GoWork, err = repo.fileAbove(ctx, source.Commit, source.Path, "go.work"); err != nil {
		return release.Source{}, err
	}
	source.Changed, err = repo.changed(ctx, prefix)
	return source, err
}

// fileAbove returns the file of a name that a commit has in the nearest directory above a directory, relative to the top; "" if there is none.
func (r repository) fileAbove(ctx context.Context, commit release.Commit, dir, name string) (string, error) {
	var candidates []string // the nearest first
	for dir != "." {
		dir = path.Dir(dir)
		candidates = append(candidates, path.Join(dir, name))
	}
	if len(candidates) == 0 {
		return "", nil
	}
	out, err := r.git(ctx, append([]string{"ls-tree", "-z", "--full-tree", commit.String(), "--"}, candidates...)...)
	if err != nil {
		return "", r.fault(err, "looking for %q in", name)
	}
	var found []string
	for entry := range strings.SplitSeq(out, "\x00") {
		if facts, file, _ := strings.Cut(entry, "\t"); strings.Contains(facts, " blob ") {
			found = append(found, file)
		}
	}
	for _, candidate := range candidates {
		if slices.Contains(found, candidate) {
			return candidate, nil
		}
	}
	return "", nil
}

// open returns a repository for running git in a directory.
func open(environ []string, dir string) (repository, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return repository{}, release.BadSetting(settingContext, fmt.Sprintf("%q is not a directory", dir), "name a directory of the work tree")
	}
	program, err := execx.Find("git", environ)
	if err != nil {
		return repository{}, release.NewFault("git", "install git", err, "looking for %q", "git")
	}
	return repository{program: program, environ: cleanEnviron(environ), dir: dir}, nil
}

// prefix returns dir relative to the top of the work tree: "", or a path that ends in a slash.
func (r repository) prefix(ctx context.Context) (string, error) {
	out, err := r.git(ctx, "rev-parse", "--is-inside-work-tree", "--show-prefix")
	inside, prefix, _ := strings.Cut(out, "\n")
	var exit *exitError
	switch {
	case errors.As(err, &exit) && strings.Contains(exit.stderr, "dubious ownership"):
		return "", release.BadSetting(settingContext, fmt.Sprintf("git does not trust %q, which belongs to another user", r.dir),
			fmt.Sprintf("if you trust it: git config --global --add safe.directory %q", r.dir))
	case errors.As(err, &exit) && strings.Contains(exit.stderr, "safe.bareRepository"):
		return "", release.BadSetting(settingContext, fmt.Sprintf("%q has the files of a git repository, whose configuration may run programs", r.dir),
			"remove HEAD, objects and refs from it, or name another directory")
	case errors.As(err, &exit) && strings.Contains(exit.stderr, "not a git repository"), err == nil && inside != "true":
		return "", release.BadSetting(settingContext, fmt.Sprintf("%q is not in a git work tree", r.dir), "build from a clone: an image belongs to a commit")
	case err != nil:
		return "", r.fault(err, "reading the repository of")
	}
	return strings.TrimSuffix(prefix, "\n"), nil
}

// checkedOut returns the commit that is checked out. It refuses if another commit is wanted.
func (r repository) checkedOut(ctx context.Context, wanted string) (release.Commit, error) {
	head, err := r.resolve(ctx, "HEAD")
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		if named, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD"); err == nil {
			named = strings.TrimSpace(named)
			return "", release.BadSetting(settingContext, fmt.Sprintf("the repository of %q lacks its checked-out commit %s", r.dir, named), "clone it again, or fetch that commit: git fetch origin "+named)
		}
		return "", release.BadSetting(settingContext, fmt.Sprintf("the repository of %q has no commit yet", r.dir), "make a first commit")
	case err != nil || wanted == "":
		return head, err
	}
	commit, err := r.resolve(ctx, wanted)
	switch {
	case isAmbiguous(err):
		return "", release.BadSetting(settingCommit, ambiguousText(wanted), doAmbiguous)
	case errors.As(err, &exit):
		return "", release.BadSetting(settingCommit, fmt.Sprintf("%q is not a commit of the repository of %q", wanted, r.dir),
			fmt.Sprintf("its work tree holds %s; check out the commit that you want to build (a shallow clone may not have it)", head))
	case err != nil:
		return "", err
	case commit != head:
		return "", release.BadSetting(settingCommit, fmt.Sprintf("commit %s is not checked out: the work tree of %q holds %s", commit, r.dir, head),
			"check it out first (git checkout "+commit.String()+"); the work tree is what is built")
	}
	return head, nil
}

// resolve returns the full id of a revision. The error is an *exitError if there is no such commit.
func (r repository) resolve(ctx context.Context, revision string) (release.Commit, error) {
	if strings.HasPrefix(revision, "-") || strings.ContainsFunc(revision, func(c rune) bool { return c < ' ' }) {
		return "", &exitError{stderr: "not a revision"}
	}
	out, err := r.git(ctx, "rev-parse", "--verify", revision+"^{commit}")
	var exit *exitError
	if errors.As(err, &exit) {
		return "", err
	}
	if err != nil {
		return "", r.fault(err, "resolving %q in", revision)
	}
	commit, err := release.ParseCommit(strings.TrimSpace(out))
	if err != nil {
		return "", r.fault(err, "resolving %q in", revision)
	}
	return commit, nil
}

// objectHash returns the SHA-256 of a commit's object: its tree, parents, people and message.
func (r repository) objectHash(ctx context.Context, commit release.Commit) ([32]byte, error) {
	object, err := r.git(ctx, "cat-file", "commit", commit.String())
	if err != nil {
		return [32]byte{}, r.fault(err, "reading commit %q of", commit.Short())
	}
	return sha256.Sum256([]byte(object)), nil
}

// committerTime returns the committer's time. The author's time would be the same after a rebase or an amendment.
func (r repository) committerTime(ctx context.Context, commit release.Commit) (time.Time, error) {
	out, err := r.git(ctx, "show", "-s", "--no-show-signature", "--format=%ct", commit.String(), "--")
	if err != nil {
		return time.Time{}, r.fault(err, "reading commit %q of", commit.Short())
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return time.Time{}, r.fault(err, "reading the time of commit %q of", commit.Short())
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// originURL returns the web page of the remote "origin"; "" if there is none. It uses `git config`, not `git remote`, so that a
// rewrite in a user's configuration (url.*.insteadOf) does not enter an image.
func (r repository) originURL(ctx context.Context) (string, error) {
	out, err := r.git(ctx, "config", "--get", "remote.origin.url")
	var exit *exitError
	if errors.As(err, &exit) && exit.status == 1 { // git-config(1): "the section or key is invalid (ret=1)", also for none
		return "", nil
	}
	if err != nil {
		return "", r.fault(err, "reading the remote of")
	}
	return webURL(strings.TrimSuffix(out, "\n")), nil
}
