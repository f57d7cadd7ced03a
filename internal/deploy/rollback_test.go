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
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

type stuck struct{ diagnosis release.Diagnosis }

func (s stuck) Error() string                { return s.diagnosis.Reason }
func (s stuck) Diagnosis() release.Diagnosis { return s.diagnosis }

// broken is a rollout that cannot become ready.
func broken(reason string) error {
	return &release.BadRelease{Err: &release.Failure{What: "shop cannot become ready", Err: stuck{release.Diagnosis{Code: causes.CrashLoop,
		Object: release.Object{Kind: "Pod", Name: "shop-1"}, Container: "app", Reason: reason, Advice: "read the log",
		Events: []string{"Back-off"}, Logs: []string{"panic: ::set-output"}, Previous: []string{"before"}}}}}
}

func live(c release.Commit) []release.Revision {
	return []release.Revision{
		{Number: 6, Status: "failed"},
		{Number: 5, Status: "deployed", Commit: c, RunURL: "https://example.com/run/newer", Mark: release.MarkReady},
	}
}

// proved is a history whose live revision smoke has proved.
func proved(revisions []release.Revision) []release.Revision {
	for i := range revisions {
		if revisions[i].Status == "deployed" {
			revisions[i].Mark = release.MarkProved
		}
	}
	return revisions
}

func check(t *testing.T, log string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in:\n%s", want, log)
		}
	}
}

func TestFailureIsExplainedAndThenRolledBack(t *testing.T) {
	t.Parallel()
	back := []string{"rollback to 5", "watch Deployment/shop", "mark 8 proved", "release Lease"}
	target := release.RollbackTarget{Revision: 5, Mark: release.MarkProved, Commit: another}
	smokeFailed := &release.BadRelease{Err: &release.Failure{What: "smoke failed: / answered 500"}}
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		want  []string
		says  string
	}{
		"a rollout": {&fakes{watchErr: broken("CrashLoopBackOff"), history: live(another), target: target}, nil,
			append([]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop"}, back...), "rolled back to revision 5"},
		"a hook": {&fakes{hookErr: broken("JobFailed"), history: live(another), target: target}, nil,
			append([]string{"acquire Lease", "deploy", "hook Job/migrate"}, back...), "rolled back to revision 5"},
		"a smoke": {&fakes{smokeErr: smokeFailed, history: live(another), target: target}, []string{"--smoke-checks", "default"},
			append([]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "address service/shop", `smoke http://127.0.0.1 with ""`, "mark 7 failed"}, back...), "rolled back"},
		"a smoke without rollback": {&fakes{smokeErr: smokeFailed, history: live(another), target: target}, []string{"--smoke-checks", "default", "--rollback", "off"},
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "address service/shop", `smoke http://127.0.0.1 with ""`, "mark 7 failed", "release Lease"}, "rollback is off"},
		"a smoke of an unchanged revision that none had proved": {&fakes{smokeErr: smokeFailed, outcome: release.Unchanged, history: live(another), target: target},
			[]string{"--smoke-checks", "default"},
			append([]string{"acquire Lease", "deploy", "watch Deployment/shop", "address service/shop", `smoke http://127.0.0.1 with ""`, "mark 7 failed"}, back...), "rolled back"},
		"a smoke of an unchanged revision that was proved": {&fakes{smokeErr: smokeFailed, outcome: release.Unchanged, history: proved(live(another)), target: target},
			[]string{"--smoke-checks", "default"},
			[]string{"acquire Lease", "deploy", "watch Deployment/shop", "address service/shop", `smoke http://127.0.0.1 with ""`, "mark 7 failed", "release Lease"}, ""},
		"a rollout without rollback": {&fakes{watchErr: broken("x"), history: live(another), target: target}, []string{"--rollback", "off"},
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "release Lease"}, "rollback is off"},
		"a first install": {&fakes{watchErr: broken("x")}, nil,
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "release Lease"}, "is kept for inspection; the next deploy"},
		"a first install to be cleared": {&fakes{watchErr: broken("x")}, []string{"--failed-install", "uninstall"},
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "uninstall", "release Lease"}, "the failed install was uninstalled"},
		"the second try of a first install": {&fakes{watchErr: broken("x"), history: []release.Revision{{Number: 2, Status: "failed"}, {Number: 1, Status: "failed"}}}, nil,
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "release Lease"}, "is kept for inspection; the next deploy"},
		"the second try, to be cleared": {&fakes{watchErr: broken("x"), history: []release.Revision{{Number: 1, Status: "failed"}}}, []string{"--failed-install", "uninstall"},
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "uninstall", "release Lease"}, "the failed install was uninstalled"},
		"after an uninstall that kept the history": {&fakes{watchErr: broken("x"), history: []release.Revision{{Number: 3, Status: "failed"}, {Number: 2, Status: "uninstalled"}, {Number: 1, Status: "superseded"}}, target: target},
			nil, []string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "release Lease"}, "is kept for inspection; the next deploy"},
		"after an uninstall that was killed": {&fakes{watchErr: broken("x"), history: []release.Revision{{Number: 7, Status: "failed", Uninstalled: true}, {Number: 6, Status: "superseded", Mark: release.MarkProved}}, target: target},
			nil, []string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "release Lease"}, "is kept for inspection; the next deploy"},
		"nothing verified": {&fakes{watchErr: broken("x"), history: []release.Revision{{Number: 1, Status: "deployed"}}}, nil,
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "release Lease"}, "revision 7 failed and stays as it is"},
		"a service that could not be asked": {&fakes{smokeErr: &release.Fault{Side: "service", Err: errors.New("no such host")}, history: live(another), target: target},
			[]string{"--smoke-checks", "x.yaml"},
			[]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "address service/shop", `smoke http://127.0.0.1 with "x.yaml"`, "release Lease"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, log, err := test.fakes.run(t, test.flags...)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, test.fakes.done); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			check(t, log, test.says)
			if rolled := strings.Contains(test.says, "rolled back"); rolled != (result.Outcome == release.RolledBack) || rolled && result.Revision != 8 {
				t.Errorf("got outcome %q and revision %d", result.Outcome, result.Revision)
			}
		})
	}
}

// TestARollbackThatWasNotTriedIsNotReportedAsFailed: a rollback that could not be tried is not reported as one that failed.
func TestARollbackThatWasNotTriedIsNotReportedAsFailed(t *testing.T) {
	t.Parallel()
	for name, history := range map[string][]release.Revision{
		"the second try of a first install": {{Number: 1, Status: "failed"}},
		"nothing verified":                  {{Number: 1, Status: "deployed"}},
	} {
		_, log, err := (&fakes{watchErr: broken("x"), history: history}).run(t)
		if err == nil || strings.Contains(err.Error()+log, "the rollback failed too") || strings.Contains(err.Error()+log, string(causes.RollbackFailed)) {
			t.Errorf("%s: %v\n%s", name, err, log)
		}
	}
}

// TestWhatThePodsRunDecides: pods that run another image, or none where some are wanted, are a reason to go back. Pods that are meant to
// stay at an older revision are not, but prove nothing either.
func TestWhatThePodsRunDecides(t *testing.T) {
	t.Parallel()
	right := release.PodImage{Pod: "shop-1", Digest: image(t, "a").Digest}
	held := release.PodImage{Pod: "shop-0", Digest: image(t, "b").Digest, HeldBack: "the StatefulSet's partition is 1"}
	for name, test := range map[string]struct {
		pods     []release.PodImage
		outcome  release.Outcome
		verified bool
		digest   bool
		says     string
	}{
		"all run it":       {[]release.PodImage{right}, release.Changed, true, true, "1 pod runs"},
		"one is kept":      {[]release.PodImage{right, held}, release.Changed, true, true, "partition is 1"},
		"all are kept":     {[]release.PodImage{held}, release.Changed, false, false, "is not marked as verified"},
		"none runs":        {[]release.PodImage{}, release.RolledBack, true, false, "rolled back"},
		"another image":    {[]release.PodImage{{Pod: "shop-1", Digest: image(t, "b").Digest}}, release.RolledBack, true, false, "rolled back"},
		"no digest at all": {[]release.PodImage{{Pod: "shop-1", ImageID: "shop:v1"}}, release.RolledBack, true, false, "rolled back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, pods: test.pods}
			var result deploy.Result
			var log string
			var err error
			synctest.Test(t, func(t *testing.T) { result, log, err = fakes.run(t) }) // pods that do not exist are waited for
			if result.Outcome != test.outcome || (err == nil) != (test.outcome == release.Changed) || result.Digest.IsZero() == test.digest {
				t.Errorf("got outcome %q, digest %q, %v", result.Outcome, result.Digest, err)
			}
			check(t, log, test.says)
			marked := slices.ContainsFunc(fakes.done, func(done string) bool { return strings.HasPrefix(done, "verify") || strings.HasPrefix(done, "mark") })
			if marked != test.verified {
				t.Errorf("did %v", fakes.done)
			}
		})
	}
}

// TestTheWatchKnowsTheHooks: what a hook's custom resource makes may come later than the hook; a rollback runs none of the deploy's.
func TestTheWatchKnowsTheHooks(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, watchErr: broken("x")}
	if result, log, _ := fakes.run(t); result.Outcome != release.RolledBack {
		t.Fatalf("got %q\n%s", result.Outcome, log)
	}
	if diff := cmp.Diff([][]release.Object{{{Kind: "Job", Name: "migrate"}}, nil}, fakes.hooksBefore); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestPodsThatNoStatusJudges: they have to become ready, and to stay so without a restart.
func TestPodsThatNoStatusJudges(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pod     func(pod *release.PodImage, call int)
		outcome release.Outcome
		says    string
	}{
		"ready":             {func(*release.PodImage, int) {}, release.Changed, "1 pod runs"},
		"ready later":       {func(pod *release.PodImage, call int) { pod.Ready = call > 10 }, release.Changed, "1 pod runs"},
		"restarted before":  {func(pod *release.PodImage, _ int) { pod.Restarts = 3 }, release.Changed, "1 pod runs"},
		"never ready":       {func(pod *release.PodImage, _ int) { pod.Ready = false }, release.RolledBack, "no pod of Deployment/shop that runs the image is ready: shop-1"},
		"ready by moments":  {func(pod *release.PodImage, call int) { pod.Ready = call%2 == 1 }, release.RolledBack, "no pod of Deployment/shop that runs the image is ready: shop-1"},
		"always restarting": {func(pod *release.PodImage, call int) { pod.Restarts = call }, release.RolledBack, "its pods did not stay ready for 3 seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, podsNow: func() release.PodImage {
				pod := release.PodImage{Pod: "shop-1", Digest: image(t, "a").Digest, Named: true, Ready: true}
				calls++
				test.pod(&pod, calls)
				return pod
			}}
			var result deploy.Result
			var log string
			var err error
			synctest.Test(t, func(t *testing.T) { result, log, err = fakes.run(t) })
			if result.Outcome != test.outcome || (err == nil) != (test.outcome == release.Changed) {
				t.Errorf("got outcome %q, %v", result.Outcome, err)
			}
			check(t, log+fmt.Sprint(err), test.says)
		})
	}
}

// TestTheLineOfACause: a cause of no container has none in its line.
func TestTheLineOfACause(t *testing.T) {
	t.Parallel()
	for container, want := range map[string]string{"": "OD-109 ReplicaSet/shop-1: FailedCreate forbidden", "app": "OD-109 ReplicaSet/shop-1 app: FailedCreate forbidden"} {
		failed := &release.BadRelease{Err: &release.Failure{What: "shop cannot become ready", Err: stuck{release.Diagnosis{Code: causes.AdmissionRefused, Object: release.Object{Kind: "ReplicaSet", Name: "shop-1"}, Container: container, Reason: "FailedCreate", Message: "forbidden"}}}}
		if _, log, err := (&fakes{watchErr: failed}).run(t); err == nil || !strings.Contains(log, want) {
			t.Errorf("%q is not in\n%s\n%v", want, log, err)
		}
	}
}

// TestOnlyABadReleaseIsRolledBack: whatever could not be asked leaves the release as it is.
func TestOnlyABadReleaseIsRolledBack(t *testing.T) {
	t.Parallel()
	late := &release.Failure{What: "release \"shop\" has no external address in time", Err: stuck{release.Diagnosis{Code: causes.NoAddress}}}
	for name, fakes := range map[string]*fakes{
		"no address in time, and no pods":    {addrErr: late, smokeErr: &release.Failure{What: "the release has nothing to ask"}},
		"an address that cannot be read":     {addrErr: &release.Fault{Side: "cluster", Err: errors.New("forbidden")}},
		"several addresses":                  {addrErr: release.BadSetting("release", "has 2 load balancers", "")},
		"an address of another kind":         {addrErr: &release.Failure{What: "any failure at all"}},
		"no address, and no pods":            {noURL: true, smokeErr: &release.Failure{What: "the release has nothing to ask"}},
		"pods that cannot be listed":         {podsErr: &release.Fault{Side: "cluster", Err: errors.New("forbidden")}},
		"a smoke that was not a verdict":     {smokeErr: &release.Failure{What: "smoke was interrupted"}},
		"checks that cannot be read":         {smokeErr: release.BadInput("x.yaml", "is gone", "")},
		"a rollout that could not be asked":  {watchErr: &release.Failure{What: "the cluster has not answered"}},
		"a rollout whose cluster has failed": {watchErr: &release.Fault{Side: "cluster", Err: errors.New("no route")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes.history, fakes.target = live(another), release.RollbackTarget{Revision: 5}
			result, _, err := fakes.run(t, "--smoke-checks", "default")
			if err == nil || result.Outcome == release.RolledBack {
				t.Errorf("got outcome %q, %v", result.Outcome, err)
			}
			for _, done := range fakes.done {
				if strings.HasPrefix(done, "rollback") || strings.HasPrefix(done, "mark") {
					t.Errorf("did %v", fakes.done)
				}
			}
		})
	}
}

func TestDiagnosisIsReportedBeforeTheRollback(t *testing.T) {
	t.Parallel()
	fakes := &fakes{watchErr: broken("CrashLoopBackOff"), history: live(another), target: release.RollbackTarget{Revision: 5}}
	result, log, err := fakes.run(t)
	if release.ExitCode(err) != release.ExitFailed || result.Code != causes.CrashLoop {
		t.Errorf("got %v and code %q", err, result.Code)
	}
	check(t, log, "OD-103 Pod/shop-1 app: CrashLoopBackOff", "| Back-off", "| panic: ::set-output", "| before", "try: read the log")
	if strings.Index(log, "try: read the log") > strings.Index(log, "> rollback to revision 5") {
		t.Errorf("reported after the rollback:\n%s", log)
	}
}

func TestFailedRollbackReportsBothErrors(t *testing.T) {
	t.Parallel()
	fakes := &fakes{watchErr: broken("CrashLoopBackOff"), rollbackWatchErr: broken("ImagePullBackOff"), history: live(another),
		target: release.RollbackTarget{Revision: 5, Obstacles: []release.Obstacle{{What: "spec.selector differs"}}}}
	_, log, err := fakes.run(t)
	check(t, fmt.Sprint(err), "CrashLoopBackOff", "OD-206", "ImagePullBackOff", "OD-205", "spec.selector differs")
	check(t, log, "warning: OD-205 a failed rollout could not be rolled back: spec.selector differs")
}

func TestMissingRollbackImageIsReportedBeforeTheDeploy(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5, Images: []release.Image{image(t, "b")}}, gone: image(t, "b").Digest}
	_, log, err := fakes.run(t)
	if err != nil {
		t.Fatal(err)
	}
	check(t, log, "OD-205", "is no longer in the registry")
}

func TestPendingRevisionIsHealed(t *testing.T) {
	t.Parallel()
	fakes := &fakes{pending: &release.Healed{Revision: 6, Status: "pending-upgrade", RunURL: "https://example.com/run/dead"}}
	result, log, err := fakes.run(t)
	if err != nil || result.Healed == nil {
		t.Fatalf("got %+v, %v", result, err)
	}
	check(t, log, "revision 6 was left pending-upgrade", "https://example.com/run/dead")

	fakes.done, fakes.lines = nil, nil
	result, _, err = fakes.run(t, "--heal", "--release", "shop")
	if err != nil || result.Outcome != release.OutcomeHealed {
		t.Errorf("got %q, %v", result.Outcome, err)
	}
	if diff := cmp.Diff([]string{"acquire Lease", "release Lease"}, fakes.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHealLeavesALiveRunAlone(t *testing.T) {
	t.Parallel()
	fakes := &fakes{leaseErr: &release.Failure{What: "OD-203 held by https://example.com/run/2"}}
	result, _, err := fakes.run(t, "--heal", "--release", "shop")
	if err != nil || result.Outcome != release.Unchanged {
		t.Errorf("got %q, %v", result.Outcome, err)
	}
}

func TestInterruptedRunReportsStateAndReleasesTheLease(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, onWatch: stop}
	result, log, err := fakes.runWith(ctx, t)
	if err == nil || !strings.Contains(result.State, "revision 7 is partly applied") {
		t.Errorf("got %q, %v", result.State, err)
	}
	if last := fakes.done[len(fakes.done)-1]; last != "release Lease" {
		t.Errorf("ended with %q", last)
	}
	if strings.Contains(log, "could not release the Lease") {
		t.Errorf("the Lease was released with a cancelled context:\n%s", log)
	}
}

// TestAStoppedRunLeavesItsCommit: a controller applies what was pushed.
func TestAStoppedRunLeavesItsCommit(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, onWatch: stop, configCommit: commit}
	if result, _, err := fakes.runWith(ctx, t); err == nil || result.State != "commit "+commit.Short()+" stays on its branch; Argo CD will apply it" {
		t.Errorf("got %q, %v", result.State, err)
	}
}

func TestStoppedRollbackIsNotAFailedRollback(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, watchErr: broken("CrashLoopBackOff")}
	fakes.onRollbackWatch = stop
	result, _, err := fakes.runWith(ctx, t)
	if release.ExitCode(err) != release.ExitFailed || strings.Contains(err.Error(), "OD-206") || !strings.Contains(result.State, "was stopped") {
		t.Errorf("got %q, %v", result.State, err)
	}
}

func TestLostLeaseEndsTheDeployWithoutRollback(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}}
	fakes.onWatch = func() { fakes.leaseEnded(&release.Failure{What: "OD-207 taken by https://example.com/run/2"}) }
	result, _, err := fakes.run(t)
	check(t, fmt.Sprint(err), "OD-207 taken by")
	if strings.Contains(strings.Join(fakes.done, "\n"), "rollback") || !strings.Contains(result.State, "another run") {
		t.Errorf("did %v, says %q", fakes.done, result.State)
	}
}

func TestDryRunReportsEverythingAndTakesNoLease(t *testing.T) {
	t.Parallel()
	by := release.Object{Kind: "Deployment", Name: "shop"}
	fakes := &fakes{
		history: live(another), target: release.RollbackTarget{Revision: 5, Commit: another}, missingKeys: []string{"config.COLOUR"},
		planned: release.Plan{Outcome: release.Changed, Problems: []string{"OD-201 spec.selector is immutable"}, Changes: []release.Change{
			{Object: release.Object{Kind: "ConfigMap", Name: "shop"}, Action: release.ActionChange, Fields: []release.FieldChange{{Path: "data.A", Before: `"1"`, After: `"2"`, Manager: "kubectl-edit"}}},
			{Object: release.Object{Kind: "Secret", Name: "shop"}, Action: release.ActionChange, Fields: []release.FieldChange{{Path: "data.TOKEN", Hidden: true, Before: release.HiddenValue, After: release.HiddenValue}}}}},
		missing: []release.Reference{{Kind: "Secret", Name: "shop-db", Key: "url", By: by}},
	}
	result, log, err := fakes.run(t, "--dry-run", "--compare-values", "other.yaml")
	check(t, fmt.Sprint(err), "OD-105 Secret/shop-db key url is not in namespace", "OD-201 spec.selector")
	check(t, log, `data.A: "1" → "2"  (set by kubectl-edit)`, "data.TOKEN: changed, value hidden", `value "config.COLOUR" is set in`, "it is rolled back to revision 5")
	if len(fakes.done) > 0 || result.Outcome != release.Planned {
		t.Errorf("did %v, outcome %q", fakes.done, result.Outcome)
	}
}

func TestDryRunPassesWhatAHookMayCreate(t *testing.T) {
	t.Parallel()
	by := release.Object{Kind: "Deployment", Name: "shop"}
	fakes := &fakes{missing: []release.Reference{{Kind: "Secret", Name: "shop-jwt", By: by, MadeBy: "Job/make-jwt"}}}
	_, log, err := fakes.run(t, "--dry-run")
	if err != nil {
		t.Error(err)
	}
	check(t, log, `Secret/shop-jwt is not in namespace "staging" yet: Job/make-jwt may create it`)
}

func TestUnchangedReleaseIsWatchedToo(t *testing.T) {
	t.Parallel()
	fakes := &fakes{outcome: release.Unchanged, history: live(commit), watchErr: broken("CrashLoopBackOff"), target: release.RollbackTarget{Revision: 5}}
	_, _, err := fakes.run(t)
	if err == nil {
		t.Error("an unchanged release that is not ready passes")
	}
	if diff := cmp.Diff([]string{"acquire Lease", "deploy", "watch Deployment/shop", "release Lease"}, fakes.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAPhaseCannotUseTheTimeOfLaterPhases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the clock is the test's: how busy the machine is decides nothing
		fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}}
		fakes.onWatch = func() {}
		began := time.Now()
		_, log, err := fakes.run(t, "--timeout", "1s")
		if err == nil {
			t.Fatal("a rollout that never becomes ready passes")
		}
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("the rollout took %s of 1s, and left nothing for going back", took)
		}
		check(t, log, "time: 1 second in total: hooks", "rollback")
	})
}

// TestDigestAfterRollback: the digest in the result is the one that the pods report afterwards, never the failed one.
func TestDigestAfterRollback(t *testing.T) {
	t.Parallel()
	before, err := release.ParseDigest("sha256:" + strings.Repeat("5", 64))
	if err != nil {
		t.Fatal(err)
	}
	failed, err := release.ParseDigest("sha256:" + strings.Repeat("6", 64))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		pods []release.PodImage
		want release.Digest
		says string
	}{
		"all went back":     {[]release.PodImage{{Pod: "shop-1", Digest: before}}, before, "rolled back"},
		"one did not":       {[]release.PodImage{{Pod: "shop-1", Digest: before}, {Pod: "shop-2", Digest: failed}}, release.Digest{}, `warning: after the rollback: pod "shop-2" runs ` + failed.String()},
		"nobody to be seen": {[]release.PodImage{}, release.Digest{}, "rolled back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes := &fakes{watchErr: broken("CrashLoopBackOff"), history: live(another), target: release.RollbackTarget{Revision: 5, Digest: before, Images: []release.Image{{Repository: "localhost:5000/team/shop", Digest: before}}}, pods: test.pods}
			result, log, _ := fakes.run(t)
			if result.Digest != test.want || result.Outcome != release.RolledBack {
				t.Errorf("got %s, outcome %q, want %s", result.Digest, result.Outcome, test.want)
			}
			check(t, log, test.says)
		})
	}
}

// TestUnverifiedLiveRevisionIsSkippedByRollback: another tool (Terraform, for example) deployed last.
func TestUnverifiedLiveRevisionIsSkippedByRollback(t *testing.T) {
	t.Parallel()
	history := live(another)
	history[1].Mark = ""
	fakes := &fakes{history: history, target: release.RollbackTarget{Revision: 3}}
	if _, log, err := fakes.run(t); err != nil {
		t.Error(err)
	} else {
		check(t, log, "warning: a rollback would skip the live revision 5", "and go to revision 3: revision 5 was verified by no deploy")
	}
}

// TestAnUnfinishedUninstallIsTold: a deploy installs the release again, and a run that only heals says what is to be done.
func TestAnUnfinishedUninstallIsTold(t *testing.T) {
	t.Parallel()
	pending := &release.Healed{Revision: 6, Status: "uninstalling"}
	_, log, err := (&fakes{pending: pending}).run(t)
	if err != nil {
		t.Fatal(err)
	}
	check(t, log, "warning: healed: revision 6 was left uninstalling", "an uninstall of the release had begun: this deploy installs it again")
	_, log, err = (&fakes{pending: pending}).run(t, "--heal", "--release", "shop")
	if err != nil || strings.Contains(log, "this deploy installs") {
		t.Errorf("got %v\n%s", err, log)
	}
	check(t, log, "run uninstall to finish that, or deploy to install the release again")
}
