package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

type stuck struct{ diagnosis release.Diagnosis }

func (s stuck) Error() string                { return s.diagnosis.Reason }
func (s stuck) Diagnosis() release.Diagnosis { return s.diagnosis }

// broken is a rollout that cannot become ready.
func broken(reason string) error {
	return &release.Failure{What: "shop cannot become ready", Err: stuck{release.Diagnosis{Code: causes.CrashLoop,
		Object: release.Object{Kind: "Pod", Name: "shop-1"}, Container: "app", Reason: reason, Advice: "read the log",
		Events: []string{"Back-off"}, Logs: []string{"panic: ::set-output"}, Previous: []string{"before"}}}}
}

func live(c release.Commit) []release.Revision {
	return []release.Revision{
		{Number: 6, Status: "failed"},
		{Number: 5, Status: "deployed", Commit: c, RunURL: "https://example.com/run/newer", Verified: true},
	}
}

func check(t *testing.T, account string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(account, want) {
			t.Errorf("no %q in:\n%s", want, account)
		}
	}
}

func TestWhatFailsIsExplainedAndThenUndone(t *testing.T) {
	t.Parallel()
	back := []string{"rollback to 5", "watch Deployment/shop", "verify 8", "give back"}
	way := release.RollbackTarget{Revision: 5, Commit: another}
	smokeFailed := &release.Failure{What: "smoke failed: / answered 500"}
	for name, test := range map[string]struct {
		site  *site
		flags []string
		want  []string
		says  string
	}{
		"a rollout": {&site{watchErr: broken("CrashLoopBackOff"), history: live(another), way: way}, nil,
			append([]string{"hold", "deploy", "hook Job/migrate", "watch Deployment/shop"}, back...), "rolled back to revision 5"},
		"a hook": {&site{hookErr: broken("JobFailed"), history: live(another), way: way}, nil,
			append([]string{"hold", "deploy", "hook Job/migrate"}, back...), "rolled back to revision 5"},
		"a smoke": {&site{smokeErr: smokeFailed, history: live(another), way: way}, []string{"--smoke-checks", "default"},
			append([]string{"hold", "deploy", "hook Job/migrate", "watch Deployment/shop", "address", `smoke http://127.0.0.1 with ""`}, back...), "rolled back"},
		"a rollout without rollback": {&site{watchErr: broken("x"), history: live(another), way: way}, []string{"--rollback", "off"},
			[]string{"hold", "deploy", "hook Job/migrate", "watch Deployment/shop", "give back"}, "rollback is off"},
		"a first install": {&site{watchErr: broken("x")}, nil,
			[]string{"hold", "deploy", "hook Job/migrate", "watch Deployment/shop", "give back"}, "stays for inspection"},
		"a first install to be cleared": {&site{watchErr: broken("x")}, []string{"--failed-install", "uninstall"},
			[]string{"hold", "deploy", "hook Job/migrate", "watch Deployment/shop", "uninstall", "give back"}, "is uninstalled"},
		"a service that could not be asked": {&site{smokeErr: &release.Fault{Side: "service", Err: errors.New("no such host")}, history: live(another), way: way},
			[]string{"--smoke-checks", "x.yaml"},
			[]string{"hold", "deploy", "hook Job/migrate", "watch Deployment/shop", "address", `smoke http://127.0.0.1 with "x.yaml"`, "give back"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, account, err := test.site.run(t, test.flags...)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, test.site.done); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			check(t, account, test.says)
			if rolled := strings.Contains(test.says, "rolled back"); rolled != (result.Outcome == release.RolledBack) || rolled && result.Revision != 8 {
				t.Errorf("got outcome %q and revision %d", result.Outcome, result.Revision)
			}
		})
	}
}

func TestTheEvidenceComesBeforeTheRollback(t *testing.T) {
	t.Parallel()
	site := &site{watchErr: broken("CrashLoopBackOff"), history: live(another), way: release.RollbackTarget{Revision: 5}}
	result, account, err := site.run(t)
	if release.ExitCode(err) != release.ExitFailed || result.Code != causes.CrashLoop {
		t.Errorf("got %v and code %q", err, result.Code)
	}
	check(t, account, "OD-103 Pod/shop-1 app: CrashLoopBackOff", "| Back-off", "| panic: ::set-output", "| before", "try: read the log")
	if strings.Index(account, "try: read the log") > strings.Index(account, "> rollback to revision 5") {
		t.Errorf("told after it was undone:\n%s", account)
	}
}

func TestBothErrorsAreToldWhenTheRollbackFails(t *testing.T) {
	t.Parallel()
	site := &site{watchErr: broken("CrashLoopBackOff"), backErr: broken("ImagePullBackOff"), history: live(another),
		way: release.RollbackTarget{Revision: 5, Obstacles: []string{"spec.selector differs"}}}
	_, account, err := site.run(t)
	check(t, fmt.Sprint(err), "CrashLoopBackOff", "OD-206", "ImagePullBackOff", "OD-205", "spec.selector differs")
	check(t, account, "warning: OD-205 a failure could not be undone: spec.selector differs")
}

func TestAWayBackWhoseImageIsGoneIsToldBeforehand(t *testing.T) {
	t.Parallel()
	site := &site{history: live(another), way: release.RollbackTarget{Revision: 5, Image: image(t, "b")}, gone: image(t, "b").Digest}
	_, account, err := site.run(t)
	if err != nil {
		t.Fatal(err)
	}
	check(t, account, "OD-205", "is gone from the registry")
}

func TestNothingOlderIsDeployed(t *testing.T) {
	t.Parallel()
	site := &site{history: live(another), newer: true}
	result, account, err := site.run(t)
	if err != nil || result.Outcome != release.Superseded || result.NewerRun != "https://example.com/run/newer" || result.Revision != 5 {
		t.Errorf("got %+v, %v", result, err)
	}
	if diff := cmp.Diff([]string{"hold", "give back"}, site.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	check(t, account, "superseded", "https://example.com/run/newer")
}

func TestADeliberateRollbackPinsUntilItIsLifted(t *testing.T) {
	t.Parallel()
	site := &site{history: live(another), newer: true}
	if _, account, err := site.run(t, "--allow-rollback"); err != nil || site.pin == nil || site.pin.Commit != commit {
		t.Fatalf("got pin %+v and %v:\n%s", site.pin, err, account)
	}
	site.revision, site.newer, site.done = another.String(), false, nil
	_, _, err := site.run(t)
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "OD-204") {
		t.Errorf("got %v, want a refusal", err)
	}
	if diff := cmp.Diff([]string{"hold", "give back"}, site.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, _, err := site.run(t, "--unpin"); err != nil || site.pin != nil {
		t.Errorf("got pin %+v and %v", site.pin, err)
	}
}

func TestAHistoryThatCannotBeReadIsToldAndNotGuessed(t *testing.T) {
	t.Parallel()
	site := &site{history: live(another), unrelated: errors.New("bad object")}
	result, account, err := site.run(t)
	if err != nil || result.Outcome != release.Changed {
		t.Errorf("got %q, %v", result.Outcome, err)
	}
	check(t, account, "cannot be told: bad object", "fetch-depth: 0")
}

func TestWhatADeadRunLeftIsHealedAndTold(t *testing.T) {
	t.Parallel()
	site := &site{pending: &release.Healed{Revision: 6, Status: "pending-upgrade", RunURL: "https://example.com/run/dead"}}
	result, account, err := site.run(t)
	if err != nil || result.Healed == nil {
		t.Fatalf("got %+v, %v", result, err)
	}
	check(t, account, "revision 6 was left pending-upgrade", "https://example.com/run/dead")

	site.done, site.lines = nil, nil
	result, _, err = site.run(t, "--heal", "--release", "shop")
	if err != nil || result.Outcome != release.OutcomeHealed {
		t.Errorf("got %q, %v", result.Outcome, err)
	}
	if diff := cmp.Diff([]string{"hold", "give back"}, site.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHealLeavesALiveRunAlone(t *testing.T) {
	t.Parallel()
	site := &site{holdErr: &release.Failure{What: "OD-203 held by https://example.com/run/2"}}
	result, _, err := site.run(t, "--heal", "--release", "shop")
	if err != nil || result.Outcome != release.Unchanged {
		t.Errorf("got %q, %v", result.Outcome, err)
	}
}

func TestAnInterruptedRunSaysWhereThingsAreAndGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	site := &site{history: live(another), way: release.RollbackTarget{Revision: 5}, onWatch: stop}
	result, account, err := site.runWith(ctx, t)
	if err == nil || !strings.Contains(result.State, "revision 7 is there in part") {
		t.Errorf("got %q, %v", result.State, err)
	}
	if last := site.done[len(site.done)-1]; last != "give back" {
		t.Errorf("ended with %q", last)
	}
	if strings.Contains(account, "not given back") {
		t.Errorf("the lease was given back on a spent context:\n%s", account)
	}
}

func TestARollbackThatIsStoppedIsNoFailedRollback(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	site := &site{history: live(another), way: release.RollbackTarget{Revision: 5}, watchErr: broken("CrashLoopBackOff")}
	site.onBack = stop
	result, _, err := site.runWith(ctx, t)
	if release.ExitCode(err) != release.ExitFailed || strings.Contains(err.Error(), "OD-206") || !strings.Contains(result.State, "was stopped") {
		t.Errorf("got %q, %v", result.State, err)
	}
}

func TestALostLeaseEndsTheDeployAndUndoesNothing(t *testing.T) {
	t.Parallel()
	site := &site{history: live(another), way: release.RollbackTarget{Revision: 5}}
	site.onWatch = func() { site.leaseEnded(&release.Failure{What: "OD-207 taken by https://example.com/run/2"}) }
	result, _, err := site.run(t)
	check(t, fmt.Sprint(err), "OD-207 taken by")
	if strings.Contains(strings.Join(site.done, "\n"), "rollback") || !strings.Contains(result.State, "another run") {
		t.Errorf("did %v, says %q", site.done, result.State)
	}
}

func TestADryRunTellsEverythingAndHoldsNothing(t *testing.T) {
	t.Parallel()
	by := release.Object{Kind: "Deployment", Name: "shop"}
	site := &site{
		history: live(another), way: release.RollbackTarget{Revision: 5, Commit: another}, lacking: []string{"config.COLOUR"},
		planned: release.Plan{Outcome: release.Changed, Problems: []string{"OD-201 spec.selector is immutable"}, Changes: []release.Change{
			{Object: release.Object{Kind: "ConfigMap", Name: "shop"}, Action: release.ActionChange, Fields: []release.FieldChange{{Path: "data.A", Before: `"1"`, After: `"2"`, Manager: "kubectl-edit"}}},
			{Object: release.Object{Kind: "Secret", Name: "shop"}, Action: release.ActionChange, Fields: []release.FieldChange{{Path: "data.TOKEN", Hidden: true}}}}},
		missing: []release.Reference{{Kind: "Secret", Name: "shop-db", Key: "url", By: by}},
	}
	result, account, err := site.run(t, "--dry-run", "--compare-values", "other.yaml")
	check(t, fmt.Sprint(err), "OD-105 Secret/shop-db key url is not in namespace", "OD-201 spec.selector")
	check(t, account, `data.A: "1" → "2"  (set by kubectl-edit)`, "data.TOKEN: changed, value hidden", `value "config.COLOUR" is set in`, "it goes back to revision 5")
	if len(site.done) > 0 || result.Outcome != release.Planned {
		t.Errorf("did %v, outcome %q", site.done, result.Outcome)
	}
}

func TestUnchangedIsWatchedToo(t *testing.T) {
	t.Parallel()
	site := &site{outcome: release.Unchanged, history: live(commit), watchErr: broken("CrashLoopBackOff"), way: release.RollbackTarget{Revision: 5}}
	_, _, err := site.run(t)
	if err == nil {
		t.Error("an unchanged release that is not ready passes")
	}
	if diff := cmp.Diff([]string{"hold", "deploy", "watch Deployment/shop", "give back"}, site.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAPhaseCannotUseTheTimeOfLaterOnes(t *testing.T) {
	t.Parallel()
	site := &site{history: live(another), way: release.RollbackTarget{Revision: 5}}
	site.onWatch = func() {}
	began := time.Now()
	_, account, err := site.run(t, "--timeout", "1s")
	if err == nil {
		t.Fatal("a rollout that never becomes ready passes")
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("the rollout took %s of 1s, and left nothing for going back", took)
	}
	check(t, account, "time: 1s in all: hooks", "rollback")
}

// TestWhatRunsAfterGoingBack: the digest in the result is the one that the pods report then, never the one that failed.
func TestWhatRunsAfterGoingBack(t *testing.T) {
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
		"one did not":       {[]release.PodImage{{Pod: "shop-1", Digest: before}, {Pod: "shop-2", Digest: failed}}, release.Digest{}, `warning: pod "shop-2" runs ` + failed.String()},
		"nobody to be seen": {[]release.PodImage{}, release.Digest{}, "rolled back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := &site{watchErr: broken("CrashLoopBackOff"), history: live(another), way: release.RollbackTarget{Revision: 5, Digest: before}, pods: test.pods}
			result, account, _ := site.run(t)
			if result.Digest != test.want || result.Outcome != release.RolledBack {
				t.Errorf("got %s, outcome %q, want %s", result.Digest, result.Outcome, test.want)
			}
			check(t, account, test.says)
		})
	}
}

// TestWhoServesUnverifiedIsNotGoneBackTo: somebody else's Helm, Terraform's for one, deployed last.
func TestWhoServesUnverifiedIsNotGoneBackTo(t *testing.T) {
	t.Parallel()
	history := live(another)
	history[1].Verified = false
	site := &site{history: history, way: release.RollbackTarget{Revision: 3}}
	if _, account, err := site.run(t); err != nil {
		t.Error(err)
	} else {
		check(t, account, "warning: revision 5 serves", "a failure would go back past it, to revision 3")
	}
}
