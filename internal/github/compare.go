package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

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

// Compare returns how the next commit relates to the live one, by
// https://docs.github.com/en/rest/commits/commits#compare-two-commits. The error says why that is unknown.
func (a API) Compare(ctx context.Context, live, next release.Commit) (release.Comparison, error) {
	address, err := a.address(fmt.Sprintf("per_page=%d", comparedCommits), "compare", next.String()+"..."+live.String())
	if err != nil {
		return release.Comparison{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxCompareTime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxCompareTime)))
	defer cancel()
	answer, err := a.compare(ctx, address)
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

// compare requests a comparison from the API.
func (a API) compare(ctx context.Context, address string) (answer compared, err error) {
	err = a.call(ctx, http.MethodGet, address, nil, &answer, maxComparison)
	var denied *DeniedError
	if errors.As(err, &denied) {
		return compared{}, fmt.Errorf("%s: it does not have both commits, or the token may not read them (permission contents: read)", denied.Status)
	}
	return answer, err
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
