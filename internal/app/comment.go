package app

import (
	"context"
	"errors"
	"strings"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/github"
)

// Comment says into which comment of its pull request the page of a run goes.
type Comment struct {
	Wanted bool
	Token  string
	// Of is what the run is about, such as an environment and a release. Runs of a verb about the same have the same comment.
	Of []string
}

// comment writes the page into the comment of the run's pull request. A comment that is not written is a warning: what the run is about is done.
func (r *RunContext) comment(ctx context.Context, about Comment, shown page.Page) {
	if !about.Wanted || r.runner == nil || ctx.Err() != nil {
		return
	}
	pull := r.runner.PullRequest()
	if pull == 0 {
		r.Reporter.Infof("this run is of no pull request: no comment is written")
		return
	}
	r.Mask(about.Token)
	key := strings.Join(strings.Fields(strings.Join(append([]string{r.verb}, about.Of...), " ")), " ")
	written := r.Secrets.Redact(r.pageWriter().Markdown(shown, github.MaxComment))
	created, err := r.API(about.Token).Comment(ctx, pull, key, written)
	switch {
	case errors.As(err, new(*github.DeniedError)):
		r.Reporter.Warnf("the comment of pull request #%d is not written: GitHub answered %v; the job needs permissions: {pull-requests: write}, which the pull request of a fork does not get", pull, err)
	case err != nil:
		r.Reporter.Warnf("the comment of pull request #%d is not written: %v", pull, err)
	case created:
		r.Reporter.Infof("wrote a comment of pull request #%d", pull)
	default:
		r.Reporter.Infof("edited the comment of pull request #%d", pull)
	}
}

// API returns GitHub's API for the run's repository.
func (r *RunContext) API(token string) github.API {
	return github.API{URL: r.Process.Getenv("GITHUB_API_URL"), Repository: r.Process.Getenv("GITHUB_REPOSITORY"), Token: token}
}
