package git_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
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

// cloneOf is a clone of a repository, made with more arguments of git clone.
func cloneOf(t *testing.T, remote string, environ []string, args ...string) clone {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := clone{t: t, dir: dir, environ: environ}
	c.git(append(append([]string{"clone", "--quiet"}, args...), remote, dir)...)
	c.git("config", "user.name", "Committer")
	c.git("config", "user.email", "committer@example.com")
	return c
}

// scratchOf makes directories of a test, which fails if one is left.
func scratchOf(t *testing.T) git.Scratch {
	t.Helper()
	temporary := t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
	return func() (string, func(), error) {
		dir, err := os.MkdirTemp(temporary, "")
		return dir, func() { os.RemoveAll(dir) }, err
	}
}

func (c clone) compare(t *testing.T, live, next release.Commit) (release.Comparison, error) {
	t.Helper()
	return git.Compare(t.Context(), c.environ, c.dir, scratchOf(t), live, next)
}

// files lists every file of a clone, its repository included, with its content.
func (c clone) files(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// history is a remote with two branches:
//
//	first ─ second ─ third (main)
//	             └── hotfix (hotfix)
type history struct {
	origin                       clone
	first, second, third, hotfix release.Commit
}

func newHistory(t *testing.T) history {
	t.Helper()
	h := history{origin: newClone(t)}
	h.origin.write("file", "content")
	h.first, h.second = h.origin.commit("first"), h.origin.commit("second")
	h.origin.git("checkout", "--quiet", "-b", "hotfix")
	h.hotfix = h.origin.commit("Mend the till\n\nNot shown.")
	h.origin.git("checkout", "--quiet", "main")
	h.third = h.origin.commit("third")
	return h
}

func (h history) url() string { return "file://" + h.origin.dir }

func TestCompare(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	diverged := release.Comparison{Relation: release.RelationDiverged, LostCount: 1, Lost: []release.CommitSummary{{Commit: h.hotfix, Subject: "Mend the till"}}}
	for name, args := range map[string][]string{
		"a whole clone":                   nil,
		"a clone of one commit":           {"--depth=1"},
		"a clone of two commits":          {"--depth=2", "--no-single-branch"},
		"a clone of one commit each":      {"--depth=1", "--no-single-branch"},
		"a clone of one branch":           {"--single-branch"},
		"a clone without files":           {"--filter=blob:none"},
		"a clone without checked-out one": {"--no-checkout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cloneOf(t, h.url(), h.origin.environ, args...)
			before := c.files(t)
			for _, test := range []struct {
				live, next release.Commit
				want       release.Comparison
			}{
				{h.third, h.third, release.Comparison{Relation: release.RelationSame}},
				{h.second, h.third, release.Comparison{Relation: release.RelationAhead}},
				{h.first, h.third, release.Comparison{Relation: release.RelationAhead}},
				{h.third, h.first, release.Comparison{Relation: release.RelationBehind}},
				{h.third, h.second, release.Comparison{Relation: release.RelationBehind}},
				{h.hotfix, h.third, diverged},
			} {
				got, err := c.compare(t, test.live, test.next)
				if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
					t.Errorf("%s to %s: %v (-want +got):\n%s", test.live.Short(), test.next.Short(), err, diff)
				}
			}
			if args != nil && args[0] == "--filter=blob:none" {
				return // git itself fetches what a partial clone lacks
			}
			if diff := cmp.Diff(before, c.files(t)); diff != "" {
				t.Errorf("the checkout was changed:\n%s", diff)
			}
		})
	}
}

// TestCompareWithLocalCommits compares commits that the remote does not have, in a shallow clone.
func TestCompareWithLocalCommits(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	c := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	local := c.commit("local")
	for live, want := range map[release.Commit]release.Relation{h.first: release.RelationAhead, h.third: release.RelationAhead, h.hotfix: release.RelationDiverged} {
		if got, err := c.compare(t, live, local); got.Relation != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", live.Short(), got.Relation, err, want)
		}
	}
	if got, err := c.compare(t, local, h.first); got.Relation != release.RelationBehind || err != nil {
		t.Errorf("got %q, %v", got.Relation, err)
	}
}

// TestKnownRelation: only the history that is there is asked.
func TestKnownRelation(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	whole, shallow := cloneOf(t, h.url(), h.origin.environ), cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	for name, test := range map[string]struct {
		dir        string
		live, next release.Commit
		want       release.Relation // "": unknown
	}{
		"the same":           {shallow.dir, h.first, h.first, release.RelationSame},
		"a later one":        {whole.dir, h.first, h.third, release.RelationAhead},
		"an earlier one":     {whole.dir, h.third, h.first, release.RelationBehind},
		"beside it":          {whole.dir, h.hotfix, h.third, release.RelationDiverged},
		"in a cut history":   {shallow.dir, h.first, h.third, ""},
		"without repository": {t.TempDir(), h.first, h.third, ""},
	} {
		if got, known := git.KnownRelation(t.Context(), whole.environ, test.dir, test.live, test.next); got != test.want || known != (test.want != "") {
			t.Errorf("%s: got %q, %t, want %q", name, got, known, test.want)
		}
	}
}

// The history is fetched nowhere but into the directory that was made for it, which somebody deletes even if the process is killed.
func TestCompareFetchesIntoTheScratchDirectory(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	c := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	full := errors.New("the disk is full")
	_, err := git.Compare(t.Context(), c.environ, c.dir, func() (string, func(), error) { return "", nil, full }, h.third, h.first)
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	var made string
	scratch := func() (string, func(), error) {
		dir, remove, err := scratchOf(t)()
		made = dir
		return dir, func() {
			if _, err := os.Stat(filepath.Join(dir, "objects")); err != nil {
				t.Errorf("no repository was there: %v", err)
			}
			remove()
		}, err
	}
	if got, err := git.Compare(t.Context(), c.environ, c.dir, scratch, h.third, h.first); got.Relation != release.RelationBehind || err != nil || made == "" {
		t.Errorf("got %q, %v, in %q", got.Relation, err, made)
	}
}

func TestCompareFromASubdirectoryWithARelativeRemote(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	c := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	relative, err := filepath.Rel(c.dir, h.origin.dir)
	if err != nil {
		t.Fatal(err)
	}
	c.git("remote", "set-url", "origin", relative)
	c.write("below/file", "x")
	got, err := git.Compare(t.Context(), c.environ, filepath.Join(c.dir, "below"), scratchOf(t), h.third, h.first)
	if got.Relation != release.RelationBehind || err != nil {
		t.Errorf("got %q, %v", got.Relation, err)
	}
}

func TestCompareNamesTheNewestLostCommitsOnly(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	base := c.commit("base")
	for i := range release.MaxLost + 3 {
		c.commit(fmt.Sprintf("fix %d \x1b[31m%s", i, strings.Repeat("long ", 50)))
	}
	live := release.Commit(c.git("rev-parse", "HEAD"))
	c.git("checkout", "--quiet", "-b", "other", base.String())
	got, err := c.compare(t, live, c.commit("other"))
	if err != nil || got.LostCount != release.MaxLost+3 || len(got.Lost) != release.MaxLost || got.Lost[0].Commit != live {
		t.Fatalf("got %+v, %v", got, err)
	}
	if subject := got.Lost[0].Subject; !strings.HasPrefix(subject, "fix 7 ") || strings.Contains(subject, "\x1b") || len(subject) > 100 {
		t.Errorf("subject %q", subject)
	}
	if text := got.DescribeLost(); !strings.HasSuffix(text, "; and 3 more") || strings.Count(text, "fix ") != release.MaxLost {
		t.Errorf("described as %q", text)
	}
}

func TestCompareSaysWhyTheOrderIsUnknown(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	unknown := release.Commit(strings.Repeat("0", 40))
	whole := cloneOf(t, h.url(), h.origin.environ)
	cut := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	lonely := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	lonely.git("remote", "remove", "origin")
	gone := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	gone.git("remote", "set-url", "origin", filepath.Join(t.TempDir(), "gone"))
	outside := clone{t: t, dir: t.TempDir(), environ: append(h.origin.environ, "GIT_CEILING_DIRECTORIES=/")}
	for name, test := range map[string]struct {
		clone clone
		live  release.Commit
		want  string
	}{
		"a commit that nobody has":         {whole, unknown, "commit 000000000000 is not in the repository of"},
		"the same in a shallow clone":      {cut, unknown, "commit 000000000000 is not in the repository of"},
		"no remote":                        {lonely, h.first, "has no remote to fetch the history from"},
		"a remote that is not there":       {gone, h.first, `fetching the history from remote "origin"`},
		"a directory that is no work tree": {outside, h.first, "not a git repository"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := test.clone.compare(t, test.live, h.third); !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := git.Compare(ctx, cut.environ, cut.dir, scratchOf(t), h.first, h.third); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// gitServer serves a repository over HTTP with git's own program, to those who send the credential.
func gitServer(t *testing.T, dir, credential string) *httptest.Server {
	t.Helper()
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"), Dir: dir,
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != credential {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		r.Header.Set("Git-Protocol", r.Header.Get("Git-Protocol"))
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

// TestCompareFetchesWithTheCheckoutsCredentials: those that a checkout keeps in its configuration, in the file itself or in one
// that it includes for its own directory.
func TestCompareFetchesWithTheCheckoutsCredentials(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	server := gitServer(t, h.origin.dir, "basic c2VjcmV0")
	remote := server.URL + "/" + filepath.Base(h.origin.dir)
	header := "http." + server.URL + "/.extraheader"
	value := "AUTHORIZATION: basic c2VjcmV0"
	for name, keep := range map[string]func(c clone){
		"in its configuration": func(c clone) { c.git("config", header, value) },
		"in an included file": func(c clone) {
			file := filepath.Join(t.TempDir(), "credentials")
			c.git("config", "--file", file, header, value)
			c.git("config", "includeIf.gitdir:"+c.dir+"/.git.path", file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
			c.git("remote", "set-url", "origin", remote)
			if _, err := c.compare(t, h.first, h.third); err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Fatalf("without the credential: %v", err)
			}
			keep(c)
			if got, err := c.compare(t, h.third, h.first); got.Relation != release.RelationBehind || err != nil {
				t.Errorf("got %q, %v", got.Relation, err)
			}
		})
	}
}

// TestCompareEndsWithItsContext: a remote that does not answer is not waited for any longer than the caller does.
func TestCompareEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	c := cloneOf(t, h.url(), h.origin.environ, "--depth=1")
	c.git("remote", "set-url", "origin", server.URL+"/shop.git")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	done, scratch := make(chan error, 1), scratchOf(t)
	go func() { _, err := git.Compare(ctx, c.environ, c.dir, scratch, h.first, h.third); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits on")
	}
}
