package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
)

// announcer keeps what it is told.
type announcer struct{ told *[]string }

func (a announcer) Begin(_ context.Context, c release.Commit, i release.Image) func(deploy.Result, error) {
	*a.told = append(*a.told, fmt.Sprintf("begins %s %s", c.Short(), i.Digest.Short()))
	return func(result deploy.Result, failed error) {
		*a.told = append(*a.told, fmt.Sprintf("ended %s %t", result.Outcome, failed == nil))
	}
}

func (a announcer) Failed(_ context.Context, c release.Commit, _ release.Digest, why string) {
	*a.told = append(*a.told, fmt.Sprintf("failed %s: %s", c.Short(), why))
}

// TestAnnounced: only a deploy that changes the release is announced, and its end once.
func TestAnnounced(t *testing.T) {
	t.Parallel()
	digest := image(t, "a").Digest.Short()
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		want  []string
	}{
		"a deploy":       {&fakes{history: live(another), relation: release.RelationAhead}, nil, []string{"begins " + commit.Short() + " " + digest, "ended changed true"}},
		"a failure":      {&fakes{history: live(another), relation: release.RelationAhead, applyErr: errors.New("gone")}, nil, []string{"begins " + commit.Short() + " " + digest, "ended changed false"}},
		"a superseded":   {&fakes{history: live(another), relation: release.RelationBehind}, nil, nil},
		"a dry run":      {&fakes{}, []string{"--dry-run"}, nil},
		"a refusal":      {&fakes{noAccess: errors.New("no")}, nil, nil},
		"nobody is told": {&fakes{}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			if name != "nobody is told" {
				test.fakes.announcer = announcer{&got}
			}
			_, _, _ = test.fakes.run(t, test.flags...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
