package github_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	liveCommit = release.Commit("1111111111111111111111111111111111111111")
	nextCommit = release.Commit("2222222222222222222222222222222222222222")
)

// comparing serves GitHub's comparison of the next commit (base) with the live one (head), as
// https://docs.github.com/en/rest/commits/commits#compare-two-commits shows it. Other requests fail the test.
func comparing(t *testing.T, status int, body string) github.API {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := "/api/v3/repos/team/shop/compare/" + nextCommit.String() + "..." + liveCommit.String()
		if r.Method != http.MethodGet || r.URL.Path != want || r.URL.Query().Get("per_page") != "100" {
			t.Errorf("unknown request %s %s", r.Method, r.URL)
		}
		for name, want := range map[string]string{"Authorization": "Bearer secret", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return github.API{URL: server.URL + "/api/v3", Repository: "team/shop", Token: "secret"}
}

func answer(status string, commits string) string {
	return fmt.Sprintf(`{"url":"https://api.github.com/repos/team/shop/compare/x...y","base_commit":{"sha":%q,"commit":{"message":"base"}},
		"merge_base_commit":{"sha":%q},"status":%q,"ahead_by":7,"behind_by":2,"total_commits":7,"commits":[%s],"files":[{"filename":"a","patch":"x"}]}`,
		nextCommit, nextCommit, status, commits)
}

func TestCompare(t *testing.T) {
	t.Parallel()
	var commits []string
	for i := range 7 {
		commits = append(commits, fmt.Sprintf(`{"sha":"%040d","commit":{"message":"fix %d\u001b[31m\n\nlong"}}`, i, i))
	}
	var newest []release.CommitSummary
	for i := 6; i > 6-release.MaxLost; i-- {
		newest = append(newest, release.CommitSummary{Commit: release.Commit(fmt.Sprintf("%040d", i)), Subject: fmt.Sprintf("fix %d", i)})
	}
	for status, want := range map[string]release.Comparison{
		"identical": {Relation: release.RelationSame},
		"behind":    {Relation: release.RelationAhead}, // the live commit is behind the next one
		"ahead":     {Relation: release.RelationBehind},
		"diverged":  {Relation: release.RelationDiverged, Lost: newest, LostCount: 7},
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			got, err := comparing(t, http.StatusOK, answer(status, strings.Join(commits, ","))).Compare(t.Context(), liveCommit, nextCommit)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestCompareSaysWhyTheOrderIsUnknown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"absent":            {http.StatusNotFound, `{"message":"Not Found"}`, "contents: read"},
		"forbidden":         {http.StatusForbidden, `{"message":"no"}`, "contents: read"},
		"an unknown status": {http.StatusOK, answer("sideways", ""), `status "sideways"`},
		"another commit":    {http.StatusOK, `{"status":"behind","base_commit":{"sha":"3333"}}`, `about commit "3333"`},
		"no JSON":           {http.StatusOK, `<html>`, "reading the answer"},
		"nothing":           {http.StatusOK, ``, `about commit ""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := comparing(t, test.status, test.body).Compare(t.Context(), liveCommit, nextCommit)
			if !strings.Contains(fmt.Sprint(err), test.want) || got.Relation != "" {
				t.Errorf("got %+v, %v, want %q", got, err, test.want)
			}
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("the token is in %v", err)
			}
		})
	}
	for name, api := range map[string]github.API{
		"no repository":   {URL: "https://api.github.com"},
		"a path":          {URL: "https://api.github.com", Repository: "team/shop/../x"},
		"the API itself":  {URL: "https://api.github.com", Repository: "team/.."},
		"no address":      {Repository: "team/shop"},
		"without TLS":     {URL: "http://api.github.com", Repository: "team/shop", Token: "secret"},
		"no such address": {URL: "http://127.0.0.1:1", Repository: "team/shop"},
	} {
		_, err := api.Compare(t.Context(), liveCommit, nextCommit)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if strings.Contains(api.Repository, "..") && !strings.Contains(fmt.Sprint(err), "is not the name of a repository") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := comparing(t, http.StatusOK, "").Compare(ctx, liveCommit, nextCommit); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCompareFollowsARenamedRepository, and takes its token to no other server.
func TestCompareFollowsARenamedRepository(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) }))
	t.Cleanup(other.Close)
	to := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/repositories/") {
			fmt.Fprint(w, answer("behind", ""))
			return
		}
		http.Redirect(w, r, to, http.StatusMovedPermanently)
	}))
	t.Cleanup(server.Close)
	api := github.API{URL: server.URL, Repository: "team/shop", Token: "secret"}
	to = server.URL + "/repositories/1/compare/x"
	if got, err := api.Compare(t.Context(), liveCommit, nextCommit); got.Relation != release.RelationAhead || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	to = other.URL + "/repositories/1/compare/x"
	if _, err := api.Compare(t.Context(), liveCommit, nextCommit); err == nil || !strings.Contains(err.Error(), "redirected to") {
		t.Errorf("got %v", err)
	}
}
