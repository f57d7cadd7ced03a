package git_test

import (
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
	unknown := release.Commit(strings.Repeat("e", 40))
	for name, test := range map[string]struct {
		head, commit release.Commit
		paths        []string
		want         release.CheckedOut
	}{
		"that commit":             {both, both, []string{chart, valuesFile, generated}, release.CheckedOut{Commit: both, Uncommitted: []string{generated}}},
		"the same content":        {code, first, []string{chart, valuesFile, generated}, release.CheckedOut{Commit: code, Uncommitted: []string{generated}}},
		"other values":            {values, first, []string{chart, valuesFile}, release.CheckedOut{Commit: values, Differing: []string{valuesFile}}},
		"another chart":           {both, values, []string{chart, valuesFile}, release.CheckedOut{Commit: both, Differing: []string{chart}}},
		"older chart and values":  {first, both, []string{chart, valuesFile}, release.CheckedOut{Commit: first, Differing: []string{chart, valuesFile}}},
		"the whole repository":    {code, first, []string{c.dir}, release.CheckedOut{Commit: code, Differing: []string{c.dir}, Uncommitted: []string{c.dir}}},
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
