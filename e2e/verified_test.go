package e2e

import (
	"strings"
	"testing"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/cli"
)

// smoke runs the verb on the release shop of a namespace.
func (c checkout) smoke(namespace string, args ...string) verbResult {
	c.t.Helper()
	return c.verb(c.t.Context(), appsmoke.Command(), append([]string{"--environment", namespace, "--release", "shop", "--checks", "app/smoke.yaml", "--timeout", "1m", "--patience", "2s"}, args...)...)
}

// TestARollbackGoesToWhatSmokeProved: a revision that became ready and answers wrongly is never gone back to, and is rolled back by the
// step after smoke.
func TestARollbackGoesToWhatSmokeProved(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	first, got := tree.deploy(t.Context(), "proved", tree.build())
	got.expect(t, 0)
	tree.smoke("proved").expect(t, 0, "marked revision 1 of release", "as proved")

	tree.edit("app/configs.go", "s.json(w, http.StatusOK,", "s.json(w, http.StatusInternalServerError,")
	tree.commit("break /configs")
	broken := tree.build()
	_, got = tree.deploy(t.Context(), "proved", broken)
	got.expect(t, 0)
	tree.smoke("proved").expect(t, 1, "marked revision 2 of release", "as failed")

	result, got := tree.deploy(t.Context(), "proved", broken, "--set", "config.LOG_LEVEL=loud")
	got.expect(t, 1, "a rollback would skip the live revision 2", "its smoke failed", "rolled back to revision 1")
	if result.Outcome != release.RolledBack || servedCommit(t, first.URL) != first.Commit.String() {
		t.Errorf("got outcome %q, and %s answers: %s", result.Outcome, servedCommit(t, first.URL), result.State)
	}

	_, got = tree.deploy(t.Context(), "proved", broken)
	got.expect(t, 0)
	tree.smoke("proved").expect(t, 1, "as failed")
	goBack := []string{"--environment", "proved", "--release", "shop", "--rollback-failed-smoke"}
	tree.verb(t.Context(), appdeploy.Command(), goBack...).expect(t, 0, "rolled back to revision 4")
	if commit := servedCommit(t, first.URL); commit != first.Commit.String() {
		t.Errorf("%s answers, want %s", commit, first.Commit)
	}
	tree.smoke("proved").expect(t, 0)
	tree.verb(t.Context(), appdeploy.Command(), goBack...).expect(t, 0, "no smoke has failed the live revision 6")
}

// TestARollbackByHandIsUnderstood: the revision that a person went back from, with Helm's own command, is not gone back to.
func TestARollbackByHandIsUnderstood(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	image := tree.build()
	for _, greeting := range []string{"one", "two"} {
		_, got := tree.deploy(t.Context(), "by-hand", image, "--set", "config.GREETING="+greeting)
		got.expect(t, 0)
	}
	settings := cli.New()
	settings.KubeConfig = site.kubeconfig
	settings.SetNamespace("by-hand")
	config := new(action.Configuration)
	if err := config.Init(settings.RESTClientGetter(), "by-hand", "secret", t.Logf); err != nil {
		t.Fatal(err)
	}
	rollback := action.NewRollback(config)
	rollback.Version = 1
	if err := rollback.Run("shop"); err != nil {
		t.Fatal(err)
	}
	result, got := tree.deploy(t.Context(), "by-hand", image, "--set", "config.LOG_LEVEL=loud", "--set", "config.GREETING=three")
	got.expect(t, 1, "rolled back to revision 3")
	if result.Outcome != release.RolledBack || !strings.Contains(result.State, "as revision 5") {
		t.Errorf("got outcome %q: %s", result.Outcome, result.State)
	}
}
