package git_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
)

// clone is a real repository in a temporary directory.
type clone struct {
	t       *testing.T
	dir     string
	environ []string
}

func newClone(t *testing.T) clone {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := clone{t: t, dir: dir, environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CEILING_DIRECTORIES=" + filepath.Dir(dir)}}
	c.git("init", "--quiet", "--initial-branch=main")
	c.git("config", "user.name", "Committer")
	c.git("config", "user.email", "committer@example.com")
	return c
}

func (c clone) git(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"GIT_AUTHOR_DATE=2001-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-03-04T05:06:07+02:00"}, c.environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c clone) write(path, content string) {
	c.t.Helper()
	path = filepath.Join(c.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c clone) commit(message string) release.Commit {
	c.t.Helper()
	c.git("add", "--all")
	c.git("commit", "--quiet", "--allow-empty", "--message", message)
	return release.Commit(c.git("rev-parse", "HEAD"))
}

func (c clone) inspect(dir, commit string) (release.Source, error) {
	return git.Inspect(context.Background(), c.environ, filepath.Join(c.dir, dir), commit)
}

func TestInspectReadsTheCommit(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("app/main.go", "package main\n")
	commit := c.commit("first")
	c.git("tag", "v1")
	c.git("remote", "add", "origin", "git@github.com:owner/shop.git")
	object := sha256.Sum256([]byte(c.git("cat-file", "commit", "HEAD") + "\n"))
	want := release.Source{Commit: commit, Object: object, Created: time.Date(2026, 3, 4, 3, 6, 7, 0, time.UTC), URL: "https://github.com/owner/shop", Path: "app"}
	for _, revision := range []string{"", "HEAD", "main", "v1", commit.String(), commit.Short()} {
		got, err := c.inspect("app", revision)
		if err != nil {
			t.Fatalf("%q: %v", revision, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", revision, diff)
		}
	}
	for dir, want := range map[string]string{".": ".", "app": "app"} {
		if got, err := c.inspect(dir, ""); err != nil || got.Path != want {
			t.Errorf("%q: got path %q (%v)", dir, got.Path, err)
		}
	}
}

// TestInspectFindsTheWorkspace: the nearest go.work above the context that the commit has, whatever is in the work tree.
func TestInspectFindsTheWorkspace(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	for _, file := range []string{"go.work", "services/go.work", "services/a/main.go", "services/b/go.work", "tools/go.work/x", "tools/c/main.go"} {
		c.write(file, "x")
	}
	c.commit("first")
	c.write("services/a/go.work", "not committed")
	c.remove("services/go.work")
	for dir, want := range map[string]string{".": "", "services": "go.work", "services/a": "services/go.work", "services/b": "services/go.work", "tools/c": "go.work"} {
		if got, err := c.inspect(dir, ""); err != nil || got.GoWork != want {
			t.Errorf("%q: got %q, want %q (%v)", dir, got.GoWork, want, err)
		}
	}
}

func TestInspectNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(c clone)
		want   []string
	}{
		"nothing":               {func(clone) {}, nil},
		"modified":              {func(c clone) { c.write("app/main.go", "package other\n") }, []string{"main.go"}},
		"staged":                {func(c clone) { c.write("app/main.go", "x"); c.git("add", "--all") }, []string{"main.go"}},
		"deleted":               {func(c clone) { os.Remove(filepath.Join(c.dir, "app/main.go")) }, []string{"main.go"}},
		"renamed":               {func(c clone) { c.git("mv", "app/main.go", "app/moved.go") }, []string{"main.go", "moved.go"}},
		"untracked":             {func(c clone) { c.write("app/new/file with\nnewline", "x") }, []string{"new/file with\nnewline"}},
		"untracked, hidden":     {func(c clone) { c.git("config", "status.showUntrackedFiles", "no"); c.write("app/new", "x") }, []string{"new"}},
		"ignored":               {func(c clone) { c.write("app/out.log", "x") }, nil},
		"outside the context":   {func(c clone) { c.write("README", "changed"); c.write("new", "x") }, nil},
		"mode":                  {func(c clone) { os.Chmod(filepath.Join(c.dir, "app/main.go"), 0o755) }, []string{"main.go"}},
		"assumed unchanged":     {func(c clone) { c.git("update-index", "--assume-unchanged", "app/main.go"); c.write("app/main.go", "x") }, nil},
		"skipped, not present":  {func(c clone) { c.git("update-index", "--skip-worktree", "app/main.go") }, nil},
		"ignored, but tracked":  {func(c clone) { c.write("app/kept.log", "x") }, []string{"kept.log"}},
		"nothing but the clock": {func(c clone) { os.Chtimes(filepath.Join(c.dir, "app/main.go"), time.Now(), time.Unix(1, 0)) }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.write("app/main.go", "package main\n")
			c.write("app/kept.log", "")
			c.write("README", "read me")
			c.commit("first")
			c.write(".gitignore", "*.log\n")
			c.commit("second")
			test.change(c)
			got, err := c.inspect("app", "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Changed); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInspectNamesAtMostTwenty(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.commit("first")
	for i := range 50 {
		c.write("new-"+strings.Repeat("x", i+1), "")
	}
	source, err := c.inspect("", "")
	if err != nil || len(source.Changed) != 20 {
		t.Errorf("%d changed paths, want 20 (%v)", len(source.Changed), err)
	}
}

func TestInspectLeavesTheRepositoryAsItWas(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("main.go", "package main\n")
	c.commit("first")
	if err := os.Chtimes(filepath.Join(c.dir, "main.go"), time.Unix(1, 0), time.Unix(1, 0)); err != nil { // git would like to refresh its index
		t.Fatal(err)
	}
	index := filepath.Join(c.dir, ".git", "index")
	before, _ := os.ReadFile(index)
	if _, err := c.inspect("", ""); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(index); !bytes.Equal(before, after) {
		t.Error("the index was rewritten")
	}
}

func TestInspectRunsNothingOfTheRepository(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("main.go", "package main\n")
	c.commit("first")
	c.git("config", "core.fsmonitor", "touch "+filepath.Join(c.dir, "ran")+";false")
	c.git("config", "core.pager", "touch "+filepath.Join(c.dir, "ran")+";cat")
	if _, err := c.inspect("", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "ran")); err == nil {
		t.Error("a program named by the repository's configuration was run")
	}
}

// TestInspectTrustsNoRepositoryOfACommit: a directory of a commit that has the files of a repository would name programs by its
// configuration, and its attributes would run them.
func TestInspectTrustsNoRepositoryOfACommit(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("app/main.go", "package main\n")
	c.write("app/.gitattributes", "* filter=x\n")
	inner := filepath.Join(c.dir, "app")
	c.git("init", "--quiet", "--bare", inner)
	for _, args := range [][]string{{"user.name", "x"}, {"user.email", "x"}, {"core.bare", "false"}, {"core.worktree", "."}, {"filter.x.clean", "touch " + filepath.Join(c.dir, "ran") + "; cat"}} {
		c.git("config", "--file", filepath.Join(inner, "config"), args[0], args[1])
	}
	c.git("--git-dir", inner, "--work-tree", inner, "-c", "filter.x.clean=cat", "add", "main.go")
	c.git("--git-dir", inner, "--work-tree", inner, "-c", "filter.x.clean=cat", "commit", "--quiet", "--message", "inner")
	c.commit("first")
	_ = os.Remove(filepath.Join(c.dir, "ran"))
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(inner, "main.go"), later, later); err != nil { // so that git compares its content
		t.Fatal(err)
	}
	_, err := c.inspect("app", "")
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "has the files of a git repository") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "ran")); err == nil {
		t.Error("a program named by the commit was run")
	}
}

func TestInspectIgnoresAnotherRepositoryInTheEnvironment(t *testing.T) {
	t.Parallel()
	c, other := newClone(t), newClone(t)
	want := c.commit("first")
	other.write("x", "y")
	other.commit("other")
	c.environ = append(c.environ, "GIT_DIR="+filepath.Join(other.dir, ".git"), "GIT_WORK_TREE="+other.dir, "GIT_INDEX_FILE="+filepath.Join(other.dir, ".git", "index"))
	source, err := c.inspect("", "")
	if err != nil || source.Commit != want || len(source.Changed) > 0 {
		t.Errorf("got %v, %v; want %s, nothing changed", source, err, want)
	}
}

func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	first := c.commit("first")
	second := c.commit("second")
	empty := newClone(t)
	outside := clone{t: t, dir: t.TempDir(), environ: c.environ}
	outside.environ = append(outside.environ, "GIT_CEILING_DIRECTORIES="+filepath.Dir(outside.dir))
	unknown := strings.Repeat("ab", 20)
	lost := newClone(t)
	if err := os.WriteFile(filepath.Join(lost.dir, ".git", "HEAD"), []byte(unknown+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		clone       clone
		dir, commit string
		want        string
	}{
		"not checked out":          {c, "", first.String(), "commit " + first.String() + " is not checked out: the work tree of"},
		"not checked out, what is": {c, "", first.String(), "holds " + second.String()},
		"unknown":                  {c, "", unknown, `"` + unknown + `" is not a commit of the repository`},
		"an option":                {c, "", "--all", `"--all" is not a commit`},
		"a shell's":                {c, "", "$(id)", `"$(id)" is not a commit`},
		"newline":                  {c, "", "HEAD\nHEAD", `is not a commit`},
		"a lost commit":            {lost, "", "", "lacks its checked-out commit " + unknown},
		"no commit yet":            {empty, "", "", "has no commit yet"},
		"not a repository":         {outside, "", "", "is not in a git work tree"},
		"not a directory":          {c, "missing", "", "is not a directory"},
		"git's own":                {c, ".git", "", "is not in a git work tree"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := test.clone.inspect(test.dir, test.commit)
			var input *release.InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want bad input with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the cause has more than one line: %q", err)
			}
		})
	}
}

func TestInspectOfAnotherUsersRepository(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can give a directory away")
	}
	c := newClone(t)
	c.commit("first")
	if err := os.Chown(c.dir, 12345, 12345); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	_, err := c.inspect("", "")
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "safe.directory") {
		t.Errorf("got %v, want bad input that names safe.directory", err)
	}
	c.git("config", "--global", "--add", "safe.directory", c.dir)
	if _, err := c.inspect("", ""); err != nil {
		t.Errorf("trusted: %v", err)
	}
}

func TestInspectWithoutGit(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	for _, path := range []string{"PATH=/nonexistent", "PATH=.", "PATH="} {
		_, err := git.Inspect(context.Background(), []string{path}, c.dir, "")
		var fault *release.Fault
		if !errors.As(err, &fault) || fault.Side != "git" {
			t.Errorf("%s: got %v, want a fault of git", path, err)
		}
	}
}

func TestInspectEndsWhenCancelled(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.commit("first")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := git.Inspect(ctx, c.environ, c.dir, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
