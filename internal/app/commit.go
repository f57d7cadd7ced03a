package app

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// ResolveCommit returns the full id of the commit whose id starts with short, in the repository of a directory. If none or
// several match, the error is a *release.InputError, else a *release.Fault.
type ResolveCommit func(ctx context.Context, environ []string, dir, short string) (release.Commit, error)

// shortCommit matches what git accepts as a short id: at least 4 digits (git-config(1), core.abbrev).
var shortCommit = regexp.MustCompile(`^[0-9a-f]{4,63}$`)

// resolveCommits replaces short ids in values by full ids. It leaves full ids alone, so that they need neither git nor a clone.
// It returns a problem for each id that it cannot complete, and an error if git fails.
func resolveCommits(ctx context.Context, set *setting.Set, values setting.Values, process Process, resolve ResolveCommit) (problems []release.Problem, fault error) {
	for _, declared := range set.All() {
		input := values[declared.Name]
		if !declared.Commit || resolve == nil || len(input.Texts) != 1 || strings.TrimSpace(input.Texts[0]) == "" {
			continue
		}
		id := input.Texts[0]
		if _, err := release.ParseCommit(id); err == nil {
			continue
		}
		err := release.BadInput("", fmt.Sprintf("%q is not a commit id", id), "give the full id (40 or 64 lower-case hex digits), or its first digits, at least 4")
		if shortCommit.MatchString(id) {
			var commit release.Commit
			commit, err = resolve(ctx, process.Environ, process.Dir, id)
			id = commit.String()
		}
		var invalid *release.InputError
		switch {
		case err == nil:
			values[declared.Name] = setting.Input{Texts: []string{id}, Origin: input.Origin}
		case errors.As(err, &invalid):
			for _, problem := range invalid.Problems {
				problem.Setting, problem.Where = declared.Name, input.Origin
				problems = append(problems, problem)
			}
		default:
			return nil, err
		}
	}
	return problems, nil
}

func namesSetting(problems []release.Problem, name string) bool {
	return name != "" && slices.ContainsFunc(problems, func(p release.Problem) bool { return p.Setting == name })
}
