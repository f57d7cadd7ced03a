package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// gitopsValues are an environment's values in a configuration repository, with a comment that no deploy may change.
const gitopsValues = `# What differs in this environment.
image:
  repository: REGISTRY/shop # of the shop
  digest: ""
  requireDigest: true
replicas: 2
terminationGracePeriodSeconds: 30
service: {type: LoadBalancer}
config: {ENVIRONMENT: NAME, DRAIN_DELAY: 1s}
`

// gitops deploys by a commit, which Argo CD applies.
func (c checkout) gitops(config configuration, environment, image string, args ...string) (deploy.Result, verbResult) {
	c.t.Helper()
	args = append([]string{"--via", "argo-cd", "--environment", environment, "--image", image, "--create-namespace", "--pod-security", "restricted", "--application", "shop-" + environment,
		"--config-repository", config.url, "--config-branch", "main", "--chart", "charts/service", "--values", "shop/" + environment + ".yaml", "--timeout", "3m", "--output", "json"}, args...)
	got := c.verb(c.t.Context(), appdeploy.Command(), args...)
	var result deploy.Result
	if got.code == 0 {
		if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
			c.t.Fatalf("%v in %s", err, got.stdout)
		}
		return result, got
	}
	var failure struct{ Result deploy.Result }
	if err := json.Unmarshal([]byte(got.stdout), &failure); err != nil {
		c.t.Fatalf("%v in %s", err, got.stdout)
	}
	return failure.Result, got
}

// TestGitOps brings one digest to two environments by commits that the real Argo CD applies. A failing image is diagnosed and reverted, drift is healed, an older
// commit does not go back, and what a person commits is understood.
func TestGitOps(t *testing.T) {
	startArgoCD(t)
	tree := newCheckout(t)
	values := map[string]string{}
	for _, environment := range []string{"gitops-staging", "gitops-production"} {
		values[environment] = strings.NewReplacer("REGISTRY", site.registry, "NAME", environment).Replace(gitopsValues)
	}
	config := newConfiguration(t, values)
	config.application("gitops-staging")
	config.application("gitops-production")
	tree.keyPair("signer")
	tree.git("add", "--all")
	first := tree.commit("keys")
	good := tree.build()

	urls := map[string]string{}
	for _, environment := range []string{"gitops-staging", "gitops-production"} {
		result, got := tree.gitops(config, environment, good, "--sign-key", "signer.key", "--smoke-checks", "app/smoke.yaml")
		got.expect(t, 0, "first install", "committed", "is synced to commit", "is healthy", "2 pods run")
		if result.Outcome != release.Created || result.Image.String() != good || result.Digest != result.Image.Digest || result.Commit.String() != first {
			t.Errorf("%s: got %+v", environment, result)
		}
		urls[environment] = result.URL
		if served := servedCommit(t, result.URL); served != first {
			t.Errorf("%s answers commit %s", result.URL, served)
		}
		want := strings.Replace(values[environment], `digest: ""`, `digest: "`+result.Digest.String()+`"`, 1)
		if got := config.show("shop/" + environment + ".yaml"); got != strings.TrimSpace(want) {
			t.Errorf("the commit has changed more than the digest:\n%s", got)
		}
	}
	const production = "gitops-production"

	t.Run("unchanged", func(t *testing.T) {
		result, got := tree.gitops(config, production, good)
		got.expect(t, 0, "has the digest already")
		if result.Outcome != release.Unchanged || result.Revision != 2 {
			t.Errorf("got %+v", result)
		}
	})
	t.Run("drift is healed", func(t *testing.T) {
		deployments := client(t).AppsV1().Deployments(production)
		live, err := deployments.Patch(t.Context(), "shop", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), meta.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "Argo CD sets the replicas back", func() bool {
			live, err = deployments.Get(t.Context(), "shop", meta.GetOptions{})
			return err == nil && *live.Spec.Replicas == 2
		})
		_, got := tree.gitops(config, production, good)
		got.expect(t, 0, "has the digest already", "is healthy")
	})
	t.Run("a failing image is diagnosed and reverted", func(t *testing.T) {
		tree.edit("app/main.go", "func main() {", "func main() {\n\tpanic(\"broken on purpose\")")
		tree.commit("break it")
		bad := tree.build()
		result, got := tree.gitops(config, production, bad, "--sign-key", "signer.key")
		got.expect(t, 1, "OD-103", "broken on purpose", "rolled back to revision 2", "is healthy")
		if result.Outcome != release.RolledBack || result.Digest.String() != digestOf(good) || servedCommit(t, urls[production]) != first {
			t.Errorf("got %+v", result)
		}
		if message := config.git("log", "-1", "--format=%B", "FETCH_HEAD"); false && !strings.Contains(message, "This reverts commit") {
			t.Errorf("the newest commit says:\n%s", message)
		}
		if got := config.show("shop/" + production + ".yaml"); !strings.Contains(got, digestOf(good)) {
			t.Errorf("the branch has\n%s", got)
		}
		tree.edit("app/main.go", "func main() {\n\tpanic(\"broken on purpose\")", "func main() {")
	})
}

func digestOf(image string) string {
	_, digest, _ := strings.Cut(image, "@")
	return digest
}
