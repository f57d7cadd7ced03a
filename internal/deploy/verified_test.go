package deploy_test

import (
	"errors"
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

// TestRollbackFailedSmoke: the step after smoke goes back only if that smoke failed what is live.
func TestRollbackFailedSmoke(t *testing.T) {
	t.Parallel()
	history := func(mark release.Mark) []release.Revision {
		return []release.Revision{{Number: 6, Status: "deployed", Commit: commit, Mark: mark}, {Number: 5, Status: "superseded", Mark: release.MarkProved}}
	}
	target := release.RollbackTarget{Revision: 5, Mark: release.MarkProved}
	for name, test := range map[string]struct {
		fakes   *fakes
		flags   []string
		want    []string
		exit    int
		outcome release.Outcome
		says    string
	}{
		"it failed": {&fakes{history: history(release.MarkFailed), target: target}, nil,
			[]string{"acquire Lease", "rollback to 5", "watch Deployment/shop", "mark 8 proved", "release Lease"}, 0, release.RolledBack, "its answers were not checked again: run smoke"},
		"it passed": {&fakes{history: history(release.MarkProved), target: target}, nil,
			[]string{"acquire Lease", "release Lease"}, 0, release.Unchanged, "no smoke has failed the live revision 6"},
		"it was inconclusive": {&fakes{history: history(release.MarkReady), target: target}, nil,
			[]string{"acquire Lease", "release Lease"}, 0, release.Unchanged, "no smoke has failed the live revision 6"},
		"nothing is installed": {&fakes{}, nil, []string{"acquire Lease", "release Lease"}, 0, release.Unchanged, "no revision is live"},
		"the namespace is absent": {&fakes{noAccess: release.BadInput("namespace", "does not exist", "")}, nil,
			nil, 0, release.Unchanged, "nothing to roll back: "},
		"nothing to go back to": {&fakes{history: history(release.MarkFailed), target: release.RollbackTarget{Obstacles: []release.Obstacle{{What: "no revision has been verified"}}}}, nil,
			[]string{"acquire Lease", "release Lease"}, 1, "", "warning: OD-205 no revision has been verified"},
		"a first install": {&fakes{history: history(release.MarkFailed)[:1]}, nil, []string{"acquire Lease", "release Lease"}, 1, "", "kept for inspection"},
		"a first install to be cleared": {&fakes{history: history(release.MarkFailed)[:1]}, []string{"--failed-install", "uninstall"},
			[]string{"acquire Lease", "uninstall", "release Lease"}, 1, "", "was uninstalled"},
		"going back fails too": {&fakes{history: history(release.MarkFailed), target: target, rollbackWatchErr: broken("ImagePullBackOff")}, nil,
			[]string{"acquire Lease", "rollback to 5", "watch Deployment/shop", "release Lease"}, 1, "", "ImagePullBackOff"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told []string
			test.fakes.announcer = announcer{&told}
			result, log, err := test.fakes.run(t, append([]string{"--rollback-failed-smoke", "--release", "shop"}, test.flags...)...)
			if release.ExitCode(err) != test.exit || result.Outcome != test.outcome {
				t.Errorf("got outcome %q, %v", result.Outcome, err)
			}
			if diff := cmp.Diff(test.want, test.fakes.done); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			check(t, log, test.says)
			if isFailed := test.fakes.history != nil && test.fakes.history[0].Mark == release.MarkFailed; isFailed != (len(told) > 0 && strings.HasPrefix(told[0], "failed "+commit.Short()+": OD-208 ")) {
				t.Errorf("told %q", told)
			}
			if test.outcome == release.RolledBack && !strings.HasSuffix(result.State, test.says) {
				t.Errorf("state %q does not end with %q", result.State, test.says)
			}
		})
	}
}

// TestARevisionThatCannotBeMarkedIsReported: an interrupt may come after everything else is done.
func TestARevisionThatCannotBeMarkedIsReported(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), markErr: errors.New("context canceled")}
	result, log, err := fakes.run(t)
	if err == nil || !strings.Contains(result.State, "revision 7 is live and ready, but could not be marked") {
		t.Errorf("got %q, %v\n%s", result.State, err, log)
	}
}

func TestAPinThatCannotBeChangedIsReported(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), relation: release.RelationBehind, pinErr: errors.New("connection refused")}
	result, log, err := fakes.run(t, "--allow-rollback")
	if err == nil || !strings.Contains(result.State, "revision 7 is live and ready, but its release's pin could not be changed") {
		t.Errorf("got %q, %v\n%s", result.State, err, log)
	}
}

// TestGoingBackMarksWhatIsLeft: commits that only change the chart have one image.
func TestGoingBackMarksWhatIsLeft(t *testing.T) {
	t.Parallel()
	older, third := release.Commit(strings.Repeat("3", 40)), release.Commit(strings.Repeat("4", 40))
	same, other := image(t, "a").Digest, image(t, "b").Digest
	is := func(number int, commit release.Commit, digest release.Digest) release.Revision {
		return release.Revision{Number: number, Status: "superseded", Commit: commit, Digest: digest, Mark: release.MarkProved}
	}
	failed, disproved := is(4, commit, same), is(4, commit, same)
	failed.Status, failed.Mark = "failed", ""
	disproved.Mark = release.MarkFailed
	for name, test := range map[string]struct {
		history []release.Revision
		want    []string
	}{
		"one image":                       {[]release.Revision{is(5, another, same), is(4, third, same), is(3, commit, same), is(2, older, other)}, []string{"5 left", "4 left"}},
		"several images":                  {[]release.Revision{is(5, another, other), is(4, commit, same), is(3, older, same)}, []string{"5 left"}},
		"a commit that never ran":         {[]release.Revision{is(5, another, same), is(4, another, same), is(3, older, same)}, []string{"5 left", "4 left"}},
		"one that ran in an unknown way":  {[]release.Revision{is(5, another, other), is(4, "", same), is(3, older, other)}, []string{"5 left"}},
		"one that failed before":          {[]release.Revision{is(5, another, other), failed, is(3, another, other), is(2, commit, same)}, []string{"5 left", "3 left"}},
		"one whose smoke failed before":   {[]release.Revision{is(5, another, other), disproved, is(3, another, other), is(2, commit, same)}, []string{"5 left", "3 left"}},
		"one whose image was never there": {[]release.Revision{is(5, another, other), is(4, third, other)}, []string{"5 left", "4 left"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.history[0].Status = "deployed"
			fakes := &fakes{history: test.history, relation: release.RelationBehind}
			if _, log, err := fakes.run(t, "--allow-rollback"); err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if diff := cmp.Diff(append([]string{"7 ready"}, test.want...), fakes.marks()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
