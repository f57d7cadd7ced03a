package preview

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/github/githubtest"
	"github.com/onedigest/onedigest/internal/preview"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

// told is a reporter that keeps its warnings.
type told struct {
	releasetest.DiscardReporter
	warnings *[]string
}

func (r told) Warnf(format string, args ...any) {
	*r.warnings = append(*r.warnings, fmt.Sprintf(format, args...))
}

// TestDeploymentsOfPreviews: to a transient environment of the previews' repository, which need not be the run's, and which is inactive once the preview is gone; what may not be recorded is a warning that names the permission.
func TestDeploymentsOfPreviews(t *testing.T) {
	t.Parallel()
	server, warnings := githubtest.Start(t), []string{}
	run := &app.RunContext{Process: app.Process{Environ: append(server.Environ(), "GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=octo/another")}, Reporter: told{warnings: &warnings}, Secrets: new(text.Secrets)}
	run.Secrets.Add("canary-4711")
	image, err := release.ParseImage("localhost:5000/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	a := newAnnouncer(run, &preview.Settings{Repository: githubtest.Repository, GitHubDeployment: true, GitHubToken: githubtest.Token, Commit: releasetest.Commit})
	one := release.Preview{Repository: githubtest.Repository, PullRequest: 7, Release: "shop", Expires: time.Date(2026, 12, 3, 0, 0, 0, 0, time.UTC)}
	other := one
	other.PullRequest = 8
	a.Begin(t.Context(), one, image)(deploy.Result{URL: "https://pr-7.example.com"}, nil)
	a.Begin(t.Context(), one, image)(deploy.Result{}, &release.Failure{What: "it said canary-4711"})
	a.Begin(t.Context(), other, image)(deploy.Result{}, nil)
	a.Begin(t.Context(), other, image)(deploy.Result{Outcome: release.Superseded}, nil)
	a.Removed(t.Context(), one)
	var got []string
	for _, each := range server.Deployments() {
		line := fmt.Sprint(each.Request["environment"], " ", each.Request["transient_environment"])
		for _, status := range each.Statuses {
			line += fmt.Sprintf("; %v %v %v", status["state"], status["description"], status["environment_url"])
		}
		got = append(got, line)
	}
	want := []string{
		"preview-shop-7 true; in_progress  <nil>; success until 2026-12-03T00:00:00Z https://pr-7.example.com; inactive  <nil>",
		"preview-shop-7 true; in_progress  <nil>; failure it said *** <nil>; inactive  <nil>",
		"preview-shop-8 true; in_progress  <nil>; success until 2026-12-03T00:00:00Z <nil>",
		"preview-shop-8 true; in_progress  <nil>; inactive superseded <nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(warnings) != 0 {
		t.Errorf("warned %q", warnings)
	}
	server.Deny(http.MethodPost)
	a.Begin(t.Context(), one, image)(deploy.Result{}, nil)
	a.Removed(t.Context(), one)
	if len(warnings) != 2 || !strings.Contains(warnings[0], "deployments: write") || !strings.Contains(warnings[1], "deployments: write") {
		t.Errorf("warned %q", warnings)
	}
}

// TestCommentsOfPreviews: of the previews' repository, which need not be the run's.
func TestCommentsOfPreviews(t *testing.T) {
	t.Parallel()
	got := commentOn(&preview.Settings{Repository: githubtest.Repository, GitHubToken: githubtest.Token}, "shop", 7)
	if want := (app.Comment{Wanted: true, Token: githubtest.Token, Of: []string{"shop"}, Repository: githubtest.Repository, Pull: 7}); !cmp.Equal(want, got) {
		t.Errorf("got %+v", got)
	}
}

// TestPageOfAClose: what a close did, and what it left.
func TestPageOfAClose(t *testing.T) {
	t.Parallel()
	settings := &preview.Settings{Release: "shop", PullRequest: 7}
	for want, result := range map[string]preview.Result{
		"is removed":         {Outcome: preview.Removed, Removed: []string{"preview-shop-7"}},
		"was removed before": {Outcome: release.Unchanged},
		"is left: another run has created it again": {Outcome: release.Unchanged, Left: []string{"preview-shop-7"}},
	} {
		result.Mode, result.PullRequest = preview.Close, 7
		if got := fmt.Sprint(Page(settings, result, nil).Headline); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
