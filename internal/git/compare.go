package git

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// maxSubject limits a commit's subject, in bytes.
const maxSubject = 80

// errUnknownOrder is returned if the available history does not show how two commits relate.
var errUnknownOrder = errors.New("the available history is too short to compare the commits")

// Scratch makes an empty directory; remove deletes it.
type Scratch func() (dir string, remove func(), err error)

// Compare returns how the next commit relates to the live one, by the history of the repository that dir belongs to. Where that
// history is shallow or lacks a commit, the missing commits are fetched from the checkout's remote, within a minute, into a
// repository that is deleted afterwards: the checkout is not changed. scratch makes an empty directory for that repository, and
// remove deletes it. environ is the environment of git, as in Inspect.
//
// The error says why the order is unknown.
func Compare(ctx context.Context, environ []string, dir string, scratch Scratch, live, next release.Commit) (release.Comparison, error) {
	if live == next {
		return release.Comparison{Relation: release.RelationSame}, nil
	}
	repo, err := open(environ, dir)
	if err != nil {
		return release.Comparison{}, err
	}
	shallow, err := repo.isShallow(ctx)
	if err != nil {
		return release.Comparison{}, err
	}
	comparison, err := repo.compare(ctx, live, next, !shallow)
	if err == nil || ctx.Err() != nil {
		return comparison, err
	}
	fetched, remove, err := repo.fetchHistory(ctx, scratch, shallow, live, next)
	if err != nil {
		return release.Comparison{}, err
	}
	defer remove()
	if comparison, err = fetched.compare(ctx, live, next, true); err != nil {
		return release.Comparison{}, fmt.Errorf("%w, nor in its remote", err)
	}
	return comparison, nil
}

// KnownRelation returns how the next commit relates to the live one, by the history that the repository of dir has; false if that does not show it, or
// there is no repository. It fetches nothing.
func KnownRelation(ctx context.Context, environ []string, dir string, live, next release.Commit) (release.Relation, bool) {
	if live == next {
		return release.RelationSame, true
	}
	repo, err := open(environ, dir)
	if err != nil {
		return "", false
	}
	shallow, err := repo.isShallow(ctx)
	if err != nil {
		return "", false
	}
	comparison, err := repo.compare(ctx, live, next, !shallow)
	return comparison.Relation, err == nil
}

// isShallow reports whether the repository is a shallow clone.
func (r repository) isShallow(ctx context.Context) (bool, error) {
	out, err := r.git(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return false, r.fault(err, "reading the repository of")
	}
	return strings.TrimSpace(out) != "false", nil
}

// compare returns how two commits relate in the repository's history. In a shallow history it can prove that one commit descends
// from the other, but not that neither does.
func (r repository) compare(ctx context.Context, live, next release.Commit, whole bool) (release.Comparison, error) {
	for _, commit := range []release.Commit{live, next} {
		if !r.has(ctx, commit) {
			if ctx.Err() != nil {
				return release.Comparison{}, context.Cause(ctx)
			}
			return release.Comparison{}, fmt.Errorf("commit %s is not in the repository of %q", commit.Short(), r.dir)
		}
	}
	ahead, err := r.isAncestor(ctx, live, next)
	if err != nil || ahead {
		return release.Comparison{Relation: release.RelationAhead}, err
	}
	behind, err := r.isAncestor(ctx, next, live)
	if err != nil || behind {
		return release.Comparison{Relation: release.RelationBehind}, err
	}
	if !whole {
		return release.Comparison{}, errUnknownOrder
	}
	comparison := release.Comparison{Relation: release.RelationDiverged}
	comparison.Lost, comparison.LostCount, err = r.commitsBetween(ctx, next, live)
	return comparison, err
}

// has reports whether the repository has a commit.
func (r repository) has(ctx context.Context, commit release.Commit) bool {
	_, err := r.git(ctx, "cat-file", "-e", commit.String()+"^{commit}")
	return err == nil
}

// isAncestor reports whether a commit is in the history of another.
func (r repository) isAncestor(ctx context.Context, ancestor, descendant release.Commit) (bool, error) {
	_, err := r.git(ctx, "merge-base", "--is-ancestor", ancestor.String(), descendant.String())
	var exit *exitError
	if errors.As(err, &exit) && exit.status == 1 { // git-merge-base(1), --is-ancestor: "exit with status 1 if not"
		return false, nil
	}
	if err != nil {
		return false, r.fault(err, "comparing %q and %q in", ancestor.Short(), descendant.Short())
	}
	return true, nil
}

// commitsBetween returns the newest commits that are in the history of one commit and not in that of another, and how many there
// are in all.
func (r repository) commitsBetween(ctx context.Context, without, with release.Commit) (named []release.CommitSummary, count int, err error) {
	commits := without.String() + ".." + with.String()
	out, err := r.git(ctx, "rev-list", "--count", commits, "--")
	if err != nil {
		return nil, 0, r.fault(err, "counting commits of")
	}
	if count, err = strconv.Atoi(strings.TrimSpace(out)); err != nil {
		return nil, 0, r.fault(err, "counting commits of")
	}
	out, err = r.git(ctx, "log", "-z", "--no-show-signature", "--no-color", "--no-patch", "--encoding=UTF-8", "--format=%H %s", "--max-count="+strconv.Itoa(release.MaxLost), commits, "--")
	if err != nil {
		return nil, 0, r.fault(err, "listing commits of")
	}
	return parseSummaries(out), count, nil
}

// parseSummaries reads NUL-separated lines, each a commit id and a subject. It skips malformed lines.
func parseSummaries(out string) (named []release.CommitSummary) {
	for line := range strings.SplitSeq(out, "\x00") {
		id, subject, _ := strings.Cut(line, " ")
		if commit, err := release.ParseCommit(id); err == nil && len(named) < release.MaxLost {
			named = append(named, release.CommitSummary{Commit: commit, Subject: text.Line(subject, maxSubject)})
		}
	}
	return named
}
