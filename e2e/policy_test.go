package e2e

import (
	"slices"
	"strings"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rulesOfTwo are the rules of this test: production takes what staging ran and proved, with the chart and values of its commit.
const rulesOfTwo = `version: 1
environments:
  - name: rules-staging
    signers: [staging.pub]
  - name: rules-production
    signers: [production.pub]
    requires:
      smoked: {checks: 1}
      deployed: {in: rules-staging}
      chart-of-commit: true
    override:
      actors: [e2e]
      signers: [manager.pub]
`

// TestRulesOnANode takes commits through a file of rules: what is refused and with which lines, an override, a rejection that nobody passes, and its end.
func TestRulesOnANode(t *testing.T) {
	onNode(t)
	beside(t)
	const production = "rules-production"
	tree := newCheckout(t)
	for _, name := range []string{"staging", "production", "manager"} {
		tree.keyPair(name)
	}
	tree.write(".onedigest.yaml", rulesOfTwo)
	for _, environment := range []string{"rules-staging", production} {
		tree.write(environment+".yaml", "config:\n  ENVIRONMENT: "+environment+"\n")
	}
	tree.git("add", "--all")
	build := func(message string) string {
		t.Helper()
		tree.commit(message)
		return field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--output", "json"), "image")
	}
	deploy := func(environment, image string, args ...string) verbResult {
		t.Helper()
		return tree.verb(t.Context(), appdeploy.Command(), append([]string{"--environment", environment, "--image", image, "--create-namespace", "--values", "terraform/staging/values-staging.yaml",
			"--values", environment + ".yaml"}, args...)...)
	}
	prove := func(image string) {
		t.Helper()
		deploy("rules-staging", image, "--sign-key", "staging.key").expect(t, release.ExitDone)
		tree.verb(t.Context(), appsmoke.Command(), "--environment", "rules-staging", "--image", image, "--sign-key", "staging.key").expect(t, release.ExitDone)
	}
	promote := func(image string, args ...string) verbResult {
		t.Helper()
		return tree.verb(t.Context(), apppromote.Command(), append([]string{"--image", image, "--to", production}, args...)...)
	}
	says := func(what string, got verbResult, code int, wants ...string) {
		t.Helper()
		said := got.stdout + got.stderr
		if missing := slices.DeleteFunc(wants, func(want string) bool { return strings.Contains(said, want) }); got.code != code || len(missing) > 0 {
			t.Errorf("%s: exit %d, want %d; it does not say %q:\n%s", what, got.code, code, missing, said)
		}
	}

	first := build("first")
	says("a deploy of what staging never ran", deploy(production, first, "--sign-key", "production.key"), release.ExitFailed,
		`MISSING deployed: required a deploy to "rules-staging"`, `MISSING smoked: required a pass of smoke in "rules-staging"`, "ok      chart of the commit", "to pass: ")
	if _, err := client(t).CoreV1().Namespaces().Get(t.Context(), production, meta.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace: %v, want that it does not exist", err)
	}
	says("its promotion", promote(first), release.ExitFailed, "MISSING smoked", "MISSING deployed")
	prove(first)
	says("the promotion of what staging proved", promote(first, "--sign-key", "production.key"), release.ExitDone, "ok      deployed", "ok      smoked", "by staging.pub")
	tree.edit("terraform/staging/values-staging.yaml", "DRAIN_DELAY: 3s", "DRAIN_DELAY: 4s")
	says("values that no commit has", deploy(production, first), release.ExitFailed, "MISSING chart of the commit")
	tree.git("update-index", "--assume-unchanged", "terraform/staging/values-staging.yaml")
	says("the same, hidden from git status", deploy(production, first), release.ExitFailed, "MISSING chart of the commit")
	tree.git("update-index", "--no-assume-unchanged", "terraform/staging/values-staging.yaml")
	tree.edit("terraform/staging/values-staging.yaml", "DRAIN_DELAY: 4s", "DRAIN_DELAY: 3s")
	says("a value that the command sets", deploy(production, first, "--set", "config.GREETING=hello"), release.ExitFailed, "MISSING chart of the commit", `set or set-json sets "config.GREETING"`)
	says("the deploy", deploy(production, first, "--sign-key", "production.key"), release.ExitDone, "ok      chart of the commit")

	second := build("second")
	const reason = "staging is down, agreed with the owner"
	says("an override with another key", deploy(production, second, "--override-reason", reason, "--sign-key", "production.key"), release.ExitFailed, "may not sign an override")
	tree.environ = []string{"USER=mallory"}
	says("an override by somebody else", deploy(production, second, "--override-reason", reason, "--sign-key", "manager.key"), release.ExitFailed, "may not override")
	tree.environ = nil
	says("an override", deploy(production, second, "--override-reason", reason, "--sign-key", "manager.key"), release.ExitDone, "OVERRIDDEN by e2e ("+reason+")")

	prove(second)
	says("a rejection", promote(second, "--reject", "CVE-2026-1, agreed with security"), release.ExitDone, "is rejected")
	says("the promotion of what was rejected", promote(second), release.ExitFailed, "MISSING not rejected", "CVE-2026-1")
	says("an override of a rejection", deploy(production, second, "--override-reason", reason, "--sign-key", "manager.key"), release.ExitFailed, "a rejection cannot be overridden")
	lift := []string{"--lift-rejection", "the advisory is about another image", "--sign-key"}
	says("a lift by staging", promote(second, append(lift, "staging.key")...), release.ExitFailed, "may not sign")
	says("a lift", promote(second, append(lift, "production.key")...), release.ExitDone, "do not count")
	says("the promotion after it", promote(second, "--sign-key", "production.key"), release.ExitDone, "ok      not rejected")
	says("and the deploy", deploy(production, second, "--sign-key", "production.key"), release.ExitDone, "ok      smoked")
}
