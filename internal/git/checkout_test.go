package git_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
)

func TestCheckedOut(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("chart/templates/all.yaml", "one")
	c.write("values.yaml", "one")
	c.write("main.go", "one")
	first := c.commit("first")
	c.write("main.go", "two")
	code := c.commit("code only")
	c.write("values.yaml", "two")
	values := c.commit("values")
	c.write("chart/templates/more.yaml", "two")
	both := c.commit("chart too")
	c.write("generated.yaml", "not committed")
	chart, valuesFile, generated := filepath.Join(c.dir, "chart"), filepath.Join(c.dir, "values.yaml"), filepath.Join(c.dir, "generated.yaml")
	untracked := release.Difference{Kind: release.NotInCommit, Path: "generated.yaml"}
	unknown := release.Commit(strings.Repeat("e", 40))
	for name, test := range map[string]struct {
		head, commit release.Commit
		paths        []string
		want         release.CheckedOut
	}{
		"that commit":             {both, both, []string{chart, valuesFile, generated}, release.CheckedOut{Commit: both, Uncommitted: []string{generated}, Change: untracked}},
		"the same content":        {code, first, []string{chart, valuesFile, generated}, release.CheckedOut{Commit: code, Uncommitted: []string{generated}, Change: untracked}},
		"other values":            {values, first, []string{chart, valuesFile}, release.CheckedOut{Commit: values, Differing: []string{valuesFile}}},
		"another chart":           {both, values, []string{chart, valuesFile}, release.CheckedOut{Commit: both, Differing: []string{chart}}},
		"older chart and values":  {first, both, []string{chart, valuesFile}, release.CheckedOut{Commit: first, Differing: []string{chart, valuesFile}}},
		"the whole repository":    {code, first, []string{c.dir}, release.CheckedOut{Commit: code, Differing: []string{c.dir}, Uncommitted: []string{c.dir}, Change: untracked}},
		"a commit that is absent": {both, unknown, []string{chart, valuesFile}, release.CheckedOut{Commit: both, Unknown: true}},
	} {
		c.git("checkout", "--quiet", test.head.String())
		got, err := git.CheckedOut(t.Context(), c.environ, test.paths, test.commit)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestCheckedOutOfEachRepository: a workflow may check the commit out beside its own.
func TestCheckedOutOfEachRepository(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("chart/Chart.yaml", "one")
	first := c.commit("first")
	c.write("chart/Chart.yaml", "two")
	second := c.commit("second")
	c.git("clone", "--quiet", c.dir, "promoted")
	c.git("-C", "promoted", "checkout", "--quiet", first.String())
	got, err := git.CheckedOut(t.Context(), c.environ, []string{filepath.Join(c.dir, "promoted", "chart")}, first)
	if diff := cmp.Diff(release.CheckedOut{Commit: first}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	got, err = git.CheckedOut(t.Context(), c.environ, []string{filepath.Join(c.dir, "chart")}, first)
	if err != nil || got.Commit != second || len(got.Differing) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCheckedOutWithoutAWorkTree(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"PATH=" + os.Getenv("PATH"), "GIT_CEILING_DIRECTORIES=" + filepath.Dir(dir)}
	if _, err := git.CheckedOut(t.Context(), environ, []string{dir}, release.Commit(strings.Repeat("e", 40))); err == nil || !strings.Contains(err.Error(), "is in no git work tree") {
		t.Errorf("got %v", err)
	}
}

// TestCheckedOutComparesContent: what `git status` does not show is a change nevertheless, and what enters no release is none.
func TestCheckedOutComparesContent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(c clone)
		paths  []string
		want   []string // that are changed
	}{
		"nothing":                 {func(clone) {}, []string{"chart", "values.yaml", "linked.yaml"}, nil},
		"another file":            {func(c clone) { c.write("main.go", "two") }, []string{"chart", "values.yaml"}, nil},
		"hidden by skip-worktree": {func(c clone) { c.git("update-index", "--skip-worktree", "values.yaml"); c.write("values.yaml", "two") }, []string{"chart", "values.yaml"}, []string{"values.yaml"}},
		"hidden by assume-unchanged": {func(c clone) {
			c.git("update-index", "--assume-unchanged", "chart/templates/all.yaml")
			c.write("chart/templates/all.yaml", "two")
		}, []string{"chart", "values.yaml"}, []string{"chart"}},
		"hidden and deleted": {func(c clone) {
			c.git("update-index", "--skip-worktree", "chart/templates/all.yaml")
			c.remove("chart/templates/all.yaml")
		}, []string{"chart", "values.yaml"}, []string{"chart"}},
		"hidden by a clean filter": {func(c clone) {
			c.git("config", "filter.same.clean", "printf one")
			c.write("values.yaml", "two")
		}, []string{"chart", "values.yaml"}, []string{"values.yaml"}},
		"ignored":       {func(c clone) { c.write("chart/charts/sub.ignored", "new") }, []string{"chart", "values.yaml"}, []string{"chart"}},
		"untracked":     {func(c clone) { c.write("chart/new.yaml", "new") }, []string{"chart", "values.yaml"}, []string{"chart"}},
		"staged":        {func(c clone) { c.write("values.yaml", "two"); c.git("add", "values.yaml") }, []string{"values.yaml"}, []string{"values.yaml"}},
		"behind a link": {func(c clone) { c.write("base.yaml", "two") }, []string{"chart", "linked.yaml"}, []string{"linked.yaml"}},
		"behind a link of a chart to a directory":               {func(c clone) { c.write("shared/deep/labels.tpl", "two") }, []string{"chart", "values.yaml"}, nil}, // no chart with one is rendered
		"another link to a directory":                           {func(c clone) { c.remove("chart/templates/shared"); c.link("..", "chart/templates/shared") }, []string{"chart", "values.yaml"}, []string{"chart"}},
		"behind a chart's link":                                 {func(c clone) { c.write("shared/notes.tpl", "two") }, []string{"chart", "values.yaml"}, []string{"chart"}},
		"missing behind a link":                                 {func(c clone) { c.remove("shared/notes.tpl") }, []string{"chart", "values.yaml"}, []string{"chart"}},
		"a pointer of Git LFS and files whose filter is absent": {func(c clone) {}, []string{"stored"}, nil},
		"a file of Git LFS":                                     {func(c clone) { c.write("stored/logo.png", "picture") }, []string{"stored"}, nil},
		"another file of Git LFS":                               {func(c clone) { c.write("stored/logo.png", "Picture") }, []string{"stored"}, []string{"stored"}},
		"another file whose filter is absent":                   {func(c clone) { c.write("stored/sealed.txt", "two") }, []string{"stored"}, []string{"stored"}},
		"another link":                                          {func(c clone) { c.remove("linked.yaml"); c.link("values.yaml", "linked.yaml") }, []string{"linked.yaml"}, []string{"linked.yaml"}},
		"a chart that is a link":                                {func(c clone) { c.write("chart/templates/all.yaml", "two") }, []string{"alias"}, []string{"alias"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.write(".gitattributes", "values.yaml filter=same\nsealed.txt filter=absent\n")
			c.write(".gitignore", "*.ignored\n")
			c.git("config", "filter.same.clean", "cat")
			c.write("chart/templates/all.yaml", "one")
			c.write("shared/deep/labels.tpl", "one")
			c.link("../../shared", "chart/templates/shared")
			c.write("shared/notes.tpl", "one")
			c.link("../../shared/notes.tpl", "chart/templates/notes.tpl")
			c.write("stored/logo.png", fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%x\nsize 7\n", sha256.Sum256([]byte("picture"))))
			c.write("stored/sealed.txt", "one")
			c.link("chart", "alias")
			c.write("values.yaml", "one")
			c.write("base.yaml", "one")
			c.link("base.yaml", "linked.yaml")
			c.write("main.go", "one")
			c.commit("all")
			c.write("stored/.gitattributes", "*.png filter=lfs\n") // after the pointer, which a clean filter would replace
			head := c.commit("attributes")
			test.change(c)
			var paths, want []string
			for _, path := range test.paths {
				paths = append(paths, filepath.Join(c.dir, path))
			}
			for _, path := range test.want {
				want = append(want, filepath.Join(c.dir, path))
			}
			got, err := git.CheckedOut(t.Context(), c.environ, paths, head)
			if (got.Change.Path != "") != (len(want) > 0) {
				t.Errorf("the change is %+v", got.Change)
			}
			got.Change = release.Difference{}
			if diff := cmp.Diff(release.CheckedOut{Commit: head, Uncommitted: want}, got); err != nil || diff != "" {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}

// TestCheckedOutEndsWithLinksUpwards: each of two links upwards leads to both of them again.
func TestCheckedOutEndsWithLinksUpwards(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("chart/Chart.yaml", "one")
	c.link(".", "chart/a")
	c.link(".", "chart/b")
	head := c.commit("links")
	c.link("/", "chart/root") // of a build tool, as bazel-out
	chart := filepath.Join(c.dir, "chart")
	got, err := git.CheckedOut(t.Context(), c.environ, []string{chart}, head)
	want := release.CheckedOut{Commit: head, Uncommitted: []string{chart}, Change: release.Difference{Kind: release.NotInCommit, Path: "root"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	ended, end := context.WithCancelCause(t.Context())
	end(errors.New("stopped"))
	if _, err := git.CheckedOut(ended, c.environ, []string{chart}, head); err == nil {
		t.Error("no error")
	}
}

// TestCheckedOutFollowsLinksToOtherCommits: two commits may have the same link to a file that differs.
func TestCheckedOutFollowsLinksToOtherCommits(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("base.yaml", "one")
	c.link("base.yaml", "values.yaml")
	first := c.commit("first")
	c.write("base.yaml", "two")
	second := c.commit("second")
	values := filepath.Join(c.dir, "values.yaml")
	got, err := git.CheckedOut(t.Context(), c.environ, []string{values}, first)
	if diff := cmp.Diff(release.CheckedOut{Commit: second, Differing: []string{values}}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

// TestCheckedOutOfASubmodule: a chart in a submodule is the commit's that the outer commit names.
func TestCheckedOutOfASubmodule(t *testing.T) {
	t.Parallel()
	inner := newClone(t)
	inner.write("templates/all.yaml", "one")
	inner.commit("one")
	c := newClone(t)
	c.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.dir, "deploy/chart")
	head := c.commit("chart")
	deploy := filepath.Join(c.dir, "deploy")
	got, err := git.CheckedOut(t.Context(), c.environ, []string{deploy}, head)
	if diff := cmp.Diff(release.CheckedOut{Commit: head}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	c.write("deploy/chart/templates/all.yaml", "two")
	got, err = git.CheckedOut(t.Context(), c.environ, []string{deploy}, head)
	if diff := cmp.Diff(release.CheckedOut{Commit: head, Uncommitted: []string{deploy}, Change: release.Difference{Path: "chart/templates/all.yaml"}}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}
