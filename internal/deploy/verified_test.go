package deploy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

// marks are the revisions that were marked, in order.
func (s *fakes) marks() (marks []string) {
	for _, done := range s.done {
		if mark, found := strings.CutPrefix(done, "mark "); found {
			marks = append(marks, mark)
		}
	}
	return marks
}

// TestOnlyASmokeProves: a deploy without smoke checks has seen no more than that the release became ready.
func TestOnlyASmokeProves(t *testing.T) {
	t.Parallel()
	for want, flags := range map[string][]string{"7 ready": nil, "7 proved": {"--smoke-checks", "default"}} {
		fakes := &fakes{history: live(another)}
		if _, log, err := fakes.run(t, flags...); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if diff := cmp.Diff([]string{want}, fakes.marks()); diff != "" {
			t.Errorf("with %q (-want +got):\n%s", flags, diff)
		}
	}
}

// TestADeliberateRollbackMarksWhatItLeaves: the next failure does not return to what somebody went back from.
func TestADeliberateRollbackMarksWhatItLeaves(t *testing.T) {
	t.Parallel()
	fakes := &fakes{relation: release.RelationBehind, history: []release.Revision{
		{Number: 6, Status: "deployed", Commit: another, Digest: image(t, "c").Digest, Mark: release.MarkProved},
		{Number: 5, Status: "failed", Commit: another, Digest: image(t, "c").Digest},
		{Number: 4, Status: "superseded", Commit: another, Digest: image(t, "b").Digest, Mark: release.MarkReady},
		{Number: 3, Status: "superseded", Commit: commit, Digest: image(t, "a").Digest, Mark: release.MarkReady},
		{Number: 2, Status: "superseded", Commit: another, Digest: image(t, "d").Digest, Mark: release.MarkProved},
	}}
	if _, log, err := fakes.run(t, "--allow-rollback"); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if diff := cmp.Diff([]string{"7 ready", "6 left", "4 left"}, fakes.marks()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	fakes.relation, fakes.done, fakes.pin = release.RelationAhead, nil, nil
	if _, log, err := fakes.run(t); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if diff := cmp.Diff([]string{"7 ready"}, fakes.marks()); diff != "" {
		t.Errorf("a deploy that goes forward (-want +got):\n%s", diff)
	}
}
