package e2e

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/metrics"
)

// waits are the times that requests of this process were held back by their own client, in the order in which they were sent.
type waits struct {
	mu  sync.Mutex
	all []time.Duration
}

// Observe is called for every request that a client's rate limiter let pass.
func (w *waits) Observe(_ context.Context, _ string, _ url.URL, waited time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, waited)
}

// longest is the longest wait since the last call, of how many.
func (w *waits) longest() (longest time.Duration, of int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waited := range w.all {
		longest = max(longest, waited)
	}
	of = len(w.all)
	w.all = nil
	return longest, of
}

// TestSixtyObjectsAreNotThrottled installs sixty objects and updates them: no request waits for its own client.
func TestSixtyObjectsAreNotThrottled(t *testing.T) {
	onNode(t)
	const noticeable = 100 * time.Millisecond // a limiter that has none left holds back for as long as it takes to earn one
	waits := new(waits)
	metrics.Register(metrics.RegisterOpts{RateLimiterLatency: waits})
	config := adminConfig(t)
	config.QPS, config.Burst = 2, 1
	slow, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := slow.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{Limit: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if longest, _ := waits.longest(); longest < noticeable {
		t.Fatalf("a client of 2 requests a second was held back for %s at most: this test would see nothing", longest)
	}

	tree := newCheckout(t)
	image := tree.build()
	if err := os.CopyFS(filepath.Join(tree.dir, "charts/sixty"), os.DirFS(filepath.Join(site.root, "bench/testdata/charts/sixty"))); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{"installed", "updated"} {
		got := tree.verb(t.Context(), appdeploy.Command(), "--environment", "sixty", "--image", image, "--chart", "charts/sixty", "--release", "shop", "--create-namespace",
			"--set", "turn="+outcome, "--timeout", "3m", "--output", "json")
		got.expect(t, 0)
		longest, of := waits.longest()
		if longest > noticeable || of < 60 {
			t.Errorf("%s: of %d requests one was held back for %s", outcome, of, longest)
		}
		t.Logf("%s: %d requests by way of a limiter, the longest wait %s", outcome, of, longest)
	}
}
