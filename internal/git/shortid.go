package git

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

const doAmbiguous = "give more digits, or the full id"

func ambiguousText(id string) string { return fmt.Sprintf("%q begins the ids of several commits", id) }

// ResolveCommit returns the full id of the commit whose id starts with short (at least 4 hex digits, git's minimum), in the
// repository of dir. environ is the environment of git, as in Inspect.
//
// A short id that is unknown or ambiguous, and a directory outside of a repository, are an *release.InputError that names no
// setting. A git that is missing or fails in another way is a *release.Fault.
func ResolveCommit(ctx context.Context, environ []string, dir, short string) (release.Commit, error) {
	repo, err := open(environ, dir)
	if err != nil {
		return "", err
	}
	commit, err := repo.resolve(ctx, short)
	var exit *exitError
	switch {
	case isAmbiguous(err):
		return "", release.BadInput("", ambiguousText(short), doAmbiguous)
	case errors.As(err, &exit) && strings.Contains(exit.stderr, "not a git repository"):
		return "", release.BadInput("", fmt.Sprintf("%q is short, and %q is not in a git repository that could complete it", short, dir),
			"give the full id, or run in a clone")
	case errors.As(err, &exit) && strings.Contains(exit.stderr, "dubious ownership"):
		return "", release.BadInput("", fmt.Sprintf("%q is short, and git does not trust %q, which belongs to another user", short, dir),
			fmt.Sprintf("give the full id, or if you trust the directory: git config --global --add safe.directory %q", dir))
	case errors.As(err, &exit) && strings.Contains(exit.stderr, "Needed a single revision"):
		return "", release.BadInput("", fmt.Sprintf("no commit of the repository of %q has an id that begins with %q", dir, short),
			"give the full id, or fetch the commit first (a shallow clone may not have it)")
	case errors.As(err, &exit):
		return "", repo.fault(err, "resolving %q in", short)
	case err != nil:
		return "", err
	case !strings.HasPrefix(commit.String(), short): // git prefers a branch or tag of that name
		return "", release.BadInput("", fmt.Sprintf("%q is a branch, a tag or another object of the repository of %q, at commit %s", short, dir, commit), "give the full id")
	}
	return commit, nil
}

// isAmbiguous reports whether git refused a short id because several commits start with it (git's message, get_short_oid in
// object-name.c: "short object ID %s is ambiguous").
func isAmbiguous(err error) bool {
	var exit *exitError
	return errors.As(err, &exit) && strings.Contains(exit.stderr, "short object ID") && strings.Contains(exit.stderr, "is ambiguous")
}
