package github_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/github"
)

// pulls is the part of GitHub's API that has the pull requests of one repository.
type pulls struct {
	asked  []string
	open   string // the answer to the list
	status int    // of a change
}

func (p *pulls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	p.asked = append(p.asked, strings.TrimSpace(strings.Join([]string{r.Method, r.URL.Path, r.URL.Query().Get("base"), r.URL.Query().Get("head"), body["title"], body["base"], body["head"], r.Header.Get("Authorization")}, " ")))
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(p.open))
		return
	}
	w.WriteHeader(p.status)
	_, _ = w.Write([]byte(`{"number":7,"html_url":"https://github.com/team/config/pull/7","message":"Resource not\u001b[2J accessible"}`))
}

func TestAPullRequestIsOpenedOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		open   string
		status int
		asked  string
		err    string
	}{
		"new":     {"[]", http.StatusCreated, "POST /repos/team/config/pulls   Deploy main onedigest/shop Bearer token", ""},
		"open":    {`[{"number":7}]`, http.StatusOK, "PATCH /repos/team/config/pulls/7   Deploy main  Bearer token", ""},
		"refused": {"[]", http.StatusForbidden, "POST /repos/team/config/pulls   Deploy main onedigest/shop Bearer token", "403 Forbidden: Resource not accessible"},
		"no list": {"{", http.StatusOK, "", "unexpected EOF"},
	} {
		api := &pulls{open: test.open, status: test.status}
		server := httptest.NewServer(api)
		t.Cleanup(server.Close)
		page, err := github.API{URL: server.URL, Repository: "team/config", Token: "token"}.OpenPullRequest(t.Context(), github.PullRequest{Base: "main", Head: "onedigest/shop", Title: "Deploy", Body: "plan"})
		if test.err == "" && (err != nil || page != "https://github.com/team/config/pull/7") || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: got %q, %v", name, page, err)
		}
		want := []string{"GET /repos/team/config/pulls main team:onedigest/shop    Bearer token"}
		if test.asked != "" {
			want = append(want, test.asked)
		}
		if diff := cmp.Diff(want, api.asked); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, api := range []github.API{{URL: "https://api.github.com", Repository: "../x"}, {URL: "http://api.example.com", Repository: "team/config"}} {
		if _, err := api.OpenPullRequest(t.Context(), github.PullRequest{}); err == nil {
			t.Errorf("%+v: no error", api)
		}
	}
}
