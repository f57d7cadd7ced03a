package e2e

import (
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// shallow is a checkout of one commit without any history, as a workflow makes it by default.
func (c checkout) shallow(commit string) checkout {
	c.t.Helper()
	cut := checkout{t: c.t, dir: c.t.TempDir(), namespaces: c.namespaces}
	cut.git("init", "--quiet", "--initial-branch=main")
	cut.git("remote", "add", "origin", "file://"+c.dir)
	cut.git("fetch", "--quiet", "--depth=1", "origin", commit)
	cut.git("checkout", "--quiet", commit)
	return cut
}

// TestOrderWithoutHistory: a checkout of one commit asks its remote for the rest, and where it cannot the deploy is refused.
func TestOrderWithoutHistory(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	first := tree.git("rev-parse", "HEAD")
	older := tree.build()
	tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
	second := tree.commit("greet otherwise")
	newer := tree.build()
	_, got := tree.deploy(t.Context(), "without-history", newer)
	got.expect(t, 0)

	cut := tree.shallow(first)
	result, got := cut.deploy(t.Context(), "without-history", older)
	got.expect(t, 0, "superseded", second[:7])
	if result.Outcome != release.Superseded {
		t.Errorf("got outcome %q", result.Outcome)
	}
	_, got = cut.deploy(t.Context(), "without-history", older, "--dry-run")
	got.expect(t, 0, "the deploy would change nothing", second[:7])
	cut.git("remote", "remove", "origin")
	for _, flags := range [][]string{{"--dry-run"}, nil} {
		_, got = cut.deploy(t.Context(), "without-history", older, flags...)
		got.expect(t, 1, "OD-213", "fetch-depth: 0")
	}
	if state := readReleaseState(t, "without-history"); state.revision != 1 || state.held {
		t.Errorf("left: %s", state)
	}
}

// TestAHotfixIsNotOverwritten deploys a branch, and then main without it.
func TestAHotfixIsNotOverwritten(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	tree.git("checkout", "--quiet", "-b", "hotfix")
	tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
	tree.commit("round prices up")
	hotfix := tree.build()
	tree.git("checkout", "--quiet", "main")
	second := tree.commit("something else")
	main := tree.build()
	_, got := tree.deploy(t.Context(), "hotfix", hotfix)
	got.expect(t, 0)
	for _, where := range []checkout{tree, tree.shallow(second)} {
		for _, flags := range [][]string{{"--dry-run"}, nil} {
			_, got = where.deploy(t.Context(), "hotfix", main, flags...)
			got.expect(t, 1, "OD-214", "round prices up", "--allow-diverged")
		}
	}
	result, got := tree.deploy(t.Context(), "hotfix", main, "--allow-diverged")
	got.expect(t, 0, "round prices up")
	if answers := servedCommit(t, result.URL); answers != second {
		t.Errorf("%s answers, want %s", answers, second)
	}
}
