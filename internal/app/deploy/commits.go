package deploy

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
)

// commits compares commits by the history of the work tree and of its remote, and by GitHub's where those do not show it. The
// deploys of a matrix ask about the same commits: each comparison is made once.
type commits struct {
	process app.Process
	scratch git.Scratch
	api     github.API

	mu         sync.Mutex
	known      map[[2]release.Commit]compared
	checkedOut map[string]checkedOut // by commit and paths
}

type compared struct {
	comparison release.Comparison
	err        error
}

type checkedOut struct {
	found release.CheckedOut
	err   error
}

func newCommits(run *app.RunContext, token string) *commits {
	run.Mask(token)
	return &commits{process: run.Process, scratch: run.Workspace().Scratch, known: map[[2]release.Commit]compared{}, checkedOut: map[string]checkedOut{},
		api: run.API(token)}
}

// KnownRelation returns how the next commit relates to the live one, by the history of the work tree alone.
func (c *commits) KnownRelation(ctx context.Context, live, next release.Commit) (release.Relation, bool) {
	return git.KnownRelation(ctx, c.process.Environ, c.process.Dir, live, next)
}

// CheckedOut compares the commits from which files and directories are checked out with another one, by git.
func (c *commits) CheckedOut(ctx context.Context, paths []string, commit release.Commit) (release.CheckedOut, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.Join(append([]string{commit.String()}, paths...), "\x00")
	if known, found := c.checkedOut[key]; found {
		return known.found, known.err
	}
	found, err := git.CheckedOut(ctx, c.process.Environ, paths, commit)
	if ctx.Err() == nil {
		c.checkedOut[key] = checkedOut{found, err}
	}
	return found, err
}

// Compare returns how the next commit relates to the live one. The error says why that is unknown to git and to GitHub.
func (c *commits) Compare(ctx context.Context, live, next release.Commit) (release.Comparison, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, found := c.known[[2]release.Commit{live, next}]; found {
		return known.comparison, known.err
	}
	comparison, err := git.Compare(ctx, c.process.Environ, c.process.Dir, c.scratch, live, next)
	if err != nil && ctx.Err() == nil && github.On(c.process.Getenv) {
		gitErr := err
		if comparison, err = c.api.Compare(ctx, live, next); err != nil {
			err = fmt.Errorf("%w; %w", gitErr, err)
		}
	}
	if ctx.Err() == nil {
		c.known[[2]release.Commit{live, next}] = compared{comparison, err}
	}
	return comparison, err
}
