package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/github/githubtest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/release/releasetest"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/text"
)

// told is a reporter that keeps what it is told.
type told struct {
	releasetest.DiscardReporter
	lines *[]string
}

func (r told) Infof(format string, args ...any) {
	*r.lines = append(*r.lines, fmt.Sprintf(format, args...))
}
func (r told) Warnf(format string, args ...any) {
	*r.lines = append(*r.lines, "warning: "+fmt.Sprintf(format, args...))
}

// TestDeploymentsOnGitHub: the state by the outcome, with the service's address, also when the run is stopped; what may not be recorded is a warning that names the permission.
func TestDeploymentsOnGitHub(t *testing.T) {
	t.Parallel()
	image, err := release.ParseImage("localhost:5000/team/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	server, lines := githubtest.Start(t), []string{}
	run := &app.RunContext{Process: app.Process{Environ: append(server.Environ(), "GITHUB_ACTIONS=true")}, Reporter: told{lines: &lines}, Secrets: new(text.Secrets)}
	run.Secrets.Add("canary-4711")
	settings := deploy.Settings{Environment: "staging", Release: "shop", GitHubDeployment: true, GitHubToken: githubtest.Token}
	settings.Context = "eu"
	for _, end := range []struct {
		result deploy.Result
		failed error
		stop   bool
	}{
		{deploy.Result{Outcome: release.Changed, Image: image, URL: "https://shop.example.com"}, nil, false},
		{deploy.Result{Outcome: release.RolledBack, Code: causes.CrashLoop}, &release.Failure{What: "x"}, false},
		{deploy.Result{}, release.NewFault("cluster", "", errors.New("gone"), "watching"), false},
		{deploy.Result{State: "revision 7 is partly applied, ca\x1b[0mnary-47\u200d11"}, &release.Failure{What: "the deploy was stopped"}, true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := newAnnouncer(run, run.Reporter, settings, "shop-staging", end.stop).Begin(ctx, releasetest.Commit, one(image))
		if end.stop {
			cancel()
		}
		ended(end.result, end.failed)
		cancel()
	}
	var got []string
	for _, one := range server.Deployments() {
		line := fmt.Sprint(one.Request["environment"], " ", one.Request["production_environment"])
		for _, status := range one.Statuses {
			line += fmt.Sprintf("; %v %v %v", status["state"], status["description"], status["environment_url"])
		}
		got = append(got, line)
	}
	want := []string{
		"staging false; in_progress  <nil>; success changed sha256:aaaaaaaaaaaa https://shop.example.com",
		"staging false; in_progress  <nil>; failure rolled-back: OD-103 the container keeps crashing <nil>",
		"staging false; in_progress  <nil>; error cluster: watching: gone <nil>",
		"staging/eu/shop false; in_progress  <nil>; error revision 7 is partly applied, *** <nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	a := newAnnouncer(run, run.Reporter, settings, "shop-staging", false)
	a.Begin(t.Context(), releasetest.Commit, one(image))(deploy.Result{Outcome: release.Changed, Image: image}, nil)
	a.Failed(t.Context(), releasetest.Commit, image.Digest, "OD-208 smoke\nsays canary-4711")
	a.Failed(t.Context(), release.Commit(strings.Repeat("f", 40)), image.Digest, "of no deployment")
	a.Failed(t.Context(), releasetest.Commit, releasetest.Digest(t, "b"), "of another service's image")
	all := server.Deployments()
	if diff := cmp.Diff([]string{"failure OD-208 smoke says ***", "in_progress ", "success changed sha256:aaaaaaaaaaaa"}, statuses(all[len(all)-1])); diff != "" || len(all) != 5 {
		t.Errorf("after smoke has failed the newest of %d (-want +got):\n%s", len(all), diff)
	}
	for _, earlier := range all[:4] {
		if len(earlier.Statuses) != 2 {
			t.Errorf("an earlier deployment has %v", statuses(earlier))
		}
	}
	server.Deny(http.MethodPost)
	a.Failed(t.Context(), releasetest.Commit, image.Digest, "x")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "warning: the failure of the deployment") || !strings.Contains(last, "deployments: write") {
		t.Errorf("told %q", last)
	}
	newAnnouncer(run, run.Reporter, settings, "shop-staging", false).Begin(t.Context(), releasetest.Commit, one(image))(deploy.Result{}, nil)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "warning: ") || !strings.Contains(last, "deployments: write") {
		t.Errorf("told %q", last)
	}
	settings.GitHubDeployment = false
	if newAnnouncer(run, run.Reporter, settings, "shop-staging", false) != nil {
		t.Error("a deployment that nobody wants is recorded")
	}
}

// one is a release's only image.
func one(image release.Image) []release.BuiltImage { return []release.BuiltImage{{Image: image}} }

// statuses returns the statuses of a deployment, sorted.
func statuses(d githubtest.Deployment) (all []string) {
	for _, status := range d.Statuses {
		all = append(all, fmt.Sprintf("%v %v", status["state"], status["description"]))
	}
	slices.Sort(all)
	return all
}

// TestArtifactRecords: what runs after a deploy that went well is recorded, a later one of the same deployment in its place, and nothing of one that failed; what may not be
// recorded is one warning, and no failure.
func TestArtifactRecords(t *testing.T) {
	t.Parallel()
	image := func(name, digit string) release.Image {
		parsed, err := release.ParseImage("registry.example.com/" + name + "@sha256:" + strings.Repeat(digit, 64))
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	server, lines := githubtest.Start(t), []string{}
	run := &app.RunContext{Process: app.Process{Environ: append(server.Environ(), "GITHUB_ACTIONS=true")}, Reporter: told{lines: &lines}, Secrets: new(text.Secrets)}
	settings := deploy.Settings{Environment: "staging", Namespace: "shops", Release: "shop", ArtifactRecord: true, GitHubToken: githubtest.Token}
	settings.Region = "eu-central-1"
	main, worker := image("shop", "a"), image("worker", "b")
	settings.Image, settings.Images = main, []release.BuiltImage{{Image: main}, {Name: "worker", Image: worker, Commit: releasetest.Commit}}
	a := newAnnouncer(run, run.Reporter, settings, "shop-staging", false)
	a.Begin(t.Context(), releasetest.Commit, settings.Images)(deploy.Result{}, &release.Failure{What: "x"})
	if got := server.Artifacts(); len(got) > 0 {
		t.Errorf("of a deploy that failed: %v", got)
	}
	a.Begin(t.Context(), releasetest.Commit, settings.Images)(deploy.Result{Outcome: release.Changed}, nil)
	record := func(name, digit, deployment string) map[string]string {
		return map[string]string{"name": "registry.example.com/" + name, "digest": "sha256:" + strings.Repeat(digit, 64), "version": releasetest.Commit.String(), "status": "deployed", "logical_environment": "staging",
			"physical_environment": "eu-central-1", "cluster": "shop-staging", "deployment_name": deployment, "github_repository": "shop"}
	}
	if diff := cmp.Diff([]map[string]string{record("shop", "a", "shops-shop"), record("worker", "b", "shops-shop-worker")}, server.Artifacts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	a.Failed(t.Context(), releasetest.Commit, main.Digest, "x") // of a deployment, of which there is none
	a.Begin(t.Context(), releasetest.Commit, []release.BuiltImage{{Image: image("shop", "c")}, {Name: "worker", Image: image("worker", "d")}})(deploy.Result{Outcome: release.RolledBack}, nil)
	earlier := record("worker", "d", "shops-shop-worker")
	delete(earlier, "version") // which the revision does not say of a further image
	if diff := cmp.Diff([]map[string]string{record("shop", "c", "shops-shop"), earlier}, server.Artifacts()); diff != "" {
		t.Errorf("after a rollback (-want +got):\n%s", diff)
	}
	if len(server.Deployments()) > 0 {
		t.Errorf("deployments that nobody wants: %v", server.Deployments())
	}
	lines = nil
	server.Deny(http.MethodPost)
	a.Begin(t.Context(), releasetest.Commit, settings.Images)(deploy.Result{Outcome: release.Changed}, nil)
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "warning: ") || !strings.Contains(lines[0], "403 Forbidden") || !strings.Contains(lines[0], "artifact-metadata: write") {
		t.Errorf("told %q", lines)
	}
}

// TestADeploymentEndsThatHasNotBegun: what GitHub has created is ended, also if the status before that is not recorded.
func TestADeploymentEndsThatHasNotBegun(t *testing.T) {
	t.Parallel()
	image, err := release.ParseImage("localhost:5000/team/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	server, lines := githubtest.Start(t), []string{}
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var statuses atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(address)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/statuses") && statuses.Add(1) == 1 {
			http.Error(w, `{"message": "Validation Failed"}`, http.StatusUnprocessableEntity)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	run := &app.RunContext{Process: app.Process{Environ: append(server.Environ(), "GITHUB_ACTIONS=true", "GITHUB_API_URL="+front.URL)}, Reporter: told{lines: &lines}, Secrets: new(text.Secrets)}
	settings := deploy.Settings{Environment: "staging", GitHubDeployment: true, GitHubToken: githubtest.Token}
	newAnnouncer(run, run.Reporter, settings, "shop-staging", false).Begin(t.Context(), releasetest.Commit, one(image))(deploy.Result{Outcome: release.Changed, Image: image}, nil)
	all := server.Deployments()
	if len(all) != 1 || len(all[0].Statuses) != 1 || all[0].Statuses[0]["state"] != "success" || !strings.HasPrefix(lines[0], "warning: the beginning of the deployment to \"staging\" is not recorded") {
		t.Errorf("got %v, told %q", all, lines)
	}
}

// TestAPullRequestHasNoSecret: neither in its title nor in its text, also if a line divides one.
func TestAPullRequestHasNoSecret(t *testing.T) {
	t.Parallel()
	var sent bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = sent.ReadFrom(r.Body)
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte("[]"))
			return
		}
		_, _ = w.Write([]byte(`{"number": 7, "html_url": "https://github.com/octo/config/pull/7"}`))
	}))
	t.Cleanup(server.Close)
	run := &app.RunContext{Secrets: new(text.Secrets)}
	run.Secrets.Add("canary-4711")
	divided := "ca\x1b[0mnary-47\u200d11"
	page, err := pulls{run, github.API{URL: server.URL, Repository: "octo/config", Token: githubtest.Token}}.Open(t.Context(), "main", "staging", "deploy "+divided, []string{"gate: " + divided})
	if err != nil || !strings.HasSuffix(page, "/pull/7") {
		t.Errorf("got %q, %v", page, err)
	}
	if got := sent.String(); strings.Contains(got, "4711") || strings.Count(got, "***") != 2 {
		t.Errorf("sent %s", got)
	}
}
