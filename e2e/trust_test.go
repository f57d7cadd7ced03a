package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// deploy runs the verb and reads its result, whether it failed or not.
func (c checkout) deploy(ctx context.Context, namespace, image string, args ...string) (deploy.Result, verbResult) {
	c.t.Helper()
	args = append([]string{"--environment", namespace, "--image", image, "--create-namespace", "--values", "terraform/staging/values-staging.yaml",
		"--set", "config.ENVIRONMENT=" + namespace, "--lease-duration", "3s", "--output", "json"}, args...)
	if !slices.Contains(args, "--timeout") {
		args = append(args, "--timeout", "2m")
	}
	got := c.verb(ctx, appdeploy.Command(), args...)
	var result deploy.Result
	var failed struct{ Result deploy.Result }
	if err := json.Unmarshal([]byte(got.stdout), &result); err == nil && got.code != 0 {
		if err := json.Unmarshal([]byte(got.stdout), &failed); err != nil {
			c.t.Fatalf("%v in %s", err, got.stdout)
		}
		result = failed.Result
	}
	return result, got
}

func (c checkout) build() string {
	c.t.Helper()
	return field(c.t, c.verb(c.t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--output", "json"), "image")
}

// expect fails the test unless the verb exited with code and printed every text.
func (r verbResult) expect(t *testing.T, code int, wants ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d:\n%s", r.code, code, r.stderr)
	}
	for _, want := range wants {
		if !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("no %q in:\n%s%s", want, r.stdout, r.stderr)
		}
	}
}

// TestAFailureRollsBackToTheVerifiedRevision breaks a release that works, by its configuration and by its answers.
func TestAFailureRollsBackToTheVerifiedRevision(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	good := tree.build()
	first, got := tree.deploy(t.Context(), "back", good)
	got.expect(t, 0)

	result, got := tree.deploy(t.Context(), "back", good, "--set", "config.LOG_LEVEL=loud")
	got.expect(t, 1, "OD-103", `LOG_LEVEL: "loud" is none of`, "if it fails, it is rolled back to revision 1")
	if result.Outcome != release.RolledBack || result.Revision != 3 || result.Code != causes.CrashLoop {
		t.Errorf("got outcome %q, revision %d, code %q: %s", result.Outcome, result.Revision, result.Code, result.State)
	}

	tree.edit("app/configs.go", "s.json(w, http.StatusOK,", "s.json(w, http.StatusInternalServerError,")
	tree.commit("break /configs")
	result, got = tree.deploy(t.Context(), "back", tree.build(), "--smoke-checks", "app/smoke.yaml")
	got.expect(t, 1, "OD-208", "configuration [check] status: expected 200, got 500")
	if result.Outcome != release.RolledBack || result.Code != causes.SmokeFailed {
		t.Errorf("got outcome %q: %s", result.Outcome, result.State)
	}
	if commit := servedCommit(t, first.URL); commit != first.Commit.String() {
		t.Errorf("%s answers, want %s", commit, first.Commit)
	}
	// After all that nothing is left to heal: the same deploy again finds nothing to change.
	result, got = tree.deploy(t.Context(), "back", good, "--allow-rollback")
	got.expect(t, 0)
	if result.Outcome != release.Unchanged {
		t.Errorf("got outcome %q, want unchanged", result.Outcome)
	}
}

// TestAFirstInstallThatFails is kept or cleared away, as asked.
func TestAFirstInstallThatFails(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	_, got := tree.deploy(t.Context(), "kept", image, "--set", "config.LOG_LEVEL=loud")
	got.expect(t, 1, "OD-103", "is kept for inspection; the next deploy")
	tree.smoke("kept", "--image", image).expect(t, 1, "has no deployed revision: revision 1 is failed", "deploy the release first")
	if _, got = tree.deploy(t.Context(), "kept", image); got.code != 0 {
		t.Errorf("the next deploy: exit %d\n%s", got.code, got.stderr)
	}
	_, got = tree.deploy(t.Context(), "cleared", image, "--set", "config.LOG_LEVEL=loud", "--failed-install", "uninstall")
	got.expect(t, 1, "OD-103", "the failed install was uninstalled")
	secrets, err := client(t).CoreV1().Secrets("cleared").List(t.Context(), meta.ListOptions{LabelSelector: "owner=helm"})
	if err != nil || len(secrets.Items) != 0 {
		t.Errorf("%d records are left, %v", len(secrets.Items), err)
	}
}

// TestAnOlderCommitDoesNotReplaceANewerOne goes back by accident, and then deliberately.
func TestAnOlderCommitDoesNotReplaceANewerOne(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	older := tree.build()
	tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
	commit := tree.commit("greet otherwise")
	newer := tree.build()
	_, got := tree.deploy(t.Context(), "order", newer)
	got.expect(t, 0)

	result, got := tree.deploy(t.Context(), "order", older)
	got.expect(t, 0, "superseded", commit[:7])
	if result.Outcome != release.Superseded {
		t.Errorf("got outcome %q", result.Outcome)
	}
	result, got = tree.deploy(t.Context(), "order", older, "--allow-rollback")
	got.expect(t, 0, "pinned at commit")
	if result.Outcome != release.Changed {
		t.Errorf("got outcome %q", result.Outcome)
	}
	_, got = tree.deploy(t.Context(), "order", newer)
	got.expect(t, 1, "OD-204", "--unpin")
	result, got = tree.deploy(t.Context(), "order", newer, "--unpin")
	got.expect(t, 0, "unpinned")
	if answers := servedCommit(t, result.URL); answers != commit {
		t.Errorf("%s answers, want %s", answers, commit)
	}
}

// TestADryRunChangesNothing plans a change, finds what is missing, and leaves the release at its revision.
func TestADryRunChangesNothing(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	_, got := tree.deploy(t.Context(), "plan", image)
	got.expect(t, 0)
	tree.write("more.yaml", "existingSecrets: [{name: absent}]\nconfig: {GREETING: Salut}\nsecret: {TOKEN: not-to-be-seen}\n")
	_, got = tree.deploy(t.Context(), "plan", image, "--values", "more.yaml", "--dry-run")
	got.expect(t, 1, "OD-105", "Secret/absent", "data.GREETING", "Salut")
	if strings.Contains(got.stdout+got.stderr, "not-to-be-seen") {
		t.Error("the plan shows a secret's value")
	}
	result, got := tree.deploy(t.Context(), "plan", image)
	got.expect(t, 0)
	if result.Outcome != release.Unchanged || result.Revision != 1 {
		t.Errorf("got outcome %q, revision %d", result.Outcome, result.Revision)
	}
}

// TestAMatrixEndsWithTheWaveThatFails deploys to a canary and, only if that works, to the others.
func TestAMatrixEndsWithTheWaveThatFails(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	matrix := `
waves:
  - name: canary
    deploys:
      - {environment: many-canary, set: [config.LOG_LEVEL=%s]}
  - name: the rest
    deploys:
      - {environment: many-one}
      - {environment: many-two}
      - {environment: many-three}
`
	for _, name := range []string{"canary", "one", "two", "three"} {
		tree.own("many-" + name)
	}
	run := func(level string) (deploy.Result, verbResult) {
		tree.write("deploys.yaml", fmt.Sprintf(matrix, level))
		return tree.deploy(t.Context(), "unused", image, "--matrix", "deploys.yaml")
	}
	result, got := run("loud")
	got.expect(t, 1, "OD-103", `skipped: wave "the rest", 3 deploys`)
	if len(result.Deploys) != 1 || result.Skipped != 3 {
		t.Errorf("got %d results, %d skipped", len(result.Deploys), result.Skipped)
	}
	result, got = run("info")
	got.expect(t, 0)
	if len(result.Deploys) != 4 {
		t.Errorf("got %d results, want 4", len(result.Deploys))
	}
}

// TestWavesKeepToTheJobsTime: a wave for which the job has no time left is not started.
func TestWavesKeepToTheJobsTime(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	for _, name := range []string{"one", "two"} {
		tree.own("timed-" + name)
	}
	tree.write("deploys.yaml", "waves:\n  - name: first\n    deploys: [{environment: timed-one}]\n  - name: second\n    deploys: [{environment: timed-two}]\n")
	_, got := tree.deploy(t.Context(), "unused", image, "--matrix", "deploys.yaml", "--timeout", "5m", "--job-timeout", "6m")
	got.expect(t, 2, "job-timeout")
	for _, name := range []string{"timed-one", "timed-two"} {
		if state := readReleaseState(t, name); state.revision != 0 {
			t.Errorf("%s: %s", name, state)
		}
	}
}

// TestAnInstallThatNeverSucceeded stays a first install, however often it is tried: there is nothing to roll back to, and nothing is said to have been tried.
func TestAnInstallThatNeverSucceeded(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	for range 2 {
		result, got := tree.deploy(t.Context(), "never-yet", image, "--set", "config.LOG_LEVEL=loud")
		got.expect(t, 1, "first install: if it fails, it is kept for inspection", "OD-103", "the failed install is kept for inspection")
		if strings.Contains(got.stderr, "OD-206") || strings.Contains(got.stderr, "rollback to revision") || result.Outcome == release.RolledBack {
			t.Errorf("outcome %q, although there was nothing to roll back to:\n%s", result.Outcome, got.stderr)
		}
	}
	_, got := tree.deploy(t.Context(), "never-yet", image, "--set", "image.pullPolicy=Always")
	got.expect(t, 0)
	if result, _ := tree.deploy(t.Context(), "never-yet", image, "--set", "image.pullPolicy=Always"); result.Outcome != release.Unchanged {
		t.Errorf("the same again is %q", result.Outcome)
	}
}

// TestAClusterThatGoesAwayIsWaitedFor stops the apiserver for 20 s in the middle of a rollout.
func TestAClusterThatGoesAwayIsWaitedFor(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	image := tree.build()
	_, got := tree.deploy(t.Context(), "away", image)
	got.expect(t, 0)
	var fault sync.WaitGroup
	fault.Go(func() {
		waitForRevision(t, "away", 2)
		if err := program("sandbox", "fault", "kube-apiserver", "--for", "20s", "--dir", site.node); err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	tree.write("slow.yaml", "minReadySeconds: 5\nconfig: {GREETING: Salut}\n") // so that the rollout is under way when it happens
	// The controllers need their time too after the apiserver is back: they back off further with every failed request.
	_, got = tree.deploy(t.Context(), "away", image, "--values", "slow.yaml", "--timeout", "6m")
	fault.Wait()
	got.expect(t, 0)
	if took := time.Since(began); took < 20*time.Second {
		t.Errorf("done after %s: the apiserver was unavailable for 20 s, so the verdict was a guess", took)
	}
}

// TestConnectionsThatAreCutAreMadeAgain deploys through a proxy that cuts every connection, time and again.
func TestConnectionsThatAreCutAreMadeAgain(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	tree.write("cut.yaml", kubeconfigWithDrops(t, 3*time.Second))
	for i := range 5 {
		_, got := tree.deploy(t.Context(), "cut", image, "--kubeconfig", "cut.yaml", "--allow-work-tree-kubeconfig", "--set", fmt.Sprintf("config.GREETING=n%d", i))
		got.expect(t, 0)
	}
	deployment, err := client(t).AppsV1().Deployments("cut").Get(t.Context(), "shop", meta.GetOptions{})
	if err != nil || deployment.Status.UpdatedReplicas != deployment.Status.ReadyReplicas {
		t.Errorf("reported as ready and is not: %+v, %v", deployment.Status, err)
	}
}

// TestAHistoryOfAHundredIsPrunedToTen deploys over the remains of a Helm that kept everything.
func TestAHistoryOfAHundredIsPrunedToTen(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	_, got := tree.deploy(t.Context(), "history", image)
	got.expect(t, 0)
	secrets := client(t).CoreV1().Secrets("history")
	first, err := secrets.Get(t.Context(), "sh.helm.release.v1.shop.v1", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for version := 2; version <= 100; version++ {
		if _, err := secrets.Create(t.Context(), revisionOf(t, first, version), meta.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// Each deploy takes away a part of what is too much, so that none of them takes long.
	before := 100
	for turn := 1; before > 10; turn++ {
		result, got := tree.deploy(t.Context(), "history", image, "--set", fmt.Sprintf("config.GREETING=n%d", turn))
		got.expect(t, 0)
		kept, err := secrets.List(t.Context(), meta.ListOptions{LabelSelector: "owner=helm,name=shop"})
		if err != nil || len(kept.Items) >= before || result.Revision != 100+turn {
			t.Fatalf("after deploy %d, revision %d: %d revisions are kept of %d; %v", turn, result.Revision, len(kept.Items), before, err)
		}
		before = len(kept.Items)
	}
}

// revisionOf is a release's record as a later revision.
func revisionOf(t *testing.T, record *core.Secret, version int) *core.Secret {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(string(record.Data["release"]))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	if err := json.NewDecoder(unpacked).Decode(&kept); err != nil {
		t.Fatal(err)
	}
	status := "superseded"
	if version == 100 {
		status = "deployed"
	}
	kept["version"] = version
	kept["info"].(map[string]any)["status"] = status
	var text bytes.Buffer
	zip := gzip.NewWriter(&text)
	if err := json.NewEncoder(zip).Encode(kept); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"name": "shop", "owner": "helm", "status": status, "version": fmt.Sprint(version), "modifiedAt": fmt.Sprint(time.Now().Unix())}
	return &core.Secret{ObjectMeta: meta.ObjectMeta{Name: fmt.Sprintf("sh.helm.release.v1.shop.v%d", version), Labels: labels}, Type: record.Type,
		Data: map[string][]byte{"release": []byte(base64.StdEncoding.EncodeToString(text.Bytes()))}}
}

func client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// waitForRevision returns when a revision of the release "shop" has been recorded.
func waitForRevision(t *testing.T, namespace string, revision int) {
	t.Helper()
	name := fmt.Sprintf("sh.helm.release.v1.shop.v%d", revision)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := client(t).CoreV1().Secrets(namespace).Get(t.Context(), name, meta.GetOptions{}); err == nil {
			return
		}
	}
	t.Errorf("revision %d of %q was never recorded", revision, namespace)
}

// kubeconfigWithDrops returns the site's kubeconfig through a proxy that closes every connection after a while.
func kubeconfigWithDrops(t *testing.T, every time.Duration) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	for _, cluster := range config.Clusters {
		server, err := url.Parse(cluster.Server)
		if err != nil {
			t.Fatal(err)
		}
		go proxyAndDrop(listener, server.Host, every)
		cluster.TLSServerName, cluster.Server = server.Hostname(), "https://"+listener.Addr().String()
	}
	text, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// proxyAndDrop forwards connections to a server, and closes each after a while.
func proxyAndDrop(listener net.Listener, to string, every time.Duration) {
	for {
		in, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer out.Close()
			end := time.Now().Add(every)
			_ = in.SetDeadline(end)
			_ = out.SetDeadline(end)
			go func() { _, _ = io.Copy(out, in) }()
			_, _ = io.Copy(in, out)
		}()
	}
}
