package github_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/github/githubtest"
	"github.com/onedigest/onedigest/internal/release"
)

// written is a part that is what it is.
func written(body string) func(int) string { return func(int) string { return body } }

func apiOf(server *githubtest.Server) github.API {
	return github.API{URL: server.URL, Repository: githubtest.Repository, Token: githubtest.Token}
}

// TestCommentIsCreatedOnceAndThenEdited: one comment for a key, whoever else comments, and by a token of a job and of a user.
func TestCommentIsCreatedOnceAndThenEdited(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", "release-bot"} {
		server := githubtest.Start(t)
		server.SignIn(user)
		var others []githubtest.Comment
		for range 150 {
			others = append(others, githubtest.Comment{Pull: 7, Body: "thanks", By: "octocat"})
		}
		server.Add(append(others, githubtest.Comment{Pull: 7, Body: "<!-- onedigest: shop -->\nnot ours", By: "mallory"}, githubtest.Comment{Pull: 8, Body: "<!-- onedigest: shop -->\nanother pull request", By: "github-actions[bot]"})...)
		api := apiOf(server)
		if _, err := api.Comment(t.Context(), github.Comment{Pull: 7, Key: "shop", Part: "preview", Write: written("x"), Existing: true}); !errors.Is(err, github.ErrNoComment) {
			t.Fatal(err)
		}
		for i, body := range []string{"one", "two", "three"} {
			created, err := api.Comment(t.Context(), github.Comment{Pull: 7, Key: "shop", Part: "deploy staging", Write: written(body)})
			if err != nil || created != (i == 0) {
				t.Fatalf("%s: created %t, %v", body, created, err)
			}
		}
		if _, err := api.Comment(t.Context(), github.Comment{Pull: 7, Key: "shop", Part: "deploy production", Write: written("<!-- onedigest part: deploy staging -->")}); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Comment(t.Context(), github.Comment{Pull: 7, Key: "shop", Part: "deploy staging", Write: written("four\r\nfive")}); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Comment(t.Context(), github.Comment{Pull: 7, Key: "cart --> @all", Part: "x --> @all", Write: written("other")}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, one := range server.Comments()[150:] {
			got = append(got, one.Body)
		}
		want := []string{"<!-- onedigest: shop -->\nnot ours", "<!-- onedigest: shop -->\nanother pull request",
			"<!-- onedigest: shop -->\n<!-- onedigest part: deploy staging -->\nfour\r\nfive\n<!-- onedigest part: deploy production -->\n<!- onedigest part: deploy staging -->\n",
			"<!-- onedigest: cart ___ _all -->\n<!-- onedigest part: x ___ _all -->\nother\n"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("user %q (-want +got):\n%s", user, diff)
		}
	}
}

// TestALongCommentLosesItsLongestParts: a new part has at least half of a comment, and the whole stays below GitHub's limit.
func TestALongCommentLosesItsLongestParts(t *testing.T) {
	t.Parallel()
	server := githubtest.Start(t)
	for i, name := range []string{"short", "first", "second", "third"} {
		_, err := apiOf(server).Comment(t.Context(), github.Comment{Pull: 7, Key: "shop", Part: name, Write: func(limit int) string {
			if limit < github.MaxComment/2-100 {
				t.Errorf("%s: the limit is %d", name, limit)
			}
			return strings.Repeat("x", min(limit, i*20_000+10))
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	body := server.Comments()[0].Body
	for name, want := range map[string]bool{"short": true, "first": true, "second": false, "third": true} {
		if strings.Contains(body, "<!-- onedigest part: "+name+" -->") != want {
			t.Errorf("part %s: want %t", name, want)
		}
	}
}

// TestThePullRequestOfACommit: the one that was merged as it.
func TestThePullRequestOfACommit(t *testing.T) {
	t.Parallel()
	server := githubtest.Start(t)
	server.Merge(nextCommit.String(), 7)
	for commit, want := range map[release.Commit]int{nextCommit: 7, liveCommit: 0} {
		if got, err := apiOf(server).PullOf(t.Context(), commit); err != nil || got != want {
			t.Errorf("%s: got %d, %v", commit, got, err)
		}
	}
}

// TestCommentIsDenied: a token that may not write, and one that may not read.
func TestCommentIsDenied(t *testing.T) {
	t.Parallel()
	for _, methods := range [][]string{{http.MethodPost}, {http.MethodGet}} {
		server := githubtest.Start(t)
		server.Deny(methods...)
		if _, err := apiOf(server).Comment(t.Context(), github.Comment{Pull: 7, Key: "deploy", Part: "x", Write: written("x")}); !errors.As(err, new(*github.DeniedError)) || strings.Contains(err.Error(), githubtest.Token) {
			t.Errorf("%v: got %v", methods, err)
		}
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := apiOf(githubtest.Start(t)).Comment(stopped, github.Comment{Pull: 7, Key: "deploy", Part: "x", Write: written("x")}); err == nil {
		t.Error("a stopped run has written a comment")
	}
}

func TestPullRequest(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]int{
		`{"number":7,"pull_request":{"title":"x"}}`: 7,
		`{"number":7}`: 0,
		`{"issue":{"number":8,"pull_request":{"url":"x"}}}`:  8,
		`{"issue":{"number":8}}`:                             0,
		`{"after":"d75053c1032f118e36aeaa70a8bd1f7eba4f11"}`: 0,
		`no JSON`: 0,
	} {
		file := filepath.Join(t.TempDir(), "event.json")
		if err := os.WriteFile(file, []byte(event), 0o600); err != nil {
			t.Fatal(err)
		}
		runner := github.New(github.Options{Getenv: func(name string) string { return map[string]string{"GITHUB_EVENT_PATH": file}[name] }})
		if got := runner.PullRequest(); got != want {
			t.Errorf("%s: got %d, want %d", event, got, want)
		}
	}
	if got := github.New(github.Options{}).PullRequest(); got != 0 {
		t.Errorf("without an event: got %d", got)
	}
}

func TestDeployment(t *testing.T) {
	t.Parallel()
	server := githubtest.Start(t)
	digest, err := release.ParseDigest("sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	id, err := apiOf(server).CreateDeployment(t.Context(), github.Deployment{Commit: nextCommit, Environment: "production", Digest: digest, Production: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []github.DeploymentStatus{
		{State: github.DeploymentInProgress, Log: "https://github.com/octo/shop/actions/runs/1"},
		{State: github.DeploymentSuccess, URL: "https://shop.example.com", Description: strings.Repeat("é", 200) + "\x1b[31m"},
	} {
		if err := apiOf(server).SetDeployment(t.Context(), id, status); err != nil {
			t.Fatal(err)
		}
	}
	want := []githubtest.Deployment{{ID: id, Request: map[string]any{"ref": nextCommit.String(), "environment": "production", "auto_merge": false, "required_contexts": []any{}, "production_environment": true,
		"description": "sha256:aaaaaaaaaaaa", "payload": map[string]any{"digest": digest.String()}},
		Statuses: []map[string]any{
			{"state": "in_progress", "description": "", "log_url": "https://github.com/octo/shop/actions/runs/1"},
			{"state": "success", "description": strings.Repeat("é", 139) + "…", "environment_url": "https://shop.example.com"},
		}}}
	if diff := cmp.Diff(want, server.Deployments()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	server.Deny(http.MethodPost)
	if _, err := apiOf(server).CreateDeployment(t.Context(), github.Deployment{Commit: nextCommit}); !errors.As(err, new(*github.DeniedError)) {
		t.Errorf("got %v", err)
	}
}
