// Package configrepo reads and writes a configuration repository: the git repository from which a GitOps controller applies a release. It works
// in a clone of its own, and changes the remote by pushing a branch and git notes, never by force; a proposal alone replaces an older one on a branch of its own.
package configrepo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// side is the system that every release.Fault of this package names as the failed one.
const side = "git"

// Repository is a clone of one branch. Its methods may be called by several goroutines.
type Repository struct {
	URL    string
	Branch string

	directory git.Directory
	dir       string
	mu        sync.Mutex
}

// SameURL reports whether two addresses name the same repository: the same path on the same host. They may differ by the scheme, the user, the scheme's own port, and a suffix .git or a slash at the end.
func SameURL(a, b string) bool { return normalized(a) == normalized(b) }

func normalized(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found { // git@host:path. Source: git-clone(1), "GIT URLS"
		scheme, rest = "ssh", strings.Replace(address, ":", "/", 1)
	}
	host, file, _ := strings.Cut(rest, "/")
	host = strings.ToLower(host[strings.LastIndex(host, "@")+1:])
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80", "ssh": ":22"}[strings.ToLower(scheme)])
	return host + "/" + strings.TrimSuffix(strings.Trim(file, "/"), ".git")
}

// Clone clones one branch of a repository into an empty directory, "" for the repository's default branch, and checks it out. environ is the environment of git;
// the credentials are those of git's own configuration.
func Clone(ctx context.Context, environ []string, dir, address, branch string) (*Repository, error) {
	directory, err := git.OpenDirectory(append(environ[:len(environ):len(environ)], "GIT_ALLOW_PROTOCOL=https:ssh:file"), dir)
	if err != nil {
		return nil, err
	}
	r := &Repository{URL: address, Branch: branch, directory: directory, dir: dir}
	if _, err := r.git(ctx, "init", "--quiet", "--template="); err != nil {
		return nil, r.fault(err, "preparing a clone of")
	}
	if err := r.keepBytes(); err != nil {
		return nil, err
	}
	if r.Branch == "" {
		if r.Branch, err = r.defaultBranch(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// keepBytes turns off what the repository's .gitattributes would convert, or would run of the user's filters. Source: gitattributes(5).
func (r *Repository) keepBytes() error {
	info := filepath.Join(r.dir, ".git", "info")
	if err := os.MkdirAll(info, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(info, "attributes"), []byte("* -text -eol -ident -filter -working-tree-encoding\n"), 0o600)
}

// defaultBranch asks the remote for its default branch.
func (r *Repository) defaultBranch(ctx context.Context) (string, error) {
	out, err := r.git(ctx, "ls-remote", "--symref", r.URL, "HEAD")
	if err != nil {
		return "", r.fault(err, "reading")
	}
	reference, _, _ := strings.Cut(strings.TrimPrefix(out, "ref: "), "\t")
	branch, found := strings.CutPrefix(reference, "refs/heads/")
	if !found {
		return "", release.BadSetting("config-repository", fmt.Sprintf("%q has no default branch", r.URL), "give config-branch")
	}
	return branch, nil
}

// Dir is the work tree of the clone.
func (r *Repository) Dir() string { return r.dir }

// tracking is the reference that follows the remote's branch.
const tracking = "refs/remotes/origin/branch"

// notes are git's notes with what is known of commits.
const notes = "refs/notes/onedigest"

// Refresh fetches the branch and the notes, and checks the branch out. It discards what was written and not pushed.
func (r *Repository) Refresh(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refresh(ctx)
}

func (r *Repository) refresh(ctx context.Context) error {
	found, err := r.git(ctx, "ls-remote", r.URL, "refs/heads/"+r.Branch, notes)
	if err != nil {
		return r.fault(err, "reading")
	}
	if !strings.Contains(found, "refs/heads/"+r.Branch+"\n") {
		return release.BadSetting("config-branch", fmt.Sprintf("%q has no branch %q", r.URL, r.Branch), "create the branch with the environment's values first")
	}
	wanted := []string{"+refs/heads/" + r.Branch + ":" + tracking}
	if strings.Contains(found, notes+"\n") {
		wanted = append(wanted, "+"+notes+":"+notes)
	}
	if _, err := r.git(ctx, append([]string{"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", r.URL}, wanted...)...); err != nil {
		return r.fault(err, "fetching branch %q of", r.Branch)
	}
	if _, err := r.git(ctx, "checkout", "--quiet", "--force", "--detach", tracking); err != nil {
		return r.fault(err, "checking branch %q out of", r.Branch)
	}
	return nil
}

// Head is the newest commit of the branch that was fetched.
func (r *Repository) Head(ctx context.Context) (release.Commit, error) {
	return r.commit(ctx, tracking)
}

func (r *Repository) commit(ctx context.Context, revision string) (release.Commit, error) {
	out, err := r.git(ctx, "rev-parse", "--verify", revision+"^{commit}")
	if err != nil {
		return "", r.fault(err, "reading %q of", revision)
	}
	return release.ParseCommit(strings.TrimSpace(out))
}

// Includes reports whether a commit is another one or has it in its history, after a fetch if the commit is not known yet. A commit that the branch's remote does not have includes nothing.
func (r *Repository) Includes(ctx context.Context, commit, other release.Commit) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if commit == other {
		return true, nil
	}
	if _, err := r.git(ctx, "cat-file", "-e", commit.String()+"^{commit}"); err != nil {
		if err := r.refresh(ctx); err != nil {
			return false, err
		}
		if _, err := r.git(ctx, "cat-file", "-e", commit.String()+"^{commit}"); err != nil {
			return false, ctx.Err()
		}
	}
	_, err := r.git(ctx, "merge-base", "--is-ancestor", other.String(), commit.String())
	if status, ended := git.ExitStatus(err); ended && status == 1 { // git-merge-base(1), --is-ancestor
		return false, nil
	}
	if err != nil {
		return false, r.fault(err, "comparing commits of")
	}
	return true, nil
}

// Read returns a file as it is in a commit, nil if the commit does not have it. The path is relative to the top, with slashes.
func (r *Repository) Read(ctx context.Context, commit release.Commit, file string) ([]byte, error) {
	out, err := r.git(ctx, "cat-file", "blob", commit.String()+":"+file)
	if _, ended := git.ExitStatus(err); ended {
		return nil, nil
	}
	if err != nil {
		return nil, r.fault(err, "reading %q of", file)
	}
	return []byte(out), nil
}

// Relative returns the path of a file of the clone relative to its top, with slashes.
func (r *Repository) Relative(file string) (string, error) {
	relative, err := filepath.Rel(r.dir, file)
	return path.Clean(filepath.ToSlash(relative)), err
}

// git is run without an input.
func (r *Repository) git(ctx context.Context, args ...string) (string, error) {
	return r.run(ctx, nil, args...)
}

// run runs one command without the hooks of the user's configuration, as nothing but the change may be committed, and without following redirects, as they would get the credentials.
func (r *Repository) run(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	return r.directory.Run(ctx, stdin, append([]string{"-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", "-c", "gc.auto=0", "-c", "http.followRedirects=false"}, args...)...)
}

// fault makes a *release.Fault about the repository.
func (r *Repository) fault(err error, format string, subjects ...any) error {
	return release.NewFault(side, "check the address and git's credentials for it", err, format+" %q", append(subjects, text.Line(r.URL, 300))...)
}
