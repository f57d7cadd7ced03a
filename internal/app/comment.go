package app

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Comment says into which comment of its pull request the page of a run goes.
type Comment struct {
	Wanted bool
	Token  string
	// Of is what the comment is about, such as a release: the runs about the same have one comment.
	Of []string
	// Part is what the page is about, such as an environment: it replaces the page of the verb's last run about the same.
	Part []string
	// Repository is the one of the pull request, OWNER/NAME; "": the run's.
	Repository string
	// Commit is the commit of the run, by which the pull request is found if the event has none; "": GITHUB_SHA.
	Commit release.Commit
	// Pull is the number of the pull request; 0: that of the run.
	Pull int
	// Existing says that a comment that is not there is not created.
	Existing bool
}

// CommentOn writes a page into a comment of a pull request. A comment that is not written is a warning: what the run is about is done.
func (r *RunContext) CommentOn(ctx context.Context, about Comment, shown page.Page) {
	if !about.Wanted || r.runner == nil || ctx.Err() != nil {
		return
	}
	r.Mask(about.Token)
	pull := about.Pull
	if pull == 0 {
		pull = r.pull(ctx, about)
	}
	if pull == 0 {
		r.Reporter.Infof("no comment is written, because this run belongs to no pull request")
		return
	}
	join := func(words ...string) string {
		return strings.Join(strings.Fields(r.Secrets.CleanLine(strings.Join(words, " "))), " ")
	}
	api := r.API(about.Token)
	api.Repository = cmp.Or(about.Repository, api.Repository)
	created, err := api.Comment(ctx, github.Comment{Pull: pull, Key: join(about.Of...), Part: join(append([]string{r.verb}, about.Part...)...), Existing: about.Existing,
		Write: func(limit int) string {
			return text.Truncate(r.Secrets.Redact(r.pageWriter().Markdown(shown, limit)), limit)
		}})
	switch {
	case errors.Is(err, github.ErrNoComment): // nothing to edit
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

// pull returns the number of the run's pull request: that of the event, or the one by which the commit came into its branch; 0 if there is none.
func (r *RunContext) pull(ctx context.Context, about Comment) int {
	if pull := r.runner.PullRequest(); pull != 0 {
		return pull
	}
	commit := about.Commit
	if commit == "" {
		var err error
		if commit, err = release.ParseCommit(r.Process.Getenv("GITHUB_SHA")); err != nil {
			return 0
		}
	}
	pull, err := r.API(about.Token).PullOf(ctx, commit)
	if err != nil {
		r.Reporter.Warnf("the pull request of commit %s is not known: %v", commit.Short(), err)
	}
	return pull
}

// API returns GitHub's API for the run's repository.
func (r *RunContext) API(token string) github.API {
	return github.API{URL: r.Process.Getenv("GITHUB_API_URL"), Repository: r.Process.Getenv("GITHUB_REPOSITORY"), Token: token}
}
