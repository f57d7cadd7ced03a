package configrepo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/release"
)

// toFiles returns a change that replaces a directory.
func toFiles(files configrepo.Files, message string) func(configrepo.Files) (configrepo.Files, string, error) {
	return func(configrepo.Files) (configrepo.Files, string, error) { return files, message, nil }
}

func (r remote) list() []string {
	r.t.Helper()
	r.git("fetch", "--quiet", "origin", "main")
	return strings.Fields(r.git("ls-tree", "-r", "--name-only", "FETCH_HEAD"))
}

func TestADirectoryIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{"other": "x", "live/old.yaml": "a: 1\n", "live/same.yaml": "b: 1\n", "live-not/x.yaml": "c: 1\n"})
	clone := r.clone("main")
	var seen configrepo.Files
	commit, pushed, err := clone.CommitFiles(t.Context(), "live", func(files configrepo.Files) (configrepo.Files, string, error) {
		seen = files
		return configrepo.Files{"same.yaml": files["same.yaml"], "new.yaml": []byte("d: 1\n"), "deep/er.yaml": nil}, "Deploy shop\n", nil
	})
	if err != nil || !pushed {
		t.Fatal(pushed, err)
	}
	if diff := cmp.Diff(configrepo.Files{"old.yaml": []byte("a: 1\n"), "same.yaml": []byte("b: 1\n")}, seen); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"live-not/x.yaml", "live/deep/er.yaml", "live/new.yaml", "live/same.yaml", "other"}, r.list()); diff != "" {
		t.Error(diff)
	}
	again, pushed, err := clone.CommitFiles(t.Context(), "live", func(files configrepo.Files) (configrepo.Files, string, error) { return files, "nothing", nil })
	if err != nil || pushed || again != commit {
		t.Errorf("unchanged: %s, %t, %v", again, pushed, err)
	}
	r.git("pull", "--quiet", "origin", "main")
	r.person("somebody else", map[string]string{"other": "y"})
	if _, pushed, err := clone.CommitFiles(t.Context(), ".", toFiles(configrepo.Files{"top.yaml": []byte("e: 1\n")}, "the top")); err != nil || !pushed {
		t.Fatal(pushed, err)
	}
	if diff := cmp.Diff([]string{"top.yaml"}, r.list()); diff != "" {
		t.Error(diff)
	}
	found, err := clone.Files(t.Context(), commit, "live")
	if err != nil || string(found["new.yaml"]) != "d: 1\n" || len(found) != 3 {
		t.Errorf("an earlier commit: %v, %v", found, err)
	}
	if found, err := clone.Files(t.Context(), commit, "absent"); err != nil || len(found) > 0 {
		t.Errorf("absent: %v, %v", found, err)
	}
}

func TestFilesThatOthersPushMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{"live/a.yaml": "a: 1\n"})
	clone, calls := r.clone("main"), 0
	if _, pushed, err := clone.CommitFiles(t.Context(), "live", func(files configrepo.Files) (configrepo.Files, string, error) {
		if calls++; calls == 1 {
			r.person("meanwhile", map[string]string{"live/b.yaml": "b: 1\n", "other": "x"})
		}
		files["c.yaml"] = []byte("c: 1\n")
		return files, "Deploy shop\n", nil
	}); err != nil || !pushed || calls != 2 {
		t.Fatal(pushed, err, calls)
	}
	if diff := cmp.Diff([]string{"live/a.yaml", "live/b.yaml", "live/c.yaml", "other"}, r.list()); diff != "" {
		t.Error(diff)
	}
}

// TestTooManyFiles: what could not be read again is not committed.
func TestTooManyFiles(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{"live/a.yaml": "a: 1\n"})
	many := configrepo.Files{}
	for i := range 2001 {
		many[fmt.Sprintf("%d.yaml", i)] = nil
	}
	_, pushed, err := r.clone("main").CommitFiles(t.Context(), "live", toFiles(many, "never"))
	if release.ExitCode(err) != release.ExitInput || pushed || !strings.Contains(err.Error(), "2001 files, and 2000 are the most") {
		t.Errorf("got %t, %v", pushed, err)
	}
	if diff := cmp.Diff([]string{"live/a.yaml"}, r.list()); diff != "" {
		t.Error(diff)
	}
}

func TestFilesAreProposed(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{"live/a.yaml": "a: 1\n"})
	clone := r.clone("main")
	next := configrepo.Files{"a.yaml": []byte("a: 2\n")}
	first, proposed, err := clone.ProposeFiles(t.Context(), "live", "onedigest/shop", toFiles(next, "Deploy shop\n"))
	if err != nil || !proposed {
		t.Fatal(proposed, err)
	}
	if again, _, err := r.clone("main").ProposeFiles(t.Context(), "live", "onedigest/shop", toFiles(next, "Deploy shop\n")); err != nil || again != first {
		t.Errorf("got %s, %v", again, err)
	}
	if got := r.git("show", r.git("ls-remote", r.bare, "refs/heads/main")[:40]+":live/a.yaml"); got != "a: 1" {
		t.Errorf("the branch has %q", got)
	}
}

// TestNothingLeadsElsewhere: what a commit may have in place of a directory or a file.
func TestNothingLeadsElsewhere(t *testing.T) {
	t.Parallel()
	r := newRemote(t, map[string]string{"file": "x", "real/a.yaml": "a: 1\n"})
	outside := filepath.Join(t.TempDir(), "outside")
	for name, target := range map[string]string{"link": "real", "out": filepath.Dir(outside), "real/b.yaml": outside} {
		if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.person("links", nil)
	clone := r.clone("main")
	for _, dir := range []string{"link", "link/deeper", "out", "real", "file", "file/deeper", "."} {
		_, pushed, err := clone.CommitFiles(t.Context(), dir, toFiles(configrepo.Files{"b.yaml": []byte("b: 2\n")}, "never"))
		if release.ExitCode(err) != release.ExitInput || pushed {
			t.Errorf("%s: %t, %v", dir, pushed, err)
		}
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a file outside of the repository was written")
	}
}
