package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/pipeline"
)

func outcomes(result pipeline.Result) (list []string) {
	for _, step := range result.Steps {
		list = append(list, step.Name+": "+step.Outcome)
	}
	return list
}

// TestOneCommitToProduction runs the chain, runs it again on the same commit, and then tries a commit that is broken.
func TestOneCommitToProduction(t *testing.T) {
	onNode(t)
	beside(t, &environments)
	tree := newCheckout(t)
	first, _ := tree.pipeline()
	want := []string{"build: created", "deploy staging: created", "smoke staging: pass", "promote: created", "deploy production: created", "smoke production: pass"}
	if diff := cmp.Diff(want, outcomes(first)); diff != "" || !first.Proof.Holds {
		t.Fatalf("first run, proof %v, -want +got:\n%s", first.Proof.Holds, diff)
	}
	// The second run is on GitHub, as far as its environment shows.
	output := filepath.Join(t.TempDir(), "output")
	tree.environ = []string{"GITHUB_ACTIONS=true", "GITHUB_OUTPUT=" + output, "GITHUB_STEP_SUMMARY=" + output + ".md"}
	again, _ := tree.pipeline()
	tree.environ = nil
	if text, err := os.ReadFile(output); err != nil || strings.Count(string(text), first.Proof.Built.String()) != 1 || strings.Contains(string(text), "verdict") {
		t.Errorf("the pipeline's outputs are not its own digest alone: %v\n%s", err, text)
	}
	want = []string{"build: reused", "deploy staging: unchanged", "smoke staging: pass", "promote: unchanged", "deploy production: unchanged", "smoke production: pass"}
	if diff := cmp.Diff(want, outcomes(again)); diff != "" || again.Proof.Built != first.Proof.Built {
		t.Errorf("second run -want +got:\n%s", diff)
	}

	tree.edit("app/configs.go", "s.json(w, http.StatusOK,", "s.json(w, http.StatusInternalServerError,")
	broken := tree.commit("break /configs")
	result, got := tree.pipeline()
	if got.code != 1 || !strings.Contains(got.stderr, "status") {
		t.Errorf("exit %d, want 1 with the status that was wrong:\n%s", got.code, got.stderr)
	}
	want = []string{"build: created", "deploy staging: changed", "smoke staging: failed", "rollback staging: rolled-back"}
	if diff := cmp.Diff(want, outcomes(result)); diff != "" {
		t.Errorf("the broken commit -want +got:\n%s", diff)
	}
	for _, environment := range []string{"staging", "production"} {
		if commit := servedCommit(t, first.Proof.URLs[environment]); commit == broken || commit != first.Proof.Commit.String() {
			t.Errorf("%s answers commit %s, want the first commit %s", environment, commit, first.Proof.Commit)
		}
	}

	// Production refuses it also when somebody goes around the chain.
	image := site.registry + "/shop@" + result.Steps[0].Digest.String()
	if got := tree.verb(t.Context(), apppromote.Command(), "--image", image); got.code != 1 || !strings.Contains(got.stderr, `verdict in "staging", of release "shop" in namespace "staging"`) || !strings.Contains(got.stderr, `was "fail"`) {
		t.Errorf("promoting the broken image: exit %d, %s", got.code, got.stderr)
	}
}

// servedCommit returns the commit that a service names.
func servedCommit(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.Header.Get("X-Commit")
}

// TestRollingUpdateDropsNoRequest changes the release under load. Every request must be answered 200, over kept-alive
// connections and over new ones.
func TestRollingUpdateDropsNoRequest(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	url, image := tree.buildAndDeploy(t, "load")
	const least = 2000
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	load := startLoad(ctx, url, 4)
	for load.answered.Load() < least/4 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	before := servedCommit(t, url)
	tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
	commit := tree.commit("greet otherwise")
	_, next := tree.buildAndDeploy(t, "load")
	for load.answered.Load() < least && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	// The old pods drain for some seconds after the new ones are ready; the load goes on over that.
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	load.wait.Wait()
	if image == next || before == commit || servedCommit(t, url) != commit {
		t.Errorf("no update happened: %s -> %s", before, commit)
	}
	if n := load.answered.Load(); n < least || len(load.dropped) > 0 {
		t.Errorf("%d answered (want at least %d), %d dropped: %v", n, least, len(load.dropped), load.dropped)
	}
	t.Logf("%d requests answered, none dropped", load.answered.Load())
}

// TestRollingUpdateOfALaggingBalancer changes the release under load behind a load balancer that sends new connections to a pod for ten
// seconds after it was left out, as a Network Load Balancer does for two minutes. With a drain that is longer than the lag no request is
// dropped; with one that is shorter some are, so that the test would notice.
func TestRollingUpdateOfALaggingBalancer(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	for _, test := range []struct {
		namespace, drain string
		drops            bool
	}{{"lag-short", "0s", true}, {"lag-long", "25s", false}} {
		t.Run(test.namespace, func(t *testing.T) {
			tree.t = t
			tree.write("lag.yaml", "service: {annotations: {sandbox.onedigest.dev/deregistration-lag: 10s}}\n"+
				"config: {DRAIN_DELAY: "+test.drain+", GREETING: first}\nterminationGracePeriodSeconds: 60\n"+
				"probes: {readiness: {failureThreshold: 10}}\n") // probes that are late for a moment take no pod out
			deployed, got := tree.deploy(t.Context(), test.namespace, tree.build(), "--values", "lag.yaml")
			got.expect(t, 0)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			load := startLoad(ctx, deployed.URL, 1)
			await(t, "the load to begin", func() bool { return load.answered.Load() >= 50 })
			tree.edit("lag.yaml", "GREETING: first", "GREETING: second")
			_, got = tree.deploy(t.Context(), test.namespace, tree.build(), "--values", "lag.yaml")
			got.expect(t, 0)
			until := time.Now().Add(40 * time.Second)
			await(t, "the old pods to be gone for longer than the lag", func() bool { return time.Now().After(until) })
			cancel()
			load.wait.Wait()
			t.Logf("%d requests answered, %d dropped", load.answered.Load(), len(load.dropped))
			if (len(load.dropped) > 0) != test.drops {
				t.Errorf("%d requests were dropped, want drops %v: %.300v", len(load.dropped), test.drops, load.dropped)
			}
		})
	}
}

// buildAndDeploy builds and deploys the checkout's commit into a namespace of its own and returns the address and the image.
func (c checkout) buildAndDeploy(t *testing.T, namespace string) (url, image string) {
	t.Helper()
	built := c.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--output", "json")
	image = field(t, built, "image")
	got := c.verb(t.Context(), appdeploy.Command(), "--environment", namespace, "--image", image, "--create-namespace", "--pod-security", "restricted",
		"--values", "terraform/staging/values-staging.yaml", "--set", "config.ENVIRONMENT="+namespace, "--output", "json")
	return field(t, got, "url"), image
}

type load struct {
	answered atomic.Int64
	wait     sync.WaitGroup
	mu       sync.Mutex
	dropped  []string
}

// startLoad requests an address until ctx ends: half of the clients keep their connections, half open a new one each time.
func startLoad(ctx context.Context, url string, pairs int) *load {
	l, began := new(load), time.Now()
	for i := range 2 * pairs {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: 10 * time.Second}
		l.wait.Go(func() {
			for ctx.Err() == nil {
				if err := l.get(client, url); err != nil {
					l.mu.Lock()
					l.dropped = append(l.dropped, fmt.Sprintf("after %.1f s: %v", time.Since(began).Seconds(), err))
					l.mu.Unlock()
				}
				time.Sleep(5 * time.Millisecond) // about 200 requests a second for each client at most
			}
		})
	}
	return l
}

// get is not bound to the load's context: a request that was begun is answered or dropped, never cut short by the test.
func (l *load) get(client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/configs", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	l.answered.Add(1)
	return nil
}
