package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
)

// TestWaitingBeforeAChangeTakesHalfOfTheTimeout: for another Helm, and for the history of a remote.
func TestWaitingBeforeAChangeTakesHalfOfTheTimeout(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fakes *fakes
		want  string
	}{
		"another Helm": {&fakes{block: func(ctx context.Context) error {
			<-ctx.Done()
			return &release.Failure{What: "OD-203 it did not end in time"}
		}}, "OD-203"},
		"a remote": {&fakes{history: live(another), blockCompare: true}, "half of the timeout (1 minute) was over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, _, err := test.fakes.run(t, "--timeout", "60s")
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("took %s of 60s, want half", took)
				}
				if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), test.want) {
					t.Errorf("got %v (exit %d), want %q", err, release.ExitCode(err), test.want)
				}
				if slices.Contains(test.fakes.done, "deploy") {
					t.Errorf("deployed: %v", test.fakes.done)
				}
			})
		})
	}
}

// TestNothingIsChangedWithoutTheLease: a run that slept finds out before it applies, not after.
func TestNothingIsChangedWithoutTheLease(t *testing.T) {
	t.Parallel()
	lost := &release.Failure{What: "OD-207 the Lease was taken"}
	fakes := &fakes{renewErr: lost}
	_, _, err := fakes.run(t)
	if !errors.Is(err, lost) || slices.Contains(fakes.done, "deploy") {
		t.Errorf("got %v and did %v", err, fakes.done)
	}
	fakes.done, fakes.renewErr, fakes.history, fakes.target = nil, nil, live(another), release.RollbackTarget{Revision: 5, Commit: another}
	fakes.watchErr = broken("CrashLoopBackOff")
	fakes.onSettled = func() { fakes.renewErr = lost }
	_, _, err = fakes.run(t)
	if !errors.Is(err, lost) || !strings.Contains(err.Error(), "OD-206") || slices.Contains(fakes.done, "rollback to 5") {
		t.Errorf("got %v and did %v", err, fakes.done)
	}
}

// TestWavesShareTheJobTimeout: waves run one after the other, each as long as its deploys may.
func TestWavesShareTheJobTimeout(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		jobTimeout  time.Duration
		concurrency int
		want        string
	}{
		{0, 1, ""},
		{20*time.Minute + 30*time.Second, 2, ""},
		{20*time.Minute + 29*time.Second, 2, "--job-timeout: 20 minutes 29 seconds is too short for 2 waves that take up to 20 minutes"},
		{20*time.Minute + 30*time.Second, 1, "2 waves that take up to 30 minutes"}, // the second wave has two deploys
		{30*time.Minute + 30*time.Second, 1, ""},
	} {
		all := fakesOf{fakes: func() *fakes {
			return &fakes{revision: commit.String(), pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}}
		}}
		_, err := deploy.RunWaves(t.Context(), deploy.Settings{JobTimeout: test.jobTimeout, Options: matrix.Options{Concurrency: test.concurrency}}, waves(t, twoWaves, "10m"), recorder{&fakes{}},
			func(_ deploy.Settings, reporter release.Reporter) (deploy.Deps, error) {
				return all.deps(reporter), nil
			})
		if test.want == "" && err == nil {
			continue
		}
		if test.want == "" || release.ExitCode(err) != release.ExitInput || !strings.Contains(fmt.Sprint(err), test.want) || len(all.done()) > 0 {
			t.Errorf("%s, %d at once: got %v and did %v, want %q", test.jobTimeout, test.concurrency, err, all.done(), test.want)
		}
	}
}

// TestAWaveIsNotStartedWithoutTimeForIt: what came before it took longer than it may.
func TestAWaveIsNotStartedWithoutTimeForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		canary := &fakes{revision: commit.String(), pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}}
		canary.onSettled = func() { time.Sleep(12 * time.Minute) }
		rest := fakesOf{fakes: func() *fakes { return &fakes{revision: commit.String()} }}
		result, err := deploy.RunWaves(t.Context(), deploy.Settings{JobTimeout: 21 * time.Minute, Options: matrix.Options{Concurrency: 2}}, waves(t, twoWaves, "10m"), recorder{&fakes{}},
			func(settings deploy.Settings, reporter release.Reporter) (deploy.Deps, error) {
				if settings.Context == "canary" {
					return canary.deps(reporter), nil
				}
				return rest.deps(reporter), nil
			})
		if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), `wave "the rest" was not started: it may take 10 minutes, and only 9 minutes of the job's 21 minutes are left`) {
			t.Errorf("got %v", err)
		}
		if result.Skipped != 2 || len(rest.done()) > 0 {
			t.Errorf("skipped %d, did %v", result.Skipped, rest.done())
		}
	})
}

// TestADeploysNameIsOnEveryLine of its error, whose problems can be worded later.
func TestADeploysNameIsOnEveryLine(t *testing.T) {
	t.Parallel()
	input := &release.InputError{Problems: []release.Problem{{Setting: "values", What: "is wrong"}, {Setting: "chart", What: "is wrong"}}}
	err := error(&matrix.JobError{Title: "eu/shop", Err: input})
	input.Problems[0].Where = "--values (INPUT_VALUES)"
	if diff := cmp.Diff("eu/shop: --values (INPUT_VALUES): is wrong\neu/shop: --chart: is wrong", err.Error()); diff != "" {
		t.Error(diff)
	}
}

// TestHealReportsUnreadableRecords, and does not take that for another run.
func TestHealReportsUnreadableRecords(t *testing.T) {
	t.Parallel()
	fakes := &fakes{historyErr: &release.Failure{What: "OD-215 Secret \"sh.helm.release.v1.shop.v7\" cannot be read"}}
	if _, _, err := fakes.run(t, "--heal", "--release", "shop"); release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "OD-215") {
		t.Errorf("got %v", err)
	}
}
