package status_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/apptest"
	"github.com/onedigest/onedigest/internal/app/images"
	appstatus "github.com/onedigest/onedigest/internal/app/status"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/status"
	"github.com/onedigest/onedigest/internal/text"
)

// site is two clusters and a registry with one image, which both run.
type site struct {
	t       *testing.T
	dir     string
	process app.Process
	image   release.Image
	one     *apptest.Cluster // of the context "one"; that of the context "gone" does not answer
	images  *images.Images
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), one: apptest.NewCluster()}
	aws := localawstest.Start(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	one, gone := httptest.NewServer(s.one), httptest.NewServer(nil)
	t.Cleanup(one.Close)
	gone.Close()
	content := "apiVersion: v1\nkind: Config\ncurrent-context: one\nclusters: [{name: one, cluster: {server: '" + one.URL + "'}}, {name: gone, cluster: {server: '" + gone.URL + "'}}]\n" +
		"contexts: [{name: one, context: {cluster: one, user: a}}, {name: gone, context: {cluster: gone, user: a}}]\nusers: [{name: a, user: {}}]\n"
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s.process = app.Process{Environ: append(aws.Env(), "KUBECONFIG="+kubeconfig, "GITHUB_WORKSPACE="+s.dir), Now: time.Now, Dir: s.dir}
	run := &app.RunContext{Process: s.process, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	var err error
	if s.images, err = images.New(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	layout, repository := registrytest.Layout(t, map[string]string{release.AnnotationRevision: releasetest.Commit.String()}), aws.Repository("shop")
	if err := s.images.Push(t.Context(), layout, repository, release.Tag(releasetest.Commit.String()), nil); err != nil {
		t.Fatal(err)
	}
	s.image = repository.At(layout.Digest)
	return s
}

// deployed adds what a deploy leaves in a namespace: a record of Helm, and an object that it names with pods.
func (s *site) deployed(namespace string) {
	s.t.Helper()
	actor, _ := json.Marshal("octo" + apptest.Hostile) //nolint:errchkjson // a string
	manifest := fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop\n  labels: {onedigest.dev/commit: %s}\n  annotations: {onedigest.dev/digest: %q, onedigest.dev/actor: %s}\n"+
		"spec:\n  replicas: 1\n  template: {spec: {containers: [{name: shop, image: %q}]}}\n", releasetest.Commit, s.image.Digest.String(), actor, s.image.String())
	s.one.PutRevision(s.t, namespace, "shop", 4, manifest)
	s.one.Put(s.t, "/apis/apps/v1/namespaces/"+namespace+"/deployments/shop", `{"kind":"Deployment","apiVersion":"apps/v1","spec":{"replicas":1}}`)
	s.one.Put(s.t, "/apis/coordination.k8s.io/v1/namespaces/"+namespace+"/leases/onedigest-shop", fmt.Sprintf(`{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"annotations":{"onedigest.dev/pin-commit":%q,"onedigest.dev/pin-actor":%s,"onedigest.dev/pin-at":"2026-03-04T05:06:07Z"}},"spec":{}}`,
		releasetest.Commit, actor))
}

// smoked records a verdict of smoke in staging.
func (s *site) smoked(verdict release.Verdict) {
	s.t.Helper()
	if _, err := s.images.Record(s.t.Context(), release.Evidence{Image: s.image, Commit: releasetest.Commit, Environment: "staging", Verdict: verdict, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()}); err != nil {
		s.t.Fatal(err)
	}
}

// run runs the verb in a job, and returns its exit code, its result and all that leaves it.
func (s *site) run(args ...string) (int, status.Result, apptest.Emitted) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	process := s.process
	environ, files := apptest.InJob(s.t, process.Environ)
	process.Environ, process.Stdout, process.Stderr, process.Args = environ, &stdout, &stderr, append([]string{"--output", "json"}, args...)
	code := appstatus.Command().Run(s.t.Context(), process)
	ways := apptest.Emitted{Stdout: stdout.String(), Stderr: stderr.String(), Outputs: apptest.Read(s.t, files[0]), Summary: apptest.Read(s.t, files[1])}
	ways.Search(s.t)
	var read struct {
		status.Result
		Failed status.Result `json:"result"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &read); err != nil {
		s.t.Fatalf("exit %d: %v in\n%s%s", code, err, &stdout, &stderr)
	}
	if len(read.Releases) == 0 {
		read.Result = read.Failed
	}
	return code, read.Result, ways
}

// TestStatus reads staging and production from a cluster and the registry: what runs, what proved it, and what may be next.
func TestStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployed("staging")
	code, result, ways := s.run("--release", "shop")
	if code != release.ExitDone || len(result.Releases) != 2 {
		t.Fatalf("exit %d: %+v\n%s", code, result, ways.Stderr)
	}
	staging, production := result.Releases[0], result.Releases[1]
	if staging.State != status.StateLive || staging.Commit != releasetest.Commit || staging.Digest != s.image.Digest || staging.Revision != 4 || staging.Mark != release.MarkProved || !strings.HasPrefix(staging.By, "octo") ||
		staging.Pin == nil || staging.Pin.Commit != releasetest.Commit || staging.Pods == nil || len(staging.Pods.Differs) == 0 || staging.Verified == nil || staging.Verified.Verdict != "" {
		t.Errorf("staging is %+v", staging)
	}
	if len(staging.Next) != 1 || staging.Next[0].Environment != "production" || staging.Next[0].Opens || production.State != status.StateNotInstalled {
		t.Errorf("next is %+v, production is %+v", staging.Next, production)
	}
	s.smoked(release.Pass)
	if _, result, _ = s.run("--release", "shop"); len(result.Releases) != 2 || !result.Releases[0].Next[0].Opens || result.Releases[0].Next[0].Promoted || result.Releases[0].Verified.Verdict != release.Pass {
		t.Errorf("after smoke: %+v", result.Releases[0])
	}
	tag := release.Tag("production-" + releasetest.Commit.String())
	state, err := s.images.Inspect(t.Context(), s.image.Repository, s.image.Digest, tag)
	if err == nil {
		err = s.images.Tag(t.Context(), s.image.Repository, state, s.image.Digest, tag)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.deployed("production")
	_, result, ways = s.run("--repository", s.image.Repository.String())
	if next := result.Releases[0].Next[0]; !next.Opens || !next.Promoted || next.Runs || result.Releases[1].Promoted == nil || result.Releases[1].Promoted.Tag != tag || !result.Releases[1].Entry.Opens {
		t.Errorf("after the promotion: %+v", result.Releases)
	}
	for _, want := range []string{"ENVIRONMENT", "promoted to production", "yes"} {
		if !strings.Contains(ways.Stderr, want) {
			t.Errorf("%q is not in\n%s", want, ways.Stderr)
		}
	}
	if strings.Count(ways.Summary, "| ⚠️ |") != 2 || strings.Contains(ways.Summary, "| ✅ |") {
		t.Errorf("releases whose pods differ are not marked with a warning in\n%s", ways.Summary)
	}
	s.smoked(release.Fail)
	if _, result, _ = s.run("--environments", "staging", "--namespace", "production", "--release", "shop"); result.Releases[0].Next[0].Opens || len(result.Releases[0].Next[0].Missing) == 0 {
		t.Errorf("after a failed smoke: %+v", result.Releases[0].Next)
	}
}

// TestStatusOfAMatrix: a cluster that does not answer is told beside the one that does, and makes the exit code a fault.
func TestStatusOfAMatrix(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployed("staging")
	s.deployed("production")
	matrix := "services:\n- {name: shop, repository: " + s.image.Repository.String() + "}\nenvironments:\n- {name: staging, clusters: [{context: one}]}\n- {name: production, clusters: [{context: one}, {name: far, context: gone}]}\n"
	if err := os.WriteFile(filepath.Join(s.dir, "services.yaml"), []byte(matrix), 0o600); err != nil {
		t.Fatal(err)
	}
	code, result, ways := s.run("--matrix", "services.yaml", "--timeout", "2s")
	if code != release.ExitFault || len(result.Releases) != 3 || result.Unread != 1 {
		t.Fatalf("exit %d: %+v\n%s", code, result, ways.Stderr)
	}
	far := result.Releases[2]
	if far.Cluster != "far" || far.State != status.StateUnread || far.Error == "" || result.Releases[1].State != status.StateLive || result.Releases[1].Error != "" {
		t.Errorf("got %+v", result.Releases)
	}
	if !strings.Contains(ways.Stderr, "production/far/shop is not read") || !strings.Contains(ways.Summary, "far") {
		t.Errorf("not told in\n%s\n%s", ways.Stderr, ways.Summary)
	}
	if code, result, ways = s.run("--matrix", "services.yaml", "--environments", "staging"); code != release.ExitDone || len(result.Releases) != 1 {
		t.Errorf("exit %d: %+v\n%s", code, result, ways.Stderr)
	}
}
