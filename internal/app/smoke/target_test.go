package smoke_test

import (
	"testing"

	"github.com/onedigest/onedigest/internal/app"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/client-go/rest"
)

// TestTheTargetOfAVerdict is the release in its cluster; a URL alone has none.
func TestTheTargetOfAVerdict(t *testing.T) {
	t.Parallel()
	run := &app.RunContext{Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	client, err := kube.New(&rest.Config{Host: "https://1234.eks.example"})
	if err != nil {
		t.Fatal(err)
	}
	deps, err := appsmoke.NewDeps(&smoke.Settings{Release: "shop", Namespace: "staging", ClusterRef: setting.ClusterRef{Cluster: "eu"}}, run, client, "checks")
	if want := (release.Target{Cluster: "eu", Server: "1234.eks.example", Namespace: "staging", Release: "shop"}); err != nil || deps.Target != want {
		t.Errorf("got %+v, %v, want %+v", deps.Target, err, want)
	}
	if deps, err := appsmoke.NewDeps(&smoke.Settings{URL: "http://shop.example"}, run, nil, "checks"); err != nil || !deps.Target.IsZero() {
		t.Errorf("got %+v, %v", deps.Target, err)
	}
}
