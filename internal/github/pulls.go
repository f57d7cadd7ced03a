package github

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/text"
)

const (
	// maxPullTime bounds the requests for a pull request.
	maxPullTime = 30 * time.Second
	// maxPulls bounds an answer, in bytes.
	maxPulls = 4 << 20
)

// PullRequest is a pull request from a branch of the same repository.
type PullRequest struct {
	Base, Head  string // branches
	Title, Body string
}

// OpenPullRequest opens a pull request, or gives the open one of the same branches a new title and body, and returns its page. The token needs the permissions contents: read and pull-requests: write. Source:
// https://docs.github.com/en/rest/pulls/pulls.
func (a API) OpenPullRequest(ctx context.Context, pull PullRequest) (page string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxPullTime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxPullTime)))
	defer cancel()
	owner, _, _ := strings.Cut(a.Repository, "/")
	address, err := a.address(url.Values{"state": {"open"}, "base": {pull.Base}, "head": {owner + ":" + pull.Head}}.Encode(), "pulls")
	if err != nil {
		return "", err
	}
	var open []pulled
	if err := a.call(ctx, http.MethodGet, address, nil, &open, maxPulls); err != nil {
		return "", fmt.Errorf("asking GitHub for the pull requests of %q: %w", a.Repository, err)
	}
	method, elements, body := http.MethodPost, []string{"pulls"}, map[string]string{"title": pull.Title, "body": pull.Body, "base": pull.Base, "head": pull.Head}
	if len(open) > 0 {
		method, elements = http.MethodPatch, append(elements, fmt.Sprint(open[0].Number))
		delete(body, "head")
	}
	if address, err = a.address("", elements...); err != nil {
		return "", err
	}
	var opened pulled
	if err := a.call(ctx, method, address, body, &opened, maxPulls); err != nil {
		return "", fmt.Errorf("asking GitHub to open a pull request in %q: %w", a.Repository, err)
	}
	return text.Line(opened.Page, 500), nil
}

// pulled has the fields of a pull request that are used.
type pulled struct {
	Number int    `json:"number"`
	Page   string `json:"html_url"`
}
