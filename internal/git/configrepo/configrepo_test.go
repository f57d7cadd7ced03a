package configrepo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/release"
)

// remote is a bare repository, and a clone in which a person works.
type remote struct {
	t         *testing.T
	bare, dir string
}

func newRemote(t *testing.T, files map[string]string) remote {
	t.Helper()
	r := remote{t, filepath.Join(t.TempDir(), "config.git"), t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	r.person("first", files)
	r.git("clone", "--quiet", "--bare", r.dir, r.bare)
	r.git("remote", "add", "origin", r.bare)
	return r
}

func (r remote) git(args ...string) string {
	r.t.Helper()
	command := exec.CommandContext(r.t.Context(), "git", args...)
	command.Dir, command.Env = r.dir, environ(r.t)
	out, err := command.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// person commits files, and pushes them if there is somewhere to push to.
func (r remote) person(message string, files map[string]string) string {
	r.t.Helper()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(r.dir, name)), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message", message)
	if _, err := os.Stat(r.bare); err == nil {
		r.git("push", "--quiet", "origin", "HEAD:main")
	}
	return r.git("rev-parse", "HEAD")
}

func environ(t *testing.T) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=person", "GIT_AUTHOR_EMAIL=p@example.com", "GIT_COMMITTER_NAME=person", "GIT_COMMITTER_EMAIL=p@example.com"}
}

func (r remote) clone(branch string) *configrepo.Repository {
	r.t.Helper()
	dir, err := filepath.EvalSymlinks(r.t.TempDir())
	if err != nil {
		r.t.Fatal(err)
	}
	found, err := configrepo.Clone(r.t.Context(), environ(r.t), dir, "file://"+r.bare, branch)
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

const file = "shop/production.yaml"

// to returns a change that replaces a file's content.
func to(content, message string) func([]byte) ([]byte, string, error) {
	return func([]byte) ([]byte, string, error) { return []byte(content), message, nil }
}

func TestACommitIsPushedAndKnown(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{file: "a: 1\n", "other": "x"})
	first := r.git("rev-parse", "HEAD")
	clone := r.clone("")
	if clone.Branch != "main" {
		t.Errorf("the default branch is %q", clone.Branch)
	}
	commit, pushed, err := clone.Commit(t.Context(), file, to("a: 2\n", "Deploy shop\n\nOnedigest-Commit: abc\nOnedigest-Run: https://example.com/1\n"))
	if err != nil || !pushed {
		t.Fatal(pushed, err)
	}
	again, pushed, err := clone.Commit(t.Context(), file, to("a: 2\n", "nothing"))
	if err != nil || pushed || again != commit {
		t.Errorf("unchanged: %s, %t, %v", again, pushed, err)
	}
	r.git("pull", "--quiet", "origin", "main")
	if got := r.git("show", "--format=%H %an", "--stat", "HEAD"); !strings.HasPrefix(got, commit.String()+" onedigest") || !strings.Contains(got, "1 file changed, 1 insertion(+), 1 deletion(-)") {
		t.Errorf("the branch has\n%s", got)
	}
	if err := clone.Note(t.Context(), commit, file, "ready", func(old string) bool { return old == "" }); err != nil {
		t.Fatal(err)
	}
	if err := clone.Note(t.Context(), commit, "other", "proved", func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if err := clone.Note(t.Context(), commit, file, "never", func(old string) bool { return old != "ready" }); err != nil {
		t.Fatal(err)
	}
	changes, err := r.clone("main").Changes(t.Context(), file)
	if err != nil || len(changes) != 2 {
		t.Fatal(changes, err)
	}
	newest := changes[0]
	if newest.Number != 2 || newest.Commit != commit || string(newest.Content) != "a: 2\n" || newest.Note != "ready" || newest.Subject != "Deploy shop" {
		t.Errorf("got %+v", newest)
	}
	if diff := cmp.Diff(map[string]string{"Onedigest-Commit": "abc", "Onedigest-Run": "https://example.com/1"}, newest.Trailers); diff != "" {
		t.Error(diff)
	}
	if changes[1].Number != 1 || changes[1].Commit.String() != first || changes[1].Note != "" {
		t.Errorf("got %+v", changes[1])
	}
}

// TestOthersPushMeanwhile: many clones push commits and notes at once, and none is lost.
func TestOthersPushMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{"0": "", "1": "", "2": ""})
	var all sync.WaitGroup
	for i := range 3 {
		clone := r.clone("main")
		all.Go(func() {
			name := fmt.Sprint(i)
			commit, pushed, err := clone.Commit(context.WithoutCancel(t.Context()), name, to("digest", "deploy "+name))
			if err != nil || !pushed {
				t.Errorf("%s: %t, %v", name, pushed, err)
				return
			}
			if err := clone.Note(context.WithoutCancel(t.Context()), commit, name, "ready", func(string) bool { return true }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	clone := r.clone("main")
	for _, name := range []string{"0", "1", "2"} {
		changes, err := clone.Changes(t.Context(), name)
		if err != nil || len(changes) != 2 || changes[0].Note != "ready" {
			t.Errorf("%s: %+v, %v", name, changes, err)
		}
	}
}

// TestWhatSomebodyElsePushes: the change is asked for again on top of it, and commits that are not known yet are fetched.
func TestWhatSomebodyElsePushes(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{file: "a: 1\n"})
	clone := r.clone("main")
	var seen []string
	commit, _, err := clone.Commit(t.Context(), file, func(content []byte) ([]byte, string, error) {
		seen = append(seen, string(content))
		if len(seen) == 1 {
			r.person("meanwhile", map[string]string{file: "a: 1\nb: 1\n"})
		}
		return []byte(strings.Replace(string(content), "a: 1", "a: 2", 1)), "deploy", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a: 1\n", "a: 1\nb: 1\n"}, seen); diff != "" {
		t.Error(diff)
	}
	r.git("pull", "--quiet", "--rebase", "origin", "main")
	later, err := release.ParseCommit(r.person("later", map[string]string{"b": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		commit, other release.Commit
		want          bool
	}{{commit, commit, true}, {later, commit, true}, {commit, later, false}, {release.Commit(strings.Repeat("1", 40)), commit, false}} {
		if got, err := clone.Includes(t.Context(), test.commit, test.other); err != nil || got != test.want {
			t.Errorf("%s includes %s: %t, %v", test.commit, test.other, got, err)
		}
	}
	if content, err := clone.Read(t.Context(), later, file); err != nil || string(content) != "a: 2\nb: 1\n" {
		t.Errorf("got %q, %v", content, err)
	}
}

// TestAttributesConvertNothing: the deploy changes the digest's bytes alone, and runs no filter of the user's configuration.
func TestAttributesConvertNothing(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{file: "a: 1\r\nb: $Id$\r\n"})
	r.person("as it is", map[string]string{".git/info/attributes": "* -text -eol -ident -filter -working-tree-encoding\n", "other": ""})
	r.person("attributes", map[string]string{".gitattributes": "* text eol=lf ident filter=mine\n*.txt working-tree-encoding=UTF-16\n", "some.txt": ""})
	dir, home, ran := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "ran")
	filter := "[filter \"mine\"]\n\tclean = touch " + ran + " && cat\n\tsmudge = touch " + ran + " && cat\n\trequired = true\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(filter), 0o600); err != nil {
		t.Fatal(err)
	}
	clone, err := configrepo.Clone(t.Context(), append(environ(t), "HOME="+home), dir, "file://"+r.bare, "main")
	if err != nil {
		t.Fatal(err)
	}
	commit, _, err := clone.Commit(t.Context(), file, func(content []byte) ([]byte, string, error) {
		return []byte(strings.Replace(string(content), "1", "2", 1)), "deploy", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := clone.Read(t.Context(), commit, file)
	tree, readErr := os.ReadFile(filepath.Join(dir, file))
	if want := "a: 2\r\nb: $Id$\r\n"; string(content) != want || string(tree) != want || err != nil || readErr != nil {
		t.Errorf("committed %q, and the tree has %q: %v, %v", content, tree, err, readErr)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a filter has run")
	}
}

func TestSameURL(t *testing.T) {
	t.Parallel()
	const address = "https://git.example.com/team/config.git"
	for other, want := range map[string]bool{
		"https://git.example.com/team/config/": true, "https://Git.Example.com:443/team/config": true, "ssh://git@git.example.com/team/config.git": true, "ssh://git@git.example.com:22/team/config": true,
		"git@git.example.com:team/config.git": true, "git.example.com:/team/config": true, "https://user@git.example.com/team/config": true,
		"https://git.example.com/team/other": false, "https://git.example.com/Team/config": false, "https://other.example.com/team/config": false, "ssh://git@git.example.com:2222/team/config": false,
		"https://git.example.com:22/team/config": false, "file:///team/config.git": false, "/team/config": false, "": false,
	} {
		if got := configrepo.SameURL(address, other); got != want {
			t.Errorf("%q: %t", other, got)
		}
	}
	if !configrepo.SameURL("file:///srv/config.git", "file:///srv/config") || configrepo.SameURL("file:///srv/config", "file:///srv/other") {
		t.Error("paths are not compared")
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{file: "a: 1\n"})
	if err := os.Symlink("production.yaml", filepath.Join(r.dir, "shop", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	r.person("a link", nil)
	dir := t.TempDir()
	if _, err := configrepo.Clone(t.Context(), environ(t), dir, "file://"+r.bare, "absent"); release.ExitCode(err) != release.ExitInput {
		t.Errorf("an absent branch: %v", err)
	}
	if _, err := configrepo.Clone(t.Context(), environ(t), t.TempDir(), "file://"+r.bare+"x", "main"); release.ExitCode(err) != release.ExitFault {
		t.Errorf("an absent repository: %v", err)
	}
	clone := r.clone("main")
	for name, want := range map[string]string{"shop/link.yaml": "symbolic link", "absent": "does not exist"} {
		if _, _, err := clone.Commit(t.Context(), name, to("a: 2\n", "x")); release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	hook := filepath.Join(r.bare, "hooks", "pre-receive")
	if err := os.MkdirAll(filepath.Dir(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho 'the branch is protected' >&2\nexit 1\n"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	before := r.git("ls-remote", "origin", "main")
	_, _, err := clone.Commit(t.Context(), file, to("a: 2\n", "x"))
	var fault *release.Fault
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "the branch is protected") || !strings.Contains(fault.Do, "credentials push") {
		t.Errorf("a protected branch: %v", err)
	}
	if after := r.git("ls-remote", "origin", "main"); after != before {
		t.Errorf("the branch went from %s to %s", before, after)
	}
}
