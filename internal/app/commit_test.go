package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// noCommits is the repository that has no commit.
func noCommits(_ context.Context, _ []string, _, short string) (release.Commit, error) {
	return "", release.BadInput("", "no commit begins with "+short, "give the full id")
}

func TestShortCommit(t *testing.T) {
	t.Parallel()
	full := releasetest.Commit.String()
	resolve := func(ctx context.Context, environ []string, dir, short string) (release.Commit, error) {
		if dir != "/work" || short == full || !strings.HasPrefix(full, short) {
			return noCommits(ctx, environ, dir, short)
		}
		return releasetest.Commit, nil
	}
	for name, test := range map[string]struct {
		given, want string // want is "" if the commit is accepted
	}{
		"full":              {full, ""},
		"short":             {full[:7], ""},
		"shortest":          {full[:4], ""},
		"too short":         {full[:3], `is not a commit id; give the full id (40 or 64 lower-case hex digits), or its first digits, at least 4`},
		"a branch":          {"main", `"main" is not a commit id`},
		"unknown":           {"0000000", "no commit begins with 0000000; give the full id"},
		"nothing but space": {" ", "is given empty"},
	} {
		for _, process := range []Process{
			{Dir: "/work", Args: []string{"--repository=localhost:5000/shop", "--commit=" + test.given}},
			{Dir: "/work", Environ: []string{"INPUT_REPOSITORY=localhost:5000/shop", "INPUT_COMMIT=" + test.given}},
		} {
			var settings promote.Settings
			err := readSettings(context.Background(), settings.Declare(), process, resolve, false)
			origin := "--commit: "
			if process.Args == nil {
				origin = "INPUT_COMMIT: "
			}
			var input *release.InputError
			switch {
			case strings.TrimSpace(test.given) == "" && process.Args == nil: // an input left out
			case test.want == "" && (err != nil || settings.Commit != releasetest.Commit):
				t.Errorf("%s: got %q, %v, want %q", name, settings.Commit, err, full)
			case test.want != "" && (!errors.As(err, &input) || len(input.Problems) != 1 || !strings.HasPrefix(err.Error(), origin) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%s: got %v, want one problem of %s with %q", name, err, origin, test.want)
			}
		}
	}
}

// TestShortCommitBesideOtherProblems: everything that is wrong is reported together, each setting once; a git that fails is a fault.
func TestShortCommitBesideOtherProblems(t *testing.T) {
	t.Parallel()
	process := Process{Args: []string{"--commit=0000", "--repository=Shop", "--unknown", "--output=json"}}
	set, _ := withCommon(new(promote.Settings).Declare())
	err := readSettings(context.Background(), set, process, noCommits, false)
	for _, want := range []string{"--unknown: there is no such flag", "--commit: no commit begins with 0000", `repository "Shop"`} {
		if err == nil || strings.Count(err.Error(), want) != 1 {
			t.Errorf("got %v, want %q once", err, want)
		}
	}
	broken := release.NewFault("git", "install git", errors.New("no git"), "looking for git")
	set, common := withCommon(new(promote.Settings).Declare())
	err = readSettings(context.Background(), set, process,
		func(context.Context, []string, string, string) (release.Commit, error) { return "", broken }, false)
	if !errors.Is(err, broken) || common.output != "json" {
		t.Errorf("got %v printed as %q, want %v as json", err, common.output, broken)
	}
}
