package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// TestManyRecordsHideNoProof smokes an image once in the previous environment, attaches what fifty smokes of production attached
// before smoke recorded only what is new, and one record that nobody can read, and promotes the image.
func TestManyRecordsHideNoProof(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	_, name := tree.buildAndDeploy(t, "proving")
	prove := func() string {
		t.Helper()
		return field(t, tree.verb(t.Context(), appsmoke.Command(), "--environment", "proving", "--image", name, "--output", "json"), "evidence")
	}
	first := prove()
	image, err := release.ParseImage(name)
	if err != nil {
		t.Fatal(err)
	}
	connected, err := images.New(t.Context(), &app.RunContext{Process: app.Process{Environ: site.aws}, Reporter: releasetest.DiscardReporter{}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 51 {
		if _, err := connected.Record(t.Context(), release.Evidence{Image: image, Commit: releasetest.Commit, Environment: "production", Verdict: release.Pass,
			Checks: []string{"/"}, Rounds: 3, Pods: []string{"a"}, URL: "http://x", At: time.Now().Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	cloud, err := ecr.New(t.Context(), ecr.Options{Environ: app.Process{Environ: site.aws}.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	client := registry.New(registry.Options{Credentials: func(ctx context.Context, host string) (string, string, error) {
		username, password, _, err := cloud.Credentials(ctx, host)
		return username, password, err
	}})
	if _, err := client.Attach(t.Context(), image, evidence.ArtifactType, evidence.MediaType, []byte(strings.Repeat("x", 1<<20)),
		map[string]string{evidence.AnnotationEnvironment: "proving"}); err != nil {
		t.Fatal(err)
	}
	if again := prove(); again != first {
		t.Errorf("the second smoke left record %s, want the first one's %s", again, first)
	}
	promoted := tree.verb(t.Context(), apppromote.Command(), "--image", name, "--from", "proving", "--to", "production")
	if promoted.code != 0 || !strings.Contains(promoted.stdout+promoted.stderr, "skipping") {
		t.Errorf("exit %d, want 0 and a warning of the record that cannot be read:\n%s%s", promoted.code, promoted.stdout, promoted.stderr)
	}
}

// TestSmokeWaitsForALoadBalancersTargets asks a load balancer that answers 503 itself for longer than smoke's patience.
func TestSmokeWaitsForALoadBalancersTargets(t *testing.T) {
	onNode(t)
	beside(t)
	var answered atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case answered.Add(1) <= 10:
			w.Header().Set("Server", "awselb/2.0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/configs":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, "{}")
		default:
			_, _ = fmt.Fprint(w, "hello")
		}
	}))
	defer server.Close()
	tree := newCheckout(t)
	got := tree.verb(t.Context(), appsmoke.Command(), "--url", server.URL, "--patience", "1ms", "--pause", "10ms")
	if got.code != 0 || !strings.Contains(got.stdout, "awselb/2.0") || !strings.Contains(got.stdout, "verdict: pass") {
		t.Errorf("exit %d, want a pass after the load balancer's 503:\n%s%s", got.code, got.stdout, got.stderr)
	}
}
