package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
)

// announcer keeps what it is told.
type announcer struct{ told *[]string }

func (a announcer) Begin(_ context.Context, c release.Commit, images []release.BuiltImage) func(deploy.Result, error) {
	line := "begins " + c.Short()
	for _, each := range images {
		line += " " + each.Name + prefixed(each.Name) + each.Image.Digest.Short()
	}
	*a.told = append(*a.told, line)
	return func(result deploy.Result, failed error) {
		*a.told = append(*a.told, fmt.Sprintf("ended %s %t", result.Outcome, failed == nil))
	}
}

// prefixed separates a name from what follows.
func prefixed(name string) string {
	if name == "" {
		return ""
	}
	return "="
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

// TestTheImagesOfARollbackAreAnnounced: further images of the restored revision have the names that the settings give their repositories; one that the settings do not
// name is left out, because its record has another name.
func TestTheImagesOfARollbackAreAnnounced(t *testing.T) {
	t.Parallel()
	worker, other := image(t, "b"), image(t, "c")
	worker.Repository, other.Repository = "localhost:5000/worker", "localhost:5000/other"
	before := worker
	before.Digest = image(t, "d").Digest
	fakes := &fakes{history: []release.Revision{{Number: 6, Status: "deployed", Commit: commit, Mark: release.MarkFailed}, {Number: 5, Status: "superseded", Mark: release.MarkProved}},
		target: release.RollbackTarget{Revision: 5, Mark: release.MarkProved, Commit: another, Images: []release.Image{image(t, "a"), before, other}}}
	var told []string
	fakes.announcer = announcer{&told}
	if _, log, err := fakes.run(t, "--rollback-failed-smoke", "--release", "shop", "--image", image(t, "e").String(), "--image", "worker="+worker.String()); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	want := "begins " + another.Short() + " " + image(t, "a").Digest.Short() + " worker=" + before.Digest.Short()
	if !slices.Contains(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
