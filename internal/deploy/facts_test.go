package deploy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// recording runs a deploy whose facts are recorded.
func (s *fakes) recording(t *testing.T, facts *releasetest.Facts, flags ...string) (deploy.Result, error) {
	t.Helper()
	s.pods, s.revision = []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}, commit.String()
	deps := s.deps(recorder{s})
	deps.Facts, deps.Target, deps.Origin = facts, release.Target{Cluster: "shop", Server: "1234.eks.example"}, fact.Origin{By: "octocat", Run: "https://run/1"}
	return deploy.Run(t.Context(), settings(t, flags...), deps)
}

// TestADeploymentIsRecorded: with where, and by which chart and values; of values that are set one by one only the paths.
func TestADeploymentIsRecorded(t *testing.T) {
	t.Parallel()
	facts, fakes := new(releasetest.Facts), &fakes{chartDigest: releasetest.Digest(t, "c")}
	flags := []string{"--values", "values.yaml", "--set", "secret.PASSWORD=canary", "--set-json", "replicas=3", "--smoke-checks", "default"}
	result, err := fakes.recording(t, facts, flags...)
	if err != nil || len(facts.Recorded) != 1 || result.Images[0].Record.IsZero() {
		t.Fatalf("got %+v, %v\n%s", result, err, strings.Join(fakes.lines, "\n"))
	}
	values, err := facts.ValuesDigest([]string{"/tree/values.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	want := fact.Fact{Kind: fact.Deployed, Image: image(t, "a"), Commit: commit, Environment: "staging", By: "octocat", Run: "https://run/1",
		Deployment: &fact.Deployment{Cluster: "shop", Server: "1234.eks.example", Namespace: "staging", Release: "shop", Revision: 7, Chart: "charts/service", ChartDigest: fakes.chartDigest, ValuesDigest: values,
			Set: []string{"replicas", "secret.PASSWORD"}, Source: commit, Pods: 1}}
	if diff := cmp.Diff(want, facts.Recorded[0], cmpopts.IgnoreFields(fact.Fact{}, "At"), cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" || time.Since(facts.Recorded[0].At) > time.Minute {
		t.Errorf("at %s (-want +got):\n%s", facts.Recorded[0].At, diff)
	}
	if done := strings.Join(fakes.done, "\n"); strings.Index(done, "mark 7") > strings.Index(done, "release Lease") {
		t.Errorf("did %s", done)
	}
}

// TestADeploymentOfChangedFilesIsOfNoCommit: chart and values that no commit has say nothing about one.
func TestADeploymentOfChangedFilesIsOfNoCommit(t *testing.T) {
	t.Parallel()
	facts, fakes := new(releasetest.Facts), &fakes{chartDigest: releasetest.Digest(t, "c"), checkedOut: release.CheckedOut{Commit: commit, Uncommitted: []string{"/tree/values.yaml"}}}
	if _, err := fakes.recording(t, facts, "--smoke-checks", "default"); err != nil || len(facts.Recorded) != 1 || facts.Recorded[0].Deployment.Source != "" {
		t.Errorf("got %+v, %v", facts.Recorded, err)
	}
}

// TestTheValuesAreThoseThatWereChecked: the check of a deploy by GitOps writes the digests into them.
func TestTheValuesAreThoseThatWereChecked(t *testing.T) {
	t.Parallel()
	fakes, asked := new(fakes), 0
	facts := &releasetest.Facts{OnValues: func() {
		if asked++; !fakes.checked {
			t.Error("the digest is that of values before the check")
		}
	}}
	if _, err := fakes.recording(t, facts); err != nil || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// TestAnImageThatMayNotBeSignedIsNotDeployed: it is found before the Lease is taken.
func TestAnImageThatMayNotBeSignedIsNotDeployed(t *testing.T) {
	t.Parallel()
	facts, fakes := &releasetest.Facts{Unsigned: &release.Refusal{Why: "it has a signature of cosign 2"}}, new(fakes)
	_, err := fakes.recording(t, facts)
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "cosign 2") || len(facts.Recorded) > 0 {
		t.Errorf("got %v, recorded %v", err, facts.Recorded)
	}
	if done := strings.Join(fakes.done, "\n"); strings.Contains(done, "Lease") || strings.Contains(done, "deploy") {
		t.Errorf("did %s", done)
	}
}

// TestOnlyWhatIsVerifiedIsRecorded: no dry run, no failed deploy, and no image that no pod runs.
func TestOnlyWhatIsVerifiedIsRecorded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		fails bool
	}{
		"a dry run":      {&fakes{}, []string{"--dry-run"}, false},
		"a failed smoke": {&fakes{smokeErr: &release.BadRelease{Err: &release.Failure{What: "wrong"}}}, []string{"--smoke-checks", "default"}, true},
		"a failed watch": {&fakes{watchErr: &release.BadRelease{Err: &release.Failure{What: "crash"}}}, nil, true},
		"only hooks":     {&fakes{onlyHooks: "main"}, nil, false},
	} {
		facts := new(releasetest.Facts)
		if _, err := test.fakes.recording(t, facts, test.flags...); (err != nil) != test.fails || len(facts.Recorded) > 0 {
			t.Errorf("%s: got %v, recorded %v", name, err, facts.Recorded)
		}
	}
}

// TestARollbackIsRecorded: beside the image that the pods run again, with the revision that it is from; a record that is lost is a warning.
func TestARollbackIsRecorded(t *testing.T) {
	t.Parallel()
	older := image(t, "d")
	newFakes := func() *fakes {
		return &fakes{watchErr: broken("CrashLoopBackOff"), history: live(another), podsOf: map[string][]release.PodImage{older.Repository.Path(): {{Pod: "shop-1", Digest: older.Digest}}},
			target: release.RollbackTarget{Revision: 5, Mark: release.MarkProved, Commit: another, Digest: older.Digest, Images: []release.Image{older}}}
	}
	facts, failing := new(releasetest.Facts), newFakes()
	if _, err := failing.recording(t, facts); release.ExitCode(err) != release.ExitFailed || len(facts.Recorded) != 1 {
		t.Fatalf("got %v, recorded %+v\n%s", err, facts.Recorded, strings.Join(failing.lines, "\n"))
	}
	want := fact.Fact{Kind: fact.Deployed, Image: older, Commit: commit, Environment: "staging", By: "octocat", Run: "https://run/1",
		Deployment: &fact.Deployment{Cluster: "shop", Server: "1234.eks.example", Namespace: "staging", Release: "shop", Revision: 8, Pods: 1, RolledBackTo: 5}}
	if diff := cmp.Diff(want, facts.Recorded[0], cmpopts.IgnoreFields(fact.Fact{}, "At"), cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	lost := &releasetest.Facts{Err: errors.New("lost")}
	failing = newFakes()
	result, err := failing.recording(t, lost)
	if result.Outcome != release.RolledBack || errors.Is(err, lost.Err) || !strings.Contains(strings.Join(failing.lines, "\n"), "could not be recorded: lost") {
		t.Errorf("got %+v, %v\n%s", result, err, strings.Join(failing.lines, "\n"))
	}
}

// TestADeployWhoseRecordIsLost says what is live, and fails: a run that is repeated records it.
func TestADeployWhoseRecordIsLost(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	facts := &releasetest.Facts{Err: lost}
	result, err := new(fakes).recording(t, facts)
	if !errors.Is(err, lost) || !strings.Contains(result.State, "live and ready") || result.Outcome != release.Changed {
		t.Errorf("got %+v, %v", result, err)
	}
}
