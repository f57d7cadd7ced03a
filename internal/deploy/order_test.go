package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
)

var pin = release.Pin{Commit: another, RunURL: "https://example.com/run/pin", At: time.Unix(1700000000, 0)}

func TestOlderCommitIsSuperseded(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), relation: release.RelationBehind}
	result, log, err := fakes.run(t)
	if err != nil || result.Outcome != release.Superseded || result.NewerRun != "https://example.com/run/newer" || result.Revision != 5 {
		t.Errorf("got %+v, %v", result, err)
	}
	if diff := cmp.Diff([]string{"acquire Lease", "release Lease"}, fakes.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	check(t, log, "superseded", "https://example.com/run/newer")
}

// TestACommitOfAnotherTool: a live revision without a commit is known by the labels of its image.
func TestACommitOfAnotherTool(t *testing.T) {
	t.Parallel()
	newer := image(t, "b")
	for name, test := range map[string]struct {
		reference string
		want      release.Outcome
		says      string
	}{
		"by digest":           {newer.String(), release.Superseded, "its image is labelled with commit " + another.Short()},
		"by tag and digest":   {newer.Repository.String() + ":v2@" + newer.Digest.String(), release.Superseded, "superseded"},
		"by tag":              {newer.Repository.String() + ":v2", release.Superseded, "superseded"},
		"of another image":    {"docker.io/library/redis:7", release.Changed, "is not checked"},
		"without a label":     {newer.Repository.At(image(t, "c").Digest).String(), release.Changed, "is not checked"},
		"of a tag that moved": {newer.Repository.String() + ":gone", release.Changed, "is not checked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes := &fakes{relation: release.RelationBehind, pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}},
				history: []release.Revision{{Number: 5, Status: "deployed", References: []string{"proxy:1", test.reference}}},
				labels:  map[release.Digest]string{newer.Digest: another.String(), image(t, "c").Digest: ""}, labelsOfTags: map[release.Tag]string{"v2": another.String()}}
			result, log, err := fakes.run(t)
			if err != nil || result.Outcome != test.want {
				t.Errorf("got outcome %q, %v", result.Outcome, err)
			}
			check(t, log, test.says)
		})
	}
}

// TestALaterCommitOfTheSameImage: commits that only change the chart share an image, and are ordered like all others.
func TestALaterCommitOfTheSameImage(t *testing.T) {
	t.Parallel()
	later := release.Tag(another)
	fakes := &fakes{tags: map[release.Tag]release.Digest{later: image(t, "a").Digest}}
	result, log, err := fakes.run(t, "--commit", another.String())
	if err != nil || result.Commit != another || fakes.got.Commit != another || fakes.got.Main().Commit != commit {
		t.Errorf("got %+v, %v of the image of %s:\n%s", result, err, fakes.got.Main().Commit, log)
	}
	fakes.history, fakes.relation, fakes.done = live(another), release.RelationBehind, nil
	if result, _, err := fakes.run(t); err != nil || result.Outcome != release.Superseded {
		t.Errorf("the earlier commit: got %+v, %v", result, err)
	}
	for name, tags := range map[string]map[release.Tag]release.Digest{"without the tag": nil, "with another image's tag": {later: image(t, "b").Digest}} {
		fakes.tags, fakes.done = tags, nil
		if _, _, err := fakes.run(t, "--commit", another.String()); release.ExitCode(err) != release.ExitFailed || len(fakes.done) > 0 {
			t.Errorf("%s: got %v after %q", name, err, fakes.done)
		}
	}
}

// TestATagOfAnEarlierCommit: build reuses images of earlier commits only, so that an image with the tag of an earlier commit, or of one beside its own, is not that commit's.
func TestATagOfAnEarlierCommit(t *testing.T) {
	t.Parallel()
	for relation, refused := range map[release.Relation]bool{release.RelationAhead: false, "": false, release.RelationBehind: true, release.RelationDiverged: true} {
		fakes := &fakes{tags: map[release.Tag]release.Digest{release.Tag(another): image(t, "a").Digest}, knownRelation: relation}
		_, _, err := fakes.run(t, "--commit", another.String())
		if refused != (release.ExitCode(err) == release.ExitFailed && strings.Contains(fmt.Sprint(err), "somebody else set the tag")) || !refused && err != nil || refused && len(fakes.done) > 0 {
			t.Errorf("%q: got %v after %q", relation, err, fakes.done)
		}
		fakes.checkedOut, fakes.revision, fakes.done = release.CheckedOut{Commit: another}, commit.String(), nil
		want := another
		if refused {
			want = commit
		}
		if result, _, err := fakes.run(t, "--values", "values.yaml"); err != nil || result.Commit != want {
			t.Errorf("the checkout of it, %q: got %+v, %v, want commit %s", relation, result, err, want)
		}
	}
}

// TestTheCheckoutOfALaterCommitOfTheSameImage: without a commit, or with the image's own as build returns it, the release's commit is the one that chart and
// values are of, if the image has its tag. Two commits that only change the chart are in order then.
func TestTheCheckoutOfALaterCommitOfTheSameImage(t *testing.T) {
	t.Parallel()
	digest := image(t, "a").Digest
	for name, test := range map[string]struct {
		flags []string
		tags  map[release.Tag]release.Digest
		want  release.Commit
	}{
		"no commit":                {nil, map[release.Tag]release.Digest{release.Tag(another): digest}, another},
		"build's commit":           {[]string{"--commit", commit.String()}, map[release.Tag]release.Digest{release.Tag(another): digest}, another},
		"a rollback to it":         {[]string{"--commit", commit.String(), "--allow-rollback"}, map[release.Tag]release.Digest{release.Tag(another): digest}, commit},
		"another image's checkout": {nil, map[release.Tag]release.Digest{release.Tag(another): image(t, "b").Digest}, commit},
		"a checkout without image": {nil, nil, commit},
		"a changed work tree":      {[]string{"--values", "changed.yaml"}, map[release.Tag]release.Digest{release.Tag(another): digest}, commit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes := &fakes{tags: test.tags, checkedOut: release.CheckedOut{Commit: another}, history: live(commit), revision: commit.String()}
			if slices.Contains(test.flags, "changed.yaml") {
				fakes.checkedOut.Uncommitted = []string{"changed.yaml"}
			}
			flags := append([]string{"--values", "values.yaml"}, test.flags...)
			if result, log, err := fakes.run(t, flags...); err != nil || result.Commit != test.want || fakes.got.Main().Commit != commit {
				t.Errorf("got %+v, %v, want commit %s:\n%s", result, err, test.want, log)
			}
			if test.want == commit {
				return
			}
			// The live revision is of a third commit with the same image, whose chart is newer.
			fakes.history, fakes.relation, fakes.done = live(release.Commit(strings.Repeat("3", 40))), release.RelationBehind, nil
			if result, _, err := fakes.run(t, flags...); err != nil || result.Outcome != release.Superseded {
				t.Errorf("an earlier chart: got %+v, %v", result, err)
			}
		})
	}
}

// TestARegistryThatDoesNotTellTheOrder: whether the image has the tag of the chart's commit only decides the order, so it is asked again, and the order is unknown if it
// does not answer: that is refused, unless the settings allow it, and a first install needs no order.
func TestARegistryThatDoesNotTellTheOrder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fails   int
		history []release.Revision
		flags   []string
		want    string // "" for deployed
	}{
		"it recovers":         {2, live(commit), nil, ""},
		"it stays away":       {9, live(commit), nil, "OD-213"},
		"another commit runs": {9, live(release.Commit(strings.Repeat("3", 40))), nil, "OD-213"},
		"diverged is allowed": {9, live(commit), []string{"--allow-diverged"}, ""},
		"nothing is live":     {9, nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes := &fakes{findFails: test.fails, tags: map[release.Tag]release.Digest{release.Tag(another): image(t, "a").Digest}, checkedOut: release.CheckedOut{Commit: another}, history: test.history, revision: commit.String()}
			_, log, err := fakes.run(t, append([]string{"--values", "values.yaml"}, test.flags...)...)
			var refusal *release.Refusal
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v:\n%s", err, log)
			case test.want != "" && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "HTTP 503")):
				t.Errorf("got %v, want a refusal with %s", err, test.want)
			}
		})
	}
}

func TestAllowRollbackPinsUntilUnpin(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), relation: release.RelationBehind}
	if _, log, err := fakes.run(t, "--allow-rollback"); err != nil || fakes.pin == nil || fakes.pin.Commit != commit {
		t.Fatalf("got pin %+v and %v:\n%s", fakes.pin, err, log)
	}
	fakes.revision, fakes.relation, fakes.done = another.String(), release.RelationAhead, nil
	_, _, err := fakes.run(t)
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "OD-204") {
		t.Errorf("got %v, want a refusal", err)
	}
	if diff := cmp.Diff([]string{"acquire Lease", "release Lease"}, fakes.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, _, err := fakes.run(t, "--unpin"); err != nil || fakes.pin != nil {
		t.Errorf("got pin %+v and %v", fakes.pin, err)
	}
}

// TestPinAfterADeploy: a pin moves with every deploy that --allow-rollback allows, and only a deploy that did its work removes it. A
// dry run says the same.
func TestPinAfterADeploy(t *testing.T) {
	t.Parallel()
	proved := []release.Revision{{Number: 5, Status: "deployed", Commit: another, Digest: image(t, "b").Digest, Mark: release.MarkProved}}
	for name, test := range map[string]struct {
		fakes *fakes
		flag  string
		want  release.Commit // that the release is pinned at, "" if it is not
		marks []string
		dry   string // in the log of the dry run
		never string // in the log of either
	}{
		"moved to a newer commit":  {&fakes{history: proved, relation: release.RelationAhead}, "--allow-rollback", commit, []string{"7 ready"}, "would pin the release at commit " + commit.Short(), ""},
		"moved to the live commit": {&fakes{history: live(commit)}, "--allow-rollback", commit, []string{"7 ready"}, "would pin the release at commit " + commit.Short(), ""},
		"moved to an older commit": {&fakes{history: proved, relation: release.RelationBehind}, "--allow-rollback", commit, []string{"7 ready", "5 left"}, "would pin", ""},
		"not moved by what failed": {&fakes{history: proved, watchErr: broken("x"), target: release.RollbackTarget{Revision: 5, Mark: release.MarkProved}}, "--allow-rollback", another, []string{"8 proved"}, "would pin", "pinned at commit"},
		"removed":                  {&fakes{history: proved}, "--unpin", "", []string{"7 ready"}, "would remove the pin at commit " + another.Short(), ""},
		"not removed by what is superseded": {&fakes{history: proved, relation: release.RelationBehind}, "--unpin", another, nil, "would change nothing",
			"pin at commit"},
		"not removed by what is rolled back": {&fakes{history: proved, watchErr: broken("x"), target: release.RollbackTarget{Revision: 5, Mark: release.MarkProved}}, "--unpin", another,
			[]string{"8 proved"}, "would remove the pin", "unpinned"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.fakes.pin = &pin
			_, dry, err := test.fakes.run(t, test.flag, "--dry-run")
			if err != nil {
				t.Error(err)
			}
			check(t, dry, test.dry)
			test.fakes.lines = nil
			_, log, _ := test.fakes.run(t, test.flag)
			var got release.Commit
			if test.fakes.pin != nil {
				got = test.fakes.pin.Commit
			}
			if got != test.want {
				t.Errorf("pinned at %q, want %q:\n%s", got, test.want, log)
			}
			if diff := cmp.Diff(test.marks, test.fakes.marks()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if test.never != "" && strings.Contains(dry+log, test.never) {
				t.Errorf("says %q:\n%s\n%s", test.never, dry, log)
			}
		})
	}
}

// TestOrder: what is unknown is refused like what would lose commits, by a deploy and by its dry run.
func TestOrder(t *testing.T) {
	t.Parallel()
	lost := []release.CommitSummary{{Commit: another, Subject: "Round prices up"}}
	for name, test := range map[string]struct {
		fakes  *fakes
		flags  []string
		exit   int
		wants  []string // in the error or the log
		pinned bool     // by a deploy
	}{
		"ahead":                   {&fakes{history: live(another), relation: release.RelationAhead}, nil, 0, nil, false},
		"the same":                {&fakes{history: live(commit), compareErr: errors.New("not asked")}, nil, 0, nil, false},
		"a first install":         {&fakes{compareErr: errors.New("not asked")}, nil, 0, nil, false},
		"a live commit unnamed":   {&fakes{history: live(""), compareErr: errors.New("not asked")}, nil, 0, []string{"live revision 5 names no commit"}, false},
		"no commits at all":       {&fakes{history: live(""), unlabelled: true, compareErr: errors.New("not asked")}, nil, 0, nil, false},
		"unknown":                 {&fakes{history: live(another), compareErr: errors.New("no remote")}, nil, 1, []string{"OD-213", another.Short(), "no remote", "fetch-depth: 0"}, false},
		"unknown, unpin":          {&fakes{history: live(another), pin: &pin, compareErr: errors.New("no remote")}, []string{"--unpin"}, 1, []string{"OD-213"}, true},
		"unknown, allowed":        {&fakes{history: live(another), compareErr: errors.New("no remote")}, []string{"--allow-diverged"}, 0, []string{"warning: cannot determine whether", "no remote"}, false},
		"unknown, going back":     {&fakes{history: live(another), compareErr: errors.New("no remote")}, []string{"--allow-rollback"}, 0, []string{"cannot determine whether"}, true},
		"a relation that is none": {&fakes{history: live(another), relation: "sideways"}, nil, 1, []string{"OD-213", `"sideways"`}, false},
		"a new commit unnamed":    {&fakes{history: live(another), unlabelled: true}, nil, 1, []string{"OD-213", "names no commit", "give --commit"}, false},
		"diverged": {&fakes{history: live(another), relation: release.RelationDiverged, lost: lost}, nil, 1,
			[]string{"OD-214", "1 commit would be lost (" + another.Short() + " Round prices up)", "https://example.com/run/newer", "--allow-diverged"}, false},
		"diverged, going back": {&fakes{history: live(another), relation: release.RelationDiverged}, []string{"--allow-rollback"}, 1, []string{"OD-214"}, false},
		"diverged, allowed": {&fakes{history: live(another), relation: release.RelationDiverged, lost: lost}, []string{"--allow-diverged"}, 0,
			[]string{"warning: replacing commit", "Round prices up"}, false},
		"diverged, allowed and going back": {&fakes{history: live(another), relation: release.RelationDiverged}, []string{"--allow-diverged", "--allow-rollback"}, 0, nil, true},
		"behind, diverged allowed":         {&fakes{history: live(another), relation: release.RelationBehind}, []string{"--allow-diverged"}, 0, []string{"a descendant of"}, false},
		"behind, going back":               {&fakes{history: live(another), relation: release.RelationBehind}, []string{"--allow-rollback"}, 0, []string{"deploying an older commit"}, true},
		"pinned":                           {&fakes{history: live(another), pin: &pin}, nil, 1, []string{"OD-204", "https://example.com/run/pin"}, true},
		"pinned, unpin":                    {&fakes{history: live(another), pin: &pin}, []string{"--unpin"}, 0, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, log, err := test.fakes.run(t, append([]string{"--dry-run"}, test.flags...)...)
			if release.ExitCode(err) != test.exit {
				t.Errorf("dry run: exit %d, want %d: %v", release.ExitCode(err), test.exit, err)
			}
			check(t, fmt.Sprint(log, err), test.wants...)
			if len(test.fakes.done) > 0 {
				t.Errorf("the dry run did %v", test.fakes.done)
			}
			test.fakes.lines = nil
			_, log, err = test.fakes.run(t, test.flags...)
			if release.ExitCode(err) != test.exit || slices.Contains(test.fakes.done, "deploy") && test.exit != 0 {
				t.Errorf("exit %d, want %d: %v; did %v", release.ExitCode(err), test.exit, err, test.fakes.done)
			}
			check(t, fmt.Sprint(log, err), test.wants...)
			if (test.fakes.pin != nil) != test.pinned {
				t.Errorf("pinned %t, want %t", test.fakes.pin != nil, test.pinned)
			}
		})
	}
}

func TestDryRunReportsEverythingThatWouldRefuse(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), relation: release.RelationDiverged, pin: &pin, planned: release.Plan{Problems: []string{"the quota is used up"}}}
	_, _, err := fakes.run(t, "--dry-run")
	check(t, fmt.Sprint(err), "OD-204", "OD-214", "the quota is used up")
	fakes.pinErr = &release.Fault{Side: "cluster", Err: errors.New("reading the pin: forbidden")}
	if _, _, err := fakes.run(t, "--dry-run"); release.ExitCode(err) != release.ExitFault {
		t.Errorf("a pin that cannot be read: %v", err)
	}
}

// TestChartOfAnotherCommitIsTold: of an image that was promoted, by the deploy and by its dry run, before anything changes.
func TestChartOfAnotherCommitIsTold(t *testing.T) {
	t.Parallel()
	advice := "check out " + commit.Short() + " to deploy what was built and tested together"
	for name, test := range map[string]struct {
		found release.CheckedOut
		err   error
		want  string // "": nothing is told
	}{
		"the image's commit": {release.CheckedOut{}, nil, ""},
		"the same content":   {release.CheckedOut{Commit: another}, nil, ""},
		"another content": {release.CheckedOut{Commit: another, Differing: []string{"/tree/charts/service", "/tree/values.yaml"}}, nil,
			"warning: chart and values come from commit " + another.Short() + ", the image from commit " + commit.Short() + "; they differ in service, values.yaml; " + advice},
		"an unknown commit": {release.CheckedOut{Commit: another, Unknown: true}, nil, "warning: chart and values come from commit " + another.Short() + ", the image from commit " +
			commit.Short() + "; they cannot be compared, because the work tree's history lacks that commit; " + advice},
		"no work tree": {release.CheckedOut{}, errors.New("/tree is in no git work tree"), "cannot check whether chart and values come from commit " + commit.Short() + ": /tree is in no git work tree"},
	} {
		for _, flags := range [][]string{{"--values", "values.yaml"}, {"--values", "values.yaml", "--dry-run"}} {
			fakes := &fakes{checkedOut: test.found, checkedOutErr: test.err}
			_, log, err := fakes.run(t, flags...)
			if err != nil {
				t.Fatal(err)
			}
			if told := strings.Contains(log, "hart and values come from commit"); told != (test.want != "") || !strings.Contains(log, test.want) {
				t.Errorf("%s %v: got\n%s\nwant %q", name, flags, log, test.want)
			}
			if diff := cmp.Diff([]string{"/tree/charts/service", "/tree/values.yaml"}, fakes.comparedPaths); diff != "" {
				t.Errorf("compared -want +got:\n%s", diff)
			}
		}
	}
}

// TestAProposalChangesNothing: it is made under the Lease, after all that may refuse a deploy; what is merged is deployed.
func TestAProposalChangesNothing(t *testing.T) {
	t.Parallel()
	for _, proposed := range []bool{true, false} {
		s := &fakes{revision: commit.String(), proposed: proposed, pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}},
			history: []release.Revision{{Number: 6, Status: "deployed", Commit: another, Digest: image(t, "b").Digest}}}
		deps := s.deps(recorder{s})
		deps.Proposals = proposals{s}
		result, err := deploy.Run(t.Context(), settings(t), deps)
		if err != nil {
			t.Fatal(err)
		}
		if proposed && (result.Outcome != release.Proposed || result.Proposal.URL != "https://example.com/1" || !slices.Equal(s.done, []string{"acquire Lease", "release Lease"})) {
			t.Errorf("got %+v after %q", result, s.done)
		}
		if !proposed && (result.Outcome != release.Changed || result.Proposal != nil) {
			t.Errorf("after the merge: got %+v", result)
		}
		text := strings.Join(s.proposal, "\n")
		for _, want := range []string{"image: " + image(t, "a").String(), "replaces: " + image(t, "b").Digest.String() + ", commit " + another.Short(), "run: https://example.com/run/1"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
	refused := &fakes{revision: commit.String(), proposed: true, relation: release.RelationDiverged, history: []release.Revision{{Number: 6, Status: "deployed", Commit: another}}}
	deps := refused.deps(recorder{refused})
	deps.Proposals = proposals{refused}
	if _, err := deploy.Run(t.Context(), settings(t), deps); release.ExitCode(err) != release.ExitFailed || refused.proposal != nil {
		t.Errorf("got %v, proposed %q", err, refused.proposal)
	}
}
