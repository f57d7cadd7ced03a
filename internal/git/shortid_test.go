package git_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
)

// ambiguous makes commits until two of them share their first four digits, and returns those.
func (c clone) ambiguous() string {
	c.t.Helper()
	tree, seen := c.git("write-tree"), map[string]bool{}
	for i := range 5000 {
		prefix := c.git("commit-tree", "-m", fmt.Sprint(i), tree)[:4]
		if seen[prefix] {
			return prefix
		}
		seen[prefix] = true
	}
	c.t.Fatal("no two of 5000 commits share four digits")
	return ""
}

func TestResolveCommit(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("sub/file", "x")
	commit := c.commit("first")
	for _, dir := range []string{c.dir, c.dir + "/sub", c.dir + "/.git"} {
		for _, digits := range []int{4, 7, 39} {
			got, err := git.ResolveCommit(context.Background(), c.environ, dir, commit.String()[:digits])
			if err != nil || got != commit {
				t.Errorf("%d digits in %q: got %q, %v, want %q", digits, dir, got, err, commit)
			}
		}
	}
}

func TestResolveCommitRefuses(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("file", "x")
	c.commit("first")
	c.git("branch", "deadbeef")
	blob := c.git("rev-parse", "HEAD:file")
	for name, test := range map[string]struct{ dir, short, want string }{
		"an unknown id":    {c.dir, "0123456", `has an id that begins with "0123456"; give the full id, or fetch the commit first`},
		"an ambiguous id":  {c.dir, c.ambiguous(), `begins the ids of several commits; give more digits, or the full id`},
		"a branch":         {c.dir, "deadbeef", `"deadbeef" is a branch, a tag or another object`},
		"a file's id":      {c.dir, blob[:12], `has an id that begins with`},
		"not a repository": {t.TempDir(), "0123456", `is not in a git repository that could complete it; give the full id, or run in a clone`},
	} {
		_, err := git.ResolveCommit(context.Background(), c.environ, test.dir, test.short)
		var input *release.InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want bad input with %q", name, err, test.want)
		}
	}
}

func TestInspectOfAnAmbiguousCommit(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.commit("first")
	_, err := c.inspect("", c.ambiguous())
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "--commit: ") || !strings.Contains(err.Error(), "give more digits") {
		t.Errorf("got %v, want bad input about the commit", err)
	}
}

func TestResolveCommitWithoutGit(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	_, err := git.ResolveCommit(context.Background(), []string{"PATH=/nonexistent"}, c.dir, "0123456")
	var fault *release.Fault
	if !errors.As(err, &fault) || fault.Side != "git" {
		t.Errorf("got %v, want a fault of git", err)
	}
}
