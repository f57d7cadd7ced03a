package uninstall_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/apptest"
	appuninstall "github.com/onedigest/onedigest/internal/app/uninstall"
	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/uninstall"
)

const manifest = `apiVersion: v1
kind: ConfigMap
metadata:
  name: kept
  annotations: {helm.sh/resource-policy: keep}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: gone}
`

// site is a cluster with the release shop in staging, in a namespace that a deploy made.
type site struct {
	t       *testing.T
	cluster *apptest.Cluster
	process app.Process
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, cluster: apptest.NewCluster()}
	s.cluster.Decode = kubetest.Decode
	server := httptest.NewServer(s.cluster)
	t.Cleanup(server.Close)
	s.cluster.Put(t, "/api/v1/namespaces/staging", `{"kind":"Namespace","apiVersion":"v1","metadata":{"labels":{"app.kubernetes.io/managed-by":"onedigest"}},"status":{"phase":"Active"}}`)
	s.cluster.PutRevision(t, "staging", "shop", 2, manifest)
	s.cluster.Put(t, "/apis/apps/v1/namespaces/staging/deployments/shop", `{"kind":"Deployment","apiVersion":"apps/v1"}`)
	s.cluster.Put(t, "/api/v1/namespaces/staging/configmaps/kept", `{"kind":"ConfigMap","apiVersion":"v1"}`)
	dir, kubeconfig := t.TempDir(), filepath.Join(t.TempDir(), "kubeconfig")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: '" + server.URL + "'}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n"
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s.process = app.Process{Environ: []string{"KUBECONFIG=" + kubeconfig, "GITHUB_WORKSPACE=" + dir}, Now: time.Now, Dir: dir}
	return s
}

// run runs the verb, which must end with a code, and returns its result and its log.
func (s *site) run(code int, args ...string) (uninstall.Result, string) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	process := s.process
	process.Stdout, process.Stderr, process.Args = &stdout, &stderr, append([]string{"--output", "json", "--environment", "staging", "--release", "shop", "--lease-duration", "1s"}, args...)
	if got := appuninstall.Command().Run(s.t.Context(), process); got != code {
		s.t.Fatalf("%v: exit code %d, want %d:\n%s%s", args, got, code, &stdout, &stderr)
	}
	var read struct {
		uninstall.Result
		Failed uninstall.Result `json:"result"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &read); err != nil {
		s.t.Fatalf("%v in %s", err, &stdout)
	}
	if read.Outcome == "" {
		read.Result = read.Failed
	}
	return read.Result, stderr.String()
}

func (s *site) has(resource string) bool {
	return s.cluster.Has(resource)
}

const (
	record     = "/api/v1/namespaces/staging/secrets/sh.helm.release.v1.shop.v2"
	deployment = "/apis/apps/v1/namespaces/staging/deployments/shop"
	kept       = "/api/v1/namespaces/staging/configmaps/kept"
	namespace  = "/api/v1/namespaces/staging"
	lease      = "/apis/coordination.k8s.io/v1/namespaces/staging/leases/onedigest-shop"
)

// TestUninstall: a dry run changes nothing, a run removes what is of the release, and the next one has nothing to do.
func TestUninstall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(release.ExitInput)
	planned, log := s.run(release.ExitDone, "--dry-run")
	if planned.Outcome != release.Planned || len(planned.Deleted) > 0 || planned.Plan == nil || len(planned.Plan.Deletes) != 1 || planned.Plan.Deletes[0].Name != "shop" || !s.has(record) || !s.has(deployment) || s.has(lease) {
		t.Errorf("a dry run: %+v\n%s", planned, log)
	}
	for _, want := range []string{"would go: Deployment/shop", "stays: ConfigMap/kept: it is annotated", "stays: Namespace/staging", "stays: Lease/onedigest-shop"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in\n%s", want, log)
		}
	}
	removed, log := s.run(release.ExitDone, "--yes")
	if removed.Outcome != uninstall.OutcomeRemoved || len(removed.Deleted) != 1 || s.has(record) || s.has(deployment) || !s.has(kept) || !s.has(namespace) || !s.has(lease) {
		t.Errorf("got %+v\n%s", removed, log)
	}
	if again, log := s.run(release.ExitDone, "--yes"); again.Outcome != release.Unchanged || !strings.Contains(log, "is not installed") {
		t.Errorf("again: %+v\n%s", again, log)
	}
	if gone, log := s.run(release.ExitDone, "--yes", "--delete-namespace"); gone.Outcome != uninstall.OutcomeRemoved || s.has(namespace) {
		t.Errorf("with the namespace: %+v\n%s", gone, log)
	}
	if gone, log := s.run(release.ExitDone, "--yes", "--delete-namespace"); gone.Outcome != release.Unchanged || !strings.Contains(log, "does not exist") {
		t.Errorf("without a namespace: %+v\n%s", gone, log)
	}
}

// TestUninstallLeavesOthersAlone: a namespace that somebody else made or uses stays, and a release that another run holds.
func TestUninstallLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cluster.PutRevision(t, "staging", "other", 1, manifest)
	if _, log := s.run(release.ExitFailed, "--yes", "--delete-namespace"); !strings.Contains(log, "has other releases (other)") || !s.has(record) {
		t.Errorf("another release:\n%s", log)
	}
	s.cluster.Put(t, namespace, `{"kind":"Namespace","apiVersion":"v1","metadata":{"labels":{"onedigest.dev/environment":"staging"}}}`)
	if _, log := s.run(release.ExitFailed, "--yes", "--delete-namespace"); !strings.Contains(log, "was not created by deploy") || !s.has(record) {
		t.Errorf("another's namespace:\n%s", log)
	}
	s.cluster.Put(t, lease, fmt.Sprintf(`{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","spec":{"holderIdentity":"another run","leaseDurationSeconds":600,"acquireTime":%[1]q,"renewTime":%[1]q}}`, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")))
	if _, log := s.run(release.ExitFailed, "--yes"); !strings.Contains(log, "OD-203") || !strings.Contains(log, "another run") || !s.has(record) || !s.has(deployment) {
		t.Errorf("a release that is held:\n%s", log)
	}
}

// TestUninstallFromAGuardedEnvironment: by the policy, its name is needed twice; at a terminal it is asked for.
func TestUninstallFromAGuardedEnvironment(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	rules := "version: 1\nenvironments:\n- {name: qa}\n- {name: staging, requires: {smoked: {in: qa}}}\n"
	if err := os.WriteFile(filepath.Join(s.process.Dir, ".onedigest.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, log := s.run(release.ExitFailed, "--yes"); !strings.Contains(log, "--confirm staging") || !s.has(record) {
		t.Errorf("without its name:\n%s", log)
	}
	s.run(release.ExitInput, "--yes", "--confirm", "production")
	for _, answer := range []struct {
		text string
		err  error
		code int
	}{{"yes", nil, release.ExitFailed}, {"", errors.New("the terminal is closed"), release.ExitFault}, {"staging", nil, release.ExitDone}} {
		s.process.Ask = func(string) (string, error) { return answer.text, answer.err }
		s.run(answer.code, "--yes")
		if s.has(record) != (answer.code != release.ExitDone) {
			t.Errorf("the answer %q: the record is there: %t", answer.text, s.has(record))
		}
	}
	s.cluster.PutRevision(t, "staging", "shop", 2, manifest)
	s.process.Ask = nil
	s.run(release.ExitDone, "--yes", "--confirm", "staging")
	if s.has(record) {
		t.Error("the record is still there")
	}
}

// TestUninstallFromTheEnvironmentThatTheRecordNames: another name for the environment does not pass its guard.
func TestUninstallFromTheEnvironmentThatTheRecordNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cluster.PutRevision(t, "staging", "shop", 2, strings.Replace(manifest, "metadata: {name: shop}", "metadata: {name: shop, labels: {onedigest.dev/commit: "+strings.Repeat("a", 40)+", onedigest.dev/environment: production}}", 1))
	if _, log := s.run(release.ExitFailed, "--yes"); !strings.Contains(log, "--environment production --namespace staging") || !s.has(record) || s.has(lease) {
		t.Errorf("by the record:\n%s", log)
	}
	s.cluster.PutRevision(t, "staging", "shop", 2, manifest)
	s.cluster.Put(t, namespace, `{"kind":"Namespace","apiVersion":"v1","metadata":{"labels":{"onedigest.dev/environment":"production"}}}`)
	if _, log := s.run(release.ExitFailed, "--yes"); !strings.Contains(log, "the label onedigest.dev/environment") || !s.has(record) || s.has(lease) {
		t.Errorf("by the label:\n%s", log)
	}
}
