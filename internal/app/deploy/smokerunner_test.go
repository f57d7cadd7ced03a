package deploy

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// What a deploy's smoke checks find against an image is recorded, so that promote does not believe an older pass. Nothing is if
// the answers may be those of another image.
func TestAFailedSmokeIsRecorded(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(service.Close)
	for name, test := range map[string]struct {
		change   func(*deploy.SmokeRequest)
		recorded bool
	}{
		"pods of the image":                 {func(*deploy.SmokeRequest) {}, true},
		"no pod of the image":               {func(r *deploy.SmokeRequest) { r.Pods = nil }, false},
		"pods of an older image, by intent": {func(r *deploy.SmokeRequest) { r.AnyCommit = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := &app.RunContext{Process: app.Process{Now: time.Now}, Reporter: releasetest.DiscardReporter{}}
			registry, err := images.New(t.Context(), run)
			if err != nil {
				t.Fatal(err)
			}
			target := release.Target{Cluster: "eu", Namespace: "staging", Release: "shop"}
			request := deploy.SmokeRequest{URL: service.URL, Environment: "staging", Namespace: "staging", Release: "shop", Image: pushImage(t, registry),
				Pods: []string{"shop-1"}, Commit: releasetest.Commit}
			test.change(&request)
			err = smokeRunner{run, nil, target, registry, "", time.Millisecond}.Smoke(t.Context(), request)
			if !release.IsBadRelease(err) {
				t.Fatalf("got %v, want a bad release", err)
			}
			newest, found, err := registry.Newest(t.Context(), request.Image, "staging")
			if err != nil || found != test.recorded || found && (newest.Verdict != release.Fail || len(newest.Pods) != 1 || newest.Target != target) {
				t.Errorf("recorded %+v, %t, %v, want a failure: %t", newest, found, err, test.recorded)
			}
		})
	}
}

// pushImage pushes an image to a registry of its own.
func pushImage(t *testing.T, to *images.Images) release.Image {
	t.Helper()
	repository, layout := registrytest.Repository(t), registrytest.Layout(t, nil)
	if err := to.Push(t.Context(), layout, repository, "one", nil); err != nil {
		t.Fatal(err)
	}
	return repository.At(layout.Digest)
}
