package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/app/apptest"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/argocd"
	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	if !slices.Contains(args, "--application") {
		args = append(args, "--application", "shop-"+environment)
	}
	if !slices.Contains(args, "--values") {
		args = append(args, "--values", "shop/"+environment+".yaml")
	}
	args = append([]string{"--via", "argo-cd", "--environment", environment, "--image", image, "--create-namespace", "--pod-security", "restricted", "--config-repository", config.url, "--config-branch", "main", "--chart", "charts/service", "--timeout", "3m", "--output", "json"}, args...)
	got := c.verb(c.t.Context(), appdeploy.Command(), args...)
	apptest.Emitted{Stdout: got.stdout, Stderr: got.stderr}.Search(c.t)
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
//
// Argo CD has no more rights than Terraform gives it: its controller is the account that Terraform binds, in the namespaces of the releases.
func TestGitOps(t *testing.T) {
	const rendered, terraforms = "gitops-rendered", "gitops-terraform"
	startArgoCD(t, "gitops-staging", "gitops-production", rendered, terraforms)
	tree := newCheckout(t)
	tree.environ = append(tree.environ, "DB_PASSWORD=canary-environment", "USER=canary-actor", "MY_TOKEN=canary-actor")
	values := map[string]string{}
	for _, environment := range []string{"gitops-staging", "gitops-production", terraforms} {
		values[environment] = strings.NewReplacer("REGISTRY", site.registry, "NAME", environment).Replace(gitopsValues)
	}
	config := newConfiguration(t, values)
	config.application("gitops-staging")
	config.application("gitops-production")
	tree.write("rendered.yaml", strings.NewReplacer("REGISTRY", site.registry, "NAME", rendered).Replace(gitopsValues))
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
	limited := limitedToGitOps(t, production)
	t.Run("a failing image is diagnosed and reverted, by a user with the Role of GitOps", func(t *testing.T) {
		tree.edit("app/main.go", "func main() {", "func main() {\n\tpanic(\"broken on purpose\")")
		tree.commit("break it")
		result, got := tree.gitops(config, production, tree.build(), "--sign-key", "signer.key", "--kubeconfig", limited)
		got.expect(t, 1, "OD-103", "broken on purpose", "rolled back to revision 2", "is healthy")
		if result.Outcome != release.RolledBack || result.Digest.String() != digestOf(good) || servedCommit(t, urls[production]) != first {
			t.Errorf("got %+v", result)
		}
		if got := config.show("shop/" + production + ".yaml"); !strings.Contains(got, digestOf(good)) {
			t.Errorf("the branch has\n%s", got)
		}
		if message := config.git("log", "-1", "--format=%B", "FETCH_HEAD"); !strings.Contains(message, "This reverts commit") || !strings.Contains(message, "Onedigest-Commit: "+first) {
			t.Errorf("the newest commit says:\n%s", message)
		}
		tree.edit("app/main.go", "func main() {\n\tpanic(\"broken on purpose\")", "func main() {")
	})
	t.Run("a person's commit is understood, and the deploy's is signed as git is told", func(t *testing.T) {
		config.git("pull", "--quiet", "origin", "main")
		config.edit("shop/gitops-staging.yaml", "replicas: 2", "replicas: 1")
		config.push("one pod is enough")
		second := tree.commit("mend it")
		signing := tree
		signing.environ = append(slices.Clone(tree.environ), "GIT_CONFIG_GLOBAL="+signedBySSH(t))
		result, got := signing.gitops(config, "gitops-staging", tree.build(), "--sign-key", "signer.key", "--smoke-checks", "app/smoke.yaml")
		got.expect(t, 0, "1 pod runs")
		if result.Outcome != release.Changed || servedCommit(t, urls["gitops-staging"]) != second || result.Revision != 4 {
			t.Errorf("got %+v", result)
		}
		config.show("shop/gitops-staging.yaml")
		if object := config.git("cat-file", "commit", "FETCH_HEAD"); !strings.Contains(object, "-----BEGIN SSH SIGNATURE-----") || !strings.Contains(object, "committer robot") {
			t.Errorf("the commit is not signed:\n%s", object)
		}
	})
	t.Run("refusals change nothing", func(t *testing.T) {
		config.show("shop/gitops-staging.yaml")
		before := config.git("rev-parse", "FETCH_HEAD")
		result, got := tree.gitops(config, "gitops-staging", good)
		got.expect(t, 0, "superseded")
		if result.Outcome != release.Superseded {
			t.Errorf("an older commit: got %+v", result)
		}
		tree.commit("unproved")
		_, got = tree.gitops(config, production, tree.build(), "--proved-in", "gitops-staging", "--verify-key", "signer.pub", "--sign-key", "signer.key")
		got.expect(t, 1, "refused")
		_, got = tree.gitops(config, production, good, "--release", "other", "--application", "shop-gitops-staging")
		got.expect(t, 2, `applies to namespace "gitops-staging"`, `names the release "shop"`, "uses the values files")
		_, got = tree.gitops(config, production, good, "--set", "replicas=3", "--failed-install", "uninstall")
		got.expect(t, 2, "--set", "--failed-install", "Argo CD would not know of it")
		_, got = tree.gitops(config, production, good, "--config-key", "image.tag")
		got.expect(t, 2, `has no value "image.tag"`)
		config.show("shop/gitops-staging.yaml")
		if after := config.git("rev-parse", "FETCH_HEAD"); after != before {
			t.Errorf("the branch went from %s to %s", before, after)
		}
	})
	t.Run("a proposal is deployed once it is merged", func(t *testing.T) {
		next := tree.build()
		result, got := tree.gitops(config, production, next, "--config-pull-request")
		got.expect(t, 0, "proposed on branch")
		if result.Outcome != release.Proposed || servedCommit(t, urls[production]) != first || !strings.Contains(config.show("shop/"+production+".yaml"), digestOf(good)) {
			t.Errorf("got %+v", result)
		}
		config.git("fetch", "--quiet", "origin", result.Proposal.Branch)
		config.git("push", "--quiet", "origin", "FETCH_HEAD:main")
		result, got = tree.gitops(config, production, next, "--config-pull-request", "--sign-key", "signer.key")
		got.expect(t, 0, "has the digest already", "is healthy")
		if result.Outcome != release.Changed || result.Image.String() != next || servedCommit(t, urls[production]) == first {
			t.Errorf("got %+v", result)
		}
	})
	t.Run("rendered manifests are applied as they are", func(t *testing.T) {
		config.application(rendered)
		config.manifests(rendered)
		commit := tree.commit("of the manifests")
		image := tree.build()
		apply := func(args ...string) (deploy.Result, verbResult) {
			return tree.gitops(config, rendered, image, append([]string{"--config-path", "live/" + rendered, "--values", "rendered.yaml"}, args...)...)
		}
		result, got := apply()
		got.expect(t, 0, "committed", "is synced to commit", "is healthy", "2 pods run")
		if result.Outcome != release.Created || servedCommit(t, result.URL) != commit {
			t.Errorf("got %+v", result)
		}
		if got := config.show("live/" + rendered + "/deployment-shop.yaml"); !strings.Contains(got, "image: "+image) {
			t.Errorf("the branch has\n%s", got)
		}
		result, got = apply()
		got.expect(t, 0, "has the digest already")
		if result.Outcome != release.Unchanged {
			t.Errorf("got %+v", result)
		}
		tree.edit("app/main.go", "func main() {", "func main() {\n\tpanic(\"broken on purpose\")")
		tree.commit("break the manifests")
		image = tree.build()
		result, got = apply()
		got.expect(t, 1, "OD-103", "broken on purpose", "rolled back to revision 1", "is healthy")
		if result.Outcome != release.RolledBack {
			t.Errorf("got %+v", result)
		}
		tree.edit("app/main.go", "func main() {\n\tpanic(\"broken on purpose\")", "func main() {")
		tree.commit("mend the manifests")
	})
	t.Run("Terraform's objects and rights are enough, and no more than a release needs", func(t *testing.T) {
		config.terraforms(terraforms)
		result, got := tree.gitops(config, terraforms, good)
		got.expect(t, 0, "committed", "is synced to commit", "is healthy", "2 pods run")
		if result.Outcome != release.Created || servedCommit(t, result.URL) != first {
			t.Errorf("got %+v", result)
		}
		controller := impersonate(t, argoCDController)
		for what, err := range map[string]error{
			"the Secrets of the release":     refusal(controller.CoreV1().Secrets(terraforms).List(t.Context(), meta.ListOptions{})),
			"Deployments elsewhere":          refusal(controller.AppsV1().Deployments("default").List(t.Context(), meta.ListOptions{})),
			"Deployments of every namespace": refusal(controller.AppsV1().Deployments("").List(t.Context(), meta.ListOptions{})),
			"namespaces":                     refusal(controller.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{})),
			"Roles":                          refusal(controller.RbacV1().Roles(terraforms).List(t.Context(), meta.ListOptions{})),
		} {
			if !apierrors.IsForbidden(err) {
				t.Errorf("Argo CD's controller reads %s: %v", what, err)
			}
		}

		config.git("pull", "--quiet", "origin", "main")
		const reader = "rbac: {readers: [{kind: User, name: stranger}]}\n"
		config.edit("shop/"+terraforms+".yaml", "replicas: 2\n", "replicas: 2\n"+reader)
		config.push("a Role by a commit")
		refresh(t, "shop-"+terraforms)
		eventually(t, "Argo CD refuses the Role", func() bool {
			said := conditions(t, "shop-"+terraforms)
			return strings.Contains(said, "is excluded in the settings") || strings.Contains(said, "is not permitted in project")
		})
		roles, err := client(t).RbacV1().Roles(terraforms).List(t.Context(), meta.ListOptions{})
		if err != nil || len(roles.Items) != 1 { // the controller's own
			t.Errorf("%v, %+v", err, roles.Items)
		}
		config.edit("shop/"+terraforms+".yaml", reader, "")
		config.push("no Role")

		config.terraforms(terraforms, "shop-production", "stray", `"destination": {"namespace": "production"`, `"destination": {"namespace": "gitops-staging"`)
		eventually(t, "Argo CD refuses another project's namespace", func() bool { return strings.Contains(conditions(t, "stray"), "InvalidSpecError") })
	})
	t.Run("a deliberate rollback pins", func(t *testing.T) {
		_, got := tree.gitops(config, "gitops-staging", good, "--allow-rollback")
		got.expect(t, 0, "pinned at commit")
		_, got = tree.gitops(config, "gitops-staging", tree.build(), "--sign-key", "signer.key")
		got.expect(t, 1, "is pinned at commit")
	})
	t.Run("commits and notes have no secret", func(t *testing.T) {
		pushed, err := command("", "git", "--git-dir", strings.TrimPrefix(config.url, "file://"), "log", "--all", "--patch", "--format=fuller")
		if err != nil || !strings.Contains(pushed, "This reverts commit") || !strings.Contains(pushed, "Notes added by") {
			t.Fatalf("%v: %s", err, pushed)
		}
		apptest.Emitted{Pushed: pushed}.Search(t)
	})
}

// limitedToGitOps writes the kubeconfig of a user with the rules that a deploy needs whose objects Argo CD applies.
func limitedToGitOps(t *testing.T, namespace string) string {
	t.Helper()
	needed := slices.Clone(kube.GitOpsPermissions)
	for _, kind := range []release.AppliedKind{{Group: "apps", Resource: "deployments"}, {Resource: "services"}} {
		kind.Namespace, kind.Use = namespace, release.UseWatch
		needed = append(needed, kube.KindPermissions(kind)...)
	}
	bindRole(t, namespace, "gitops", policyRules(needed))
	own := append(argocd.Permissions("shop-"+namespace), release.Permission{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"get"}}) // which bindRole asks for
	bindRole(t, argoCD, "gitops", policyRules(own))
	return kubeconfigOf(t, "", "gitops")
}

// signedBySSH writes a configuration by which git signs every commit with a new SSH key.
func signedBySSH(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "gitconfig")
	if out, err := command(dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := "[user]\n\tname = robot\n\temail = robot@example.com\n\tsigningKey = " + key + "\n[gpg]\n\tformat = ssh\n[commit]\n\tgpgSign = true\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func digestOf(image string) string {
	_, digest, _ := strings.Cut(image, "@")
	return digest
}

// refusal returns the error of a request whose answer is not needed.
func refusal[T any](_ T, err error) error { return err }

// refresh has Argo CD read the repository now.
func refresh(t *testing.T, application string) {
	t.Helper()
	patch := []byte(`{"metadata":{"annotations":{"argocd.argoproj.io/refresh":"normal"}}}`)
	if _, err := dynamicClient(t).Resource(applications).Namespace(argoCD).Patch(t.Context(), application, types.MergePatchType, patch, meta.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}
