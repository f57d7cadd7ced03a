package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"k8s.io/client-go/tools/clientcmd"
)

// field reads one value of a verb's JSON; a verb that failed fails the test.
func field(t *testing.T, got verbResult, name string) string {
	t.Helper()
	if got.code != 0 {
		t.Fatalf("exit %d\n%s", got.code, got.stderr)
	}
	var values map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &values); err != nil {
		t.Fatalf("%v in %s", err, got.stdout)
	}
	return fmt.Sprint(values[name])
}

// TestAFailingRolloutIsExplained deploys what cannot become ready and wants the reason, long before the timeout.
func TestAFailingRolloutIsExplained(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	built := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--output", "json"), "image")
	for namespace, test := range map[string]struct {
		values string
		want   []string
	}{
		"crashing":   {"config: {LOG_LEVEL: loud}\n", []string{"CrashLoopBackOff", `LOG_LEVEL: "loud" is none of debug, info, warn, error`}},
		"secretless": {"existingSecrets: [{name: absent}]\n", []string{"CreateContainerConfigError", `secret "absent" not found`}},
	} {
		t.Run(namespace, func(t *testing.T) {
			tree.write(namespace+".yaml", test.values)
			got := tree.verb(t.Context(), appdeploy.Command(), "--environment", namespace, "--image", built, "--create-namespace", "--pod-security", "restricted",
				"--timeout", "90s", "--values", namespace+".yaml")
			if got.code != 1 {
				t.Errorf("exit %d, want 1", got.code)
			}
			for _, want := range test.want {
				if !strings.Contains(got.stdout+got.stderr, want) {
					t.Errorf("no %q in:\n%s%s", want, got.stdout, got.stderr)
				}
			}
		})
	}
}

// TestDeployRefusesBeforeAnythingChanges holds faults and refusals to their exit codes on the real cluster.
func TestDeployRefusesBeforeAnythingChanges(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	built := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--output", "json"), "image")
	absent := site.registry + "/shop@sha256:" + strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"an image that is not there":     {[]string{"--image", absent}, 1, "is not in its registry"},
		"a namespace that is absent":     {[]string{"--image", built, "--namespace", "nowhere"}, 2, "create-namespace"},
		"a namespace that is forbidden":  {[]string{"--image", built, "--kubeconfig", "stranger.yaml", "--allow-work-tree-kubeconfig", "--create-namespace"}, 3, "forbidden"},
		"a cluster that does not answer": {[]string{"--image", built, "--kubeconfig", "dead.yaml", "--allow-work-tree-kubeconfig"}, 3, "cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			tree.write("dead.yaml", deadKubeconfig)
			tree.write("stranger.yaml", strangersKubeconfig(t))
			got := tree.verb(t.Context(), appdeploy.Command(), append([]string{"--environment", "refusing"}, test.args...)...)
			if got.code != test.code || !strings.Contains(got.stderr, test.want) {
				t.Errorf("exit %d, want %d and %q in:\n%s", got.code, test.code, test.want, got.stderr)
			}
		})
	}
}

// strangersKubeconfig is the site's, for somebody who may do nothing.
func strangersKubeconfig(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = "stranger"
	}
	text, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// deadKubeconfig leads to a port of this machine where nothing listens.
const deadKubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: dead, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: dead, context: {cluster: dead, user: nobody}}]
users: [{name: nobody, user: {}}]
current-context: dead
`
