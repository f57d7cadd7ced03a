package e2e

import (
	"slices"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
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
	beside(t)
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
	beside(t)
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

// TestCommitsThatShareAnImage: a commit that changes only the chart gets the image of the one before. Its pods stay, and the older
// chart never replaces the newer one.
func TestCommitsThatShareAnImage(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	first := tree.git("rev-parse", "HEAD")
	image := tree.build()
	before, got := tree.deploy(t.Context(), "shared-image", image, "--commit", first)
	got.expect(t, 0)
	tree.edit("charts/service/Chart.yaml", "description: The", "description: Changed, the")
	tree.git("commit", "--quiet", "--all", "--message", "only the chart")
	second := tree.git("rev-parse", "HEAD")
	if reused := tree.build(); reused != image {
		t.Errorf("a commit that only changes the chart gets image %s, want %s", reused, image)
	}
	after, got := tree.deploy(t.Context(), "shared-image", image, "--commit", second)
	got.expect(t, 0)
	if after.Outcome != release.Changed || after.Commit.String() != second || !slices.Equal(after.Pods, before.Pods) {
		t.Errorf("got %s of commit %s with pods %q, want %s with pods %q", after.Outcome, after.Commit, after.Pods, second, before.Pods)
	}
	older, got := tree.shallow(first).deploy(t.Context(), "shared-image", image, "--commit", first)
	got.expect(t, 0, second[:7])
	if older.Outcome != release.Superseded {
		t.Errorf("the older commit: got outcome %q", older.Outcome)
	}
}

// TestAnAdoptedImage goes the way of one that was built: the commit's image in another repository is deployed, smoked and promoted.
func TestAnAdoptedImage(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	adopted := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/adopted", "--adopt", image, "--output", "json"), "image")
	if adopted == image || adopted[len(adopted)-64:] != image[len(image)-64:] {
		t.Fatalf("image %s is adopted as %s", image, adopted)
	}
	_, got := tree.deploy(t.Context(), "adopted", adopted)
	got.expect(t, 0)
	tree.verb(t.Context(), appsmoke.Command(), "--environment", "adopted", "--image", adopted, "--release", "adopted", "--checks", "app/smoke.yaml").expect(t, 0)
	commit := tree.git("rev-parse", "HEAD")
	tree.verb(t.Context(), apppromote.Command(), "--repository", site.registry+"/adopted", "--commit", commit, "--from", "adopted", "--to", "production").expect(t, 0)
}
