package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/release"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// addressChart is a workload of the sample image, and the objects of one file that may give it an address.
func (c checkout) addressChart(objects string) {
	c.t.Helper()
	for name, text := range map[string]string{
		"Chart.yaml":  "apiVersion: v2\nname: addressed\nversion: 1.0.0\n",
		"values.yaml": "image: {repository: '', digest: ''}\n",
		"templates/workload.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: addressed, labels: {app.kubernetes.io/instance: '{{ .Release.Name }}'}}
spec:
  selector: {matchLabels: {app: addressed}}
  template:
    metadata: {labels: {app: addressed, app.kubernetes.io/instance: '{{ .Release.Name }}'}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: app
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
`,
		"templates/objects.yaml": objects,
	} {
		path := filepath.Join(c.dir, "addressed", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
}

const twoBalancers = `{{ range $i, $name := list "web" "admin" }}
---
apiVersion: v1
kind: Service
metadata: {name: addressed-{{ $name }}, labels: {app.kubernetes.io/instance: '{{ $.Release.Name }}'}}
spec: {type: LoadBalancer, selector: {app: addressed}, ports: [{port: {{ add 18080 $i }}, targetPort: http}]}
{{ end }}
`

// TestTwoLoadBalancers are refused before anything is applied, until one of them, a URL or none is named.
func TestTwoLoadBalancers(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	tree.addressChart(twoBalancers)
	image := tree.build()
	deploy := func(args ...string) (string, verbResult) {
		result, got := tree.deploy(t.Context(), "two-balancers", image, append([]string{"--chart", "addressed"}, args...)...)
		return result.URL, got
	}
	_, got := deploy()
	got.expect(t, 2, "OD-209", "2 of them lead to pods of its main image", "service/addressed-web, service/addressed-admin", "--address")
	records, err := client(t).CoreV1().Secrets("two-balancers").List(t.Context(), meta.ListOptions{LabelSelector: "owner=helm"})
	if err != nil || len(records.Items) > 0 {
		t.Errorf("%d revisions were applied, %v", len(records.Items), err)
	}
	url, got := deploy("--address", "service/addressed-admin", "--smoke-checks", "default")
	got.expect(t, 0)
	if !strings.HasSuffix(url, ":18081") {
		t.Errorf("served at %q, want the second load balancer", url)
	}
	tree.smoke("two-balancers").expect(t, 2, "OD-209")
	tree.smoke("two-balancers", "--address", "service/addressed-web").expect(t, 0, "probing http://", ":18080", "as proved")
	url, got = deploy("--address", "none")
	got.expect(t, 0)
	if url != "" {
		t.Errorf("served at %q, want nothing", url)
	}
}

// TestTheLoadBalancerInFrontOfTheImage: one leads to the image's pods, and the other to a database that the commit does not touch. Deploy and smoke use the first.
func TestTheLoadBalancerInFrontOfTheImage(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	tree.addressChart(strings.Replace(twoBalancers, `selector: {app: addressed}`, `selector: {app: '{{ if $i }}addressed{{ else }}database{{ end }}'}`, 1) + `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: database}
spec:
  selector: {matchLabels: {app: database}}
  template:
    metadata: {labels: {app: database}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers: [{name: database, image: ` + pauseImage + `, imagePullPolicy: IfNotPresent, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]
`)
	image := tree.build()
	result, got := tree.deploy(t.Context(), "in-front", image, "--chart", "addressed", "--smoke-checks", "default")
	got.expect(t, 0)
	if !strings.HasSuffix(result.URL, ":18081") {
		t.Errorf("served at %q, want the load balancer in front of the image's pods", result.URL)
	}
	tree.smoke("in-front").expect(t, 0, "probing http://", ":18081", "as proved")
}

// TestALoadBalancerInAnotherNamespace: the chart puts its workload and its Service there. Deploy and smoke find the address, and name it with the namespace.
func TestALoadBalancerInAnotherNamespace(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	tree.addressChart(`apiVersion: v1
kind: Namespace
metadata: {name: addressed-edge}
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: addressed-edge}
spec: {type: LoadBalancer, selector: {app: addressed}, ports: [{port: 18083, targetPort: http}]}
`)
	workload := filepath.Join(tree.dir, "addressed", "templates", "workload.yaml")
	text, err := os.ReadFile(workload)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(workload, []byte(strings.Replace(string(text), "{name: addressed,", "{name: addressed, namespace: addressed-edge,", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	image := tree.build()
	result, got := tree.deploy(t.Context(), "addressed", image, "--chart", "addressed", "--address", "service/edge", "--smoke-checks", "default")
	got.expect(t, 0)
	if !strings.HasSuffix(result.URL, ":18083") {
		t.Errorf("served at %q, want the load balancer in the other namespace", result.URL)
	}
	tree.smoke("addressed").expect(t, 0, "probing http://", ":18083", "as proved")
	tree.smoke("addressed", "--address", "service/addressed-edge/edge").expect(t, 0, ":18083", "as proved")
}

// TestAnIngressThatNobodyServes: no controller fills its status. The release is ready, and is verified; its pods are asked instead.
func TestAnIngressThatNobodyServes(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	tree.addressChart(`apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: addressed, labels: {app.kubernetes.io/instance: '{{ .Release.Name }}'}}
spec: {defaultBackend: {service: {name: addressed, port: {number: 80}}}}
`)
	image := tree.build()
	deploy := func(args ...string) (release.Outcome, verbResult) {
		result, got := tree.deploy(t.Context(), "no-controller", image, append([]string{"--chart", "addressed", "--timeout", "40s"}, args...)...)
		return result.Outcome, got
	}
	outcome, got := deploy()
	got.expect(t, 0, "the release is ready, but its address is not known", "OD-116")
	if outcome != release.Created {
		t.Errorf("got outcome %q", outcome)
	}
	outcome, got = deploy("--set", "next=1", "--smoke-checks", "default")
	got.expect(t, 0, "OD-116", "probing the pods of release", "verdict: pass")
	if outcome != release.Unchanged {
		t.Errorf("got outcome %q", outcome)
	}
	_, got = deploy("--address", "none")
	got.expect(t, 0)
}

// TestAServiceThatLeadsNowhere: its load balancer accepts connections for a port that no pod listens on, which is no proof of anything.
func TestAServiceThatLeadsNowhere(t *testing.T) {
	onNode(t)
	beside(t)
	tree, image, _ := newAnySite(t)
	tree.deployManifest(t, "nowhere", image, web+strings.Replace(served, "port: 80, targetPort: 8080", "port: 18090, targetPort: 9999", 1)).expect(t, 0, "served at http://")
	tree.verb(t.Context(), appsmoke.Command(), "--environment", "nowhere", "--image", image, "--release", "shop", "--timeout", "1m", "--patience", "5s").expect(t, 1)
}

// TestAnAddressThatLeadsElsewhere: a deploy without smoke checks warns of it, and does not say that the release is served there.
func TestAnAddressThatLeadsElsewhere(t *testing.T) {
	onNode(t)
	beside(t)
	tree, image, _ := newAnySite(t)
	balancer := strings.Replace(served, "port: 80,", "port: 18091,", 1)
	got := tree.deployManifest(t, "elsewhere", image, web+strings.Replace(balancer, "selector: {app: web}", "selector: {app: wbe}", 1))
	got.expect(t, 0, "does not lead to its pods: Service/web has no ready endpoint")
	if strings.Contains(got.stderr, "served at") {
		t.Errorf("it says that the release is served there:\n%s", got.stderr)
	}
	tree.deployManifest(t, "elsewhere", image, web+balancer).expect(t, 0, "served at http://")
}
