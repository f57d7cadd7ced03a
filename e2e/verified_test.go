package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	apphistory "github.com/onedigest/onedigest/internal/app/history"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
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
	beside(t)
	tree := newCheckout(t)
	tree.keyPair("signer")
	tree.git("add", "--all")
	tree.commit("keys")
	// runs checks which image the environment runs by what is recorded.
	runs := func(image release.Image) {
		t.Helper()
		got := tree.verb(t.Context(), apphistory.Command(), "--repository", image.Repository.String(), "--environments", "proved", "--verify-key", "signer.pub", "--output", "json")
		var told history.Result
		if err := json.Unmarshal([]byte(got.stdout), &told); err != nil || len(told.Running) != 1 || told.Running[0].Image != image {
			t.Errorf("the records say that the environment runs %+v, %v, want %s", told.Running, err, image)
		}
	}
	first, got := tree.deploy(t.Context(), "proved", tree.build(), "--sign-key", "signer.key")
	got.expect(t, 0)
	runs(first.Image)
	tree.smoke("proved").expect(t, 0, "marked revision 1 of release", "as proved")

	tree.edit("app/configs.go", "s.json(w, http.StatusOK,", "s.json(w, http.StatusInternalServerError,")
	tree.commit("break /configs")
	broken := tree.build()
	second, got := tree.deploy(t.Context(), "proved", broken, "--sign-key", "signer.key")
	got.expect(t, 0)
	runs(second.Image)
	tree.smoke("proved").expect(t, 1, "marked revision 2 of release", "as failed")

	result, got := tree.deploy(t.Context(), "proved", broken, "--set", "config.LOG_LEVEL=loud", "--sign-key", "signer.key")
	got.expect(t, 1, "recorded that \"proved\" runs", "a rollback would skip the live revision 2", "revision 2 failed its smoke", "rolled back to revision 1")
	if result.Outcome != release.RolledBack || servedCommit(t, first.URL) != first.Commit.String() {
		t.Errorf("got outcome %q, and %s answers: %s", result.Outcome, servedCommit(t, first.URL), result.State)
	}

	runs(first.Image)

	_, got = tree.deploy(t.Context(), "proved", broken, "--sign-key", "signer.key")
	got.expect(t, 0)
	runs(second.Image)
	tree.smoke("proved").expect(t, 1, "as failed")
	goBack := []string{"--environment", "proved", "--release", "shop", "--rollback-failed-smoke", "--sign-key", "signer.key"}
	tree.verb(t.Context(), appdeploy.Command(), goBack...).expect(t, 0, "rolled back to revision 4")
	runs(first.Image)
	if commit := servedCommit(t, first.URL); commit != first.Commit.String() {
		t.Errorf("%s answers, want %s", commit, first.Commit)
	}
	tree.smoke("proved").expect(t, 0)
	tree.verb(t.Context(), appdeploy.Command(), goBack...).expect(t, 0, "no smoke has failed the live revision 6")
}

// TestARollbackByHandIsUnderstood: the revision that a person went back from, with Helm's own command, is not gone back to.
func TestARollbackByHandIsUnderstood(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	for _, greeting := range []string{"one", "two"} {
		_, got := tree.deploy(t.Context(), "by-hand", image, "--set", "config.GREETING="+greeting)
		got.expect(t, 0)
	}
	rollback := action.NewRollback(helmOf(t, "by-hand"))
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

// helmOf is Helm itself in a namespace.
func helmOf(t *testing.T, namespace string) *action.Configuration {
	t.Helper()
	settings := cli.New()
	settings.KubeConfig = site.kubeconfig
	settings.SetNamespace(namespace)
	config := new(action.Configuration)
	if err := config.Init(settings.RESTClientGetter(), namespace, "secret", t.Logf); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestACommitThatHelmDeployed: a person deployed a newer commit's image with Helm's own command, which writes no commit anywhere. An older one does not replace it.
func TestACommitThatHelmDeployed(t *testing.T) {
	onNode(t)
	beside(t)
	tree, first, second := newAnySite(t)
	const namespace = "by-helm"
	tree.deployManifest(t, namespace, first, web).expect(t, 0, "created")
	loaded, err := loader.Load(filepath.Join(tree.dir, "charts/any"))
	if err != nil {
		t.Fatal(err)
	}
	repository, digest, _ := strings.Cut(second, "@")
	upgrade := action.NewUpgrade(helmOf(t, namespace))
	upgrade.Namespace = namespace
	if _, err := upgrade.Run("shop", loaded, map[string]any{"manifest": web, "image": map[string]any{"repository": repository, "digest": digest}}); err != nil {
		t.Fatal(err)
	}
	tree.deployManifest(t, namespace, first, web).expect(t, 0, "another tool deployed the live revision 2: its image is labelled with commit", "superseded")
	tree.deployManifest(t, namespace, second, web).expect(t, 0, "1 pod runs "+digest)
}
