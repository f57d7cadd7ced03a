package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// A service that has no address outside the cluster, names no commit, answers 404 at paths that it does not know, and is ready at a path
// of its own.
const (
	insideService = `
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: web}]}`
	insideWeb = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 2
  podManagementPolicy: Parallel
  serviceName: web
  selector: {matchLabels: {app: web, tier: front}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      securityContext: {{ include "secure" . }}
      containers:
        - name: app
          image: {{ include "image" . }}
          securityContext: {{ include "hardened" . }}
          env: [{name: BROKEN_HOST, value: "NONE"}]
          ports: [{name: web, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /ready, port: web}, periodSeconds: 1}`
	worker = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  replicas: 1
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec:
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      securityContext: {{ include "secure" . }}
      containers: [{name: app, image: {{ include "image" . }}, securityContext: {{ include "hardened" . }}}]`
	stranger = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stranger}
spec:
  replicas: 1
  selector: {matchLabels: {app: web, tier: back}}
  template:
    metadata: {labels: {app: web, tier: back}}
    spec: {{- include "other" . | nindent 6 }}`
)

// TestSmokeInsideTheCluster asks releases that only their cluster can reach, pod by pod.
func TestSmokeInsideTheCluster(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newCheckout(t)
	for _, part := range []string{"broken", "charts/any"} {
		if err := os.CopyFS(filepath.Join(tree.dir, part), os.DirFS(filepath.Join(site.root, "e2e/testdata", part))); err != nil {
			t.Fatal(err)
		}
	}
	tree.write("strict.yaml", "checks:\n  - path: /\n")
	tree.write("command.yaml", `checks:
  - name: reach
    command: [sh, -c, 'set -eu; case $BASE_URL in http://127.0.0.1:*) ;; *) exit 3 ;; esac; test -z "${KUBECONFIG-}"; echo "$EXPECTED_COMMIT $EXPECTED_DIGEST"; for i in 1 2 3 4; do curl -fsS "$BASE_URL/ready"; done']
`)
	tree.write("failing.yaml", "checks:\n  - name: judge\n    command: [sh, -c, 'curl -fsS $BASE_URL/no/such/page']\n")
	tree.write("break.yaml", "checks:\n  - path: /break\n")
	tree.commit("a service that knows nothing of commits")
	image := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "broken", "--output", "json"), "image")
	for name, test := range map[string]func(t *testing.T, namespace string){
		"proved-inside": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, image, insideWeb+insideService, "--smoke-checks", "default").expect(t, 0,
				"readinessProbe of container app", "probing the pods of release", "verdict: pass after 3 rounds")
			smoke := func(args ...string) verbResult {
				own := tree
				own.t = t
				return own.verb(t.Context(), appsmoke.Command(), append([]string{"--environment", namespace, "--release", "shop", "--timeout", "1m", "--patience", "2s"}, args...)...)
			}
			smoke("--image", image).expect(t, 0, "verdict: pass", "recorded verdict", "not checked: whether the release can be reached from outside")
			smoke("--checks", "strict.yaml").expect(t, 0, "verdict: pass", "marked revision 1")
			smoke("--image", image, "--checks", "command.yaml").expect(t, 0, `check "reach" passed`, "verdict: pass", "recorded verdict")
			smoke("--image", image, "--commit-from", "header:X-Commit").expect(t, 1, "no X-Commit header")
			smoke("--image", image, "--url", "http://shop.example.com").expect(t, 2, `host "shop.example.com" is not one of release "shop"`)
		},
		"one-broken-of-two": func(t *testing.T, namespace string) {
			broken := strings.Replace(insideWeb, "NONE", "web-1", 1)
			tree.deployManifest(t, namespace, image, broken+insideService, "--smoke-checks", "strict.yaml").expect(t, 1,
				"OD-208", "at pod web-1:8080 status: expected 200, got 500")
		},
		"a-command-that-fails": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, image, insideWeb+insideService, "--smoke-checks", "failing.yaml").expect(t, 1,
				"OD-208", "judge [check] exited with status 22", "The requested URL returned error: 404")
		},
		// Another workload of the same image does not stand for one that crashes, which a person broke after the deploy.
		"crash-beside": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, image, insideWeb+insideService+worker).expect(t, 0)
			crash := []byte(`[{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": [{"name": "DOES", "value": "exit"}]}, {"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}]`)
			if _, err := client(t).AppsV1().Deployments(namespace).Patch(t.Context(), "worker", types.JSONPatchType, crash, meta.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			crashes := func(ctx context.Context) (bool, error) {
				pods, err := client(t).CoreV1().Pods(namespace).List(ctx, meta.ListOptions{LabelSelector: "app=worker"})
				return err == nil && len(pods.Items) == 1 && len(pods.Items[0].Status.ContainerStatuses) == 1 && pods.Items[0].Status.ContainerStatuses[0].RestartCount > 0, err
			}
			if err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, time.Minute, true, crashes); err != nil {
				t.Fatal(err)
			}
			own := tree
			own.t = t
			own.verb(t.Context(), appsmoke.Command(), "--environment", namespace, "--release", "shop", "--image", image, "--timeout", "20s").expect(t, 1, "Deployment/worker has no ready pod")
		},
		// A pod that stops being ready in the middle does not leave the rounds.
		"unready-in-the-middle": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, image, strings.Replace(insideWeb, "BROKEN_HOST, value: \"NONE\"", "BREAKABLE_HOST, value: web-1", 1)+insideService).expect(t, 0)
			own := tree
			own.t = t
			own.verb(t.Context(), appsmoke.Command(), "--environment", namespace, "--release", "shop", "--image", image, "--timeout", "1m", "--soak", "15s", "--patience", "2s", "--checks", "break.yaml").
				expect(t, 1, "ready [check] at pod web-1 is no longer ready")
		},
		"endpoint-of-another": func(t *testing.T, namespace string) {
			service := strings.Replace(insideService, "targetPort: web", "targetPort: 8080", 1) // the other pod has no port of that name
			tree.deployManifest(t, namespace, image, insideWeb+service+stranger, "--smoke-checks", "default").expect(t, 1,
				"OD-208", "Service/web sends requests to pod \"stranger-")
		},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			test(t, name)
		})
	}
}
