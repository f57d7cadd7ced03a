package git_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
)

func (c clone) fingerprint(commit release.Commit, inputs release.Inputs) string {
	c.t.Helper()
	found, err := git.Fingerprint(c.t.Context(), c.environ, filepath.Join(c.dir, "app"), commit, inputs)
	if err != nil {
		c.t.Fatal(err)
	}
	return found
}

// A fingerprint changes with each input of the commit, and with nothing else.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(c clone)
		differs bool
	}{
		"nothing":                 {func(clone) {}, false},
		"a file of no image":      {func(c clone) { c.write("README", "changed") }, false},
		"an input":                {func(c clone) { c.write("app/main.go", "package other\n") }, true},
		"one that is taken":       {func(c clone) { c.write("lib/new.go", "package lib\n") }, true},
		"one that is gone":        {func(c clone) { c.remove("lib/lib.go") }, true},
		"a file that was missing": {func(c clone) { c.write("app/go.work", "go 1.26\n") }, true},
		"a mode":                  {func(c clone) { os.Chmod(filepath.Join(c.dir, "app/main.go"), 0o755) }, true},
		"attributes elsewhere":    {func(c clone) { c.write(".gitattributes", "* text eol=crlf\n") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.write("app/main.go", "package main\n")
			c.write("lib/lib.go", "package lib\n")
			c.write("README", "read me")
			first := c.commit("first")
			inputs := release.Inputs{Files: []string{filepath.Join(c.dir, "app/main.go"), filepath.Join(c.dir, "app/go.work")}, Rules: []release.InputRule{everything(filepath.Join(c.dir, "lib"))}}
			before := c.fingerprint(first, inputs)
			test.change(c)
			if c.fingerprint(first, inputs) != before {
				t.Error("the work tree decides, not the commit")
			}
			second := c.commit("second")
			if got := c.fingerprint(second, inputs); (got != before) != test.differs {
				t.Errorf("differs: %v, want %v", got != before, test.differs)
			}
			if c.fingerprint(first, inputs) != before {
				t.Error("the first commit has another fingerprint after the second")
			}
		})
	}
}

func TestFingerprintOfASubmodule(t *testing.T) {
	t.Parallel()
	c, sub := withSubmodule(t)
	inputs := release.Inputs{Rules: []release.InputRule{everything(filepath.Join(c.dir, "sub"))}}
	first := release.Commit(c.git("rev-parse", "HEAD"))
	before := c.fingerprint(first, inputs)
	sub.write("lib.go", "package lib // changed\n")
	sub.commit("second")
	if second := c.commit("second"); c.fingerprint(second, inputs) == before || c.fingerprint(first, inputs) != before {
		t.Error("the fingerprint does not follow the commit that is named for the submodule")
	}
	file := release.Inputs{Files: []string{filepath.Join(c.dir, "sub/lib.go")}}
	before = c.fingerprint(release.Commit(c.git("rev-parse", "HEAD")), file)
	sub.write(".gitattributes", "* text eol=crlf\n")
	sub.commit("attributes")
	if c.fingerprint(c.commit("third"), file) == before {
		t.Error("the fingerprint lacks the attributes of the submodule")
	}
}

func TestAncestorsFollowTheFirstParents(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("app/x", "1")
	first, second := c.commit("first"), c.commit("second")
	c.git("checkout", "--quiet", "-b", "side", first.String())
	c.commit("side")
	c.git("checkout", "--quiet", "main")
	c.git("merge", "--quiet", "--no-ff", "--message", "merge", "side")
	head := release.Commit(c.git("rev-parse", "HEAD"))
	for limit, want := range map[int][]release.Commit{1: {second}, 10: {second, first}} {
		got, err := git.Ancestors(t.Context(), c.environ, c.dir, head, limit)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	}
	if got, err := git.Ancestors(t.Context(), c.environ, c.dir, first, 10); len(got) != 0 || err != nil {
		t.Errorf("got %v, %v before the first commit", got, err)
	}
	source, err := c.inspect("app", "")
	if err != nil {
		t.Fatal(err)
	}
	if object, found, err := git.Object(t.Context(), c.environ, c.dir, head); object != source.Object || !found || err != nil {
		t.Errorf("got %x, %v, %v, want %x", object, found, err, source.Object)
	}
	if _, found, err := git.Object(t.Context(), c.environ, c.dir, release.Commit("0123456789abcdef0123456789abcdef01234567")); found || err != nil {
		t.Errorf("an unknown commit: %v, %v", found, err)
	}
}
