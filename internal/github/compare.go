package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

const (
	// maxCompareTime bounds a comparison, its retries included.
	maxCompareTime = 20 * time.Second
	// maxComparison bounds an answer, in bytes; it holds the patches of at most 300 files.
	maxComparison = 64 << 20
	// comparedCommits is how many commits an answer lists; the API allows 100.
	comparedCommits = 100
	maxSubject      = 80 // bytes
)

// API is GitHub's REST API for one repository.
type API struct {
	URL        string // GITHUB_API_URL: "https://api.github.com"
	Repository string // GITHUB_REPOSITORY: "owner/name"
	Token      string // with the permission contents: read; "" for a public repository
}

// repositoryName matches no name of dots alone, which would lead to another address of the API.
var repositoryName = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// Compare returns how the next commit relates to the live one, by
// https://docs.github.com/en/rest/commits/commits#compare-two-commits. The error says why that is unknown.
func (a API) Compare(ctx context.Context, live, next release.Commit) (release.Comparison, error) {
	if !repositoryName.MatchString(a.Repository) {
		return release.Comparison{}, fmt.Errorf("%q is not the name of a repository", a.Repository)
	}
	base, err := url.Parse(a.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && !isLoopback(base) {
		return release.Comparison{}, fmt.Errorf("%q is not the address of GitHub's API", a.URL)
	}
	address := base.JoinPath("repos", a.Repository, "compare", next.String()+"..."+live.String()) // #nosec G125 -- repositoryName and release.Commit admit no path
	address.RawQuery = fmt.Sprintf("per_page=%d", comparedCommits)
	ctx, cancel := context.WithTimeoutCause(ctx, maxCompareTime, fmt.Errorf("GitHub did not answer within %s", maxCompareTime))
	defer cancel()
	answer, err := a.get(ctx, address.String())
	if ctx.Err() != nil {
		return release.Comparison{}, context.Cause(ctx)
	}
	if err != nil {
		return release.Comparison{}, fmt.Errorf("asking GitHub to compare the commits in %q: %w", a.Repository, err)
	}
	comparison, err := answer.comparison(next)
	if err != nil {
		return release.Comparison{}, fmt.Errorf("asking GitHub to compare the commits in %q: %w", a.Repository, err)
	}
	return comparison, nil
}

func isLoopback(address *url.URL) bool {
	return address.Hostname() == "127.0.0.1" || address.Hostname() == "localhost"
}

// compared has the fields of the API's answer that are used.
type compared struct {
	Status       string         `json:"status"` // of the head, which is the live commit
	AheadBy      int            `json:"ahead_by"`
	BaseCommit   listedCommit   `json:"base_commit"`
	Commits      []listedCommit `json:"commits"` // of the head that the base lacks, oldest first
	TotalCommits int            `json:"total_commits"`
}

type listedCommit struct {
	SHA    string `json:"sha"`
	Commit struct {
		Message string `json:"message"`
	} `json:"commit"`
}

// get requests a comparison from the API.
func (a API) get(ctx context.Context, address string) (compared, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return compared{}, err
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	request.Header.Set("User-Agent", "onedigest")
	if a.Token != "" {
		request.Header.Set("Authorization", "Bearer "+a.Token)
	}
	client := &http.Client{Transport: &httpx.RetryTransport{Next: http.DefaultTransport}, CheckRedirect: sameHost}
	response, err := client.Do(request) //nolint:bodyclose // httpx.Drain closes it
	if err != nil {
		return compared{}, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		return compared{}, fmt.Errorf("%s: it does not have both commits, or the token may not read them (permission contents: read)", response.Status)
	default:
		return compared{}, errors.New(response.Status)
	}
	if err := httpx.LimitBody(response, maxComparison); err != nil {
		return compared{}, err
	}
	var answer compared
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		return compared{}, fmt.Errorf("reading the answer: %w", err)
	}
	return answer, nil
}

// sameHost follows the redirect of a renamed repository, and takes the token to no other host.
func sameHost(request *http.Request, via []*http.Request) error {
	if len(via) > 3 || request.URL.Host != via[0].URL.Host || request.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("redirected to %q", request.URL.Redacted())
	}
	return nil
}

// comparison reads an answer whose base is the next commit and whose head is the live one.
func (c compared) comparison(next release.Commit) (release.Comparison, error) {
	if c.BaseCommit.SHA != next.String() {
		return release.Comparison{}, fmt.Errorf("the answer is about commit %q", text.Line(c.BaseCommit.SHA, 64))
	}
	switch c.Status {
	case "identical":
		return release.Comparison{Relation: release.RelationSame}, nil
	case "behind":
		return release.Comparison{Relation: release.RelationAhead}, nil
	case "ahead":
		return release.Comparison{Relation: release.RelationBehind}, nil
	case "diverged":
		return release.Comparison{Relation: release.RelationDiverged, Lost: c.newest(), LostCount: max(c.AheadBy, c.TotalCommits, len(c.Commits))}, nil
	}
	return release.Comparison{}, fmt.Errorf("the answer has status %q", text.Line(c.Status, 64))
}

// newest names the newest of the listed commits.
func (c compared) newest() (named []release.CommitSummary) {
	for _, listed := range slices.Backward(c.Commits) {
		commit, err := release.ParseCommit(listed.SHA)
		if err != nil || len(named) == release.MaxLost {
			continue
		}
		subject, _, _ := strings.Cut(listed.Commit.Message, "\n")
		named = append(named, release.CommitSummary{Commit: commit, Subject: text.Line(subject, maxSubject)})
	}
	return named
}
