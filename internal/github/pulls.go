package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
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
	ctx, cancel := context.WithTimeoutCause(ctx, maxPullTime, fmt.Errorf("GitHub did not answer within %s", maxPullTime))
	defer cancel()
	base, err := a.pulls()
	if err != nil {
		return "", err
	}
	owner, _, _ := strings.Cut(a.Repository, "/")
	list := *base
	list.RawQuery = url.Values{"state": {"open"}, "base": {pull.Base}, "head": {owner + ":" + pull.Head}}.Encode()
	var open []pulled
	if err := a.send(ctx, http.MethodGet, list.String(), nil, &open); err != nil {
		return "", fmt.Errorf("asking GitHub for the pull requests of %q: %w", a.Repository, err)
	}
	method, address, body := http.MethodPost, base.String(), map[string]string{"title": pull.Title, "body": pull.Body, "base": pull.Base, "head": pull.Head}
	if len(open) > 0 {
		method, address = http.MethodPatch, base.JoinPath(fmt.Sprint(open[0].Number)).String()
		delete(body, "head")
	}
	var opened pulled
	if err := a.send(ctx, method, address, body, &opened); err != nil {
		return "", fmt.Errorf("asking GitHub to open a pull request in %q: %w", a.Repository, err)
	}
	return text.Line(opened.Page, 500), nil
}

// pulled has the fields of a pull request that are used.
type pulled struct {
	Number int    `json:"number"`
	Page   string `json:"html_url"`
}

// pulls is the address of the repository's pull requests.
func (a API) pulls() (*url.URL, error) {
	if !repositoryName.MatchString(a.Repository) {
		return nil, fmt.Errorf("%q is not the name of a repository", a.Repository)
	}
	base, err := url.Parse(a.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && !isLoopback(base) {
		return nil, fmt.Errorf("%q is not the address of GitHub's API", a.URL)
	}
	return base.JoinPath("repos", a.Repository, "pulls"), nil
}

// send sends a request, which is repeated only if it has no body, and reads the answer.
func (a API) send(ctx context.Context, method, address string, body any, answer any) error {
	var content io.Reader
	transport := http.DefaultTransport
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	} else {
		transport = &httpx.RetryTransport{Next: http.DefaultTransport}
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	request.Header.Set("User-Agent", "onedigest")
	request.Header.Set("Authorization", "Bearer "+a.Token)
	response, err := (&http.Client{Transport: transport, CheckRedirect: sameHost}).Do(request) //nolint:bodyclose // closed below
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := httpx.LimitBody(response, maxPulls); err != nil {
		return err
	}
	read, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode/100 != 2 {
		var refused struct{ Message string }
		_ = json.Unmarshal(read, &refused)
		return errors.New(strings.TrimSuffix(response.Status+": "+text.Line(refused.Message, 200), ": "))
	}
	return json.Unmarshal(read, answer)
}
