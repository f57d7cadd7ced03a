package smoke_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/smoke"
)

// replacedAfter is a release whose workloads name the image for so many requests, and then no more.
func replacedAfter(requests int, pods ...release.PodImage) func() release.Running {
	return func() release.Running {
		if requests--; requests < 0 {
			return release.Running{}
		}
		return releasetest.Running(pods...)
	}
}

// TestTheLiveRevisionIsMarkedWithTheVerdict, because a rollback goes by it.
func TestTheLiveRevisionIsMarkedWithTheVerdict(t *testing.T) {
	t.Parallel()
	broken := release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}
	shop := []string{"--release", "shop", "--environment", "staging", "--timeout", "30s"}
	good, other := release.PodImage{Pod: "a", Digest: image(t).Digest}, release.PodImage{Pod: "b", ImageID: "shop:v1"}
	for name, test := range map[string]struct {
		fake  *fakeDeps
		flags []string
		want  []string
		exit  int
	}{
		"a pass":                        {&fakeDeps{live: 4, answers: []release.Answer{answerFrom(commit)}}, shop, []string{"staging/shop 4 proved"}, 0},
		"a failure":                     {&fakeDeps{live: 4, answers: []release.Answer{broken}}, shop, []string{"staging/shop 4 failed"}, 1},
		"a failure of another revision": {&fakeDeps{live: 4, later: 5, answers: []release.Answer{broken}}, shop, nil, 3},
		"a pass, then another revision": {&fakeDeps{live: 4, later: 5, answers: []release.Answer{answerFrom(commit)}}, shop, []string{"staging/shop 4 proved"}, 0},
		"a failure of an image that was replaced": {&fakeDeps{revision: commit.String(), answers: []release.Answer{broken}, running: replacedAfter(1, good)},
			append([]string{"--image", image(t).String()}, shop...), nil, 3},
		"nothing answers":           {&fakeDeps{live: 4, answers: []release.Answer{{Stage: release.StageDNS}}}, shop, nil, 3},
		"no revision is live":       {&fakeDeps{answers: []release.Answer{broken}}, shop, nil, 1},
		"of a URL":                  {&fakeDeps{live: 4, answers: []release.Answer{broken}}, []string{"--url", "http://127.0.0.1:1", "--timeout", "30s"}, nil, 1},
		"of a URL of the release":   {&fakeDeps{live: 4, hosts: []string{"127.0.0.1"}, answers: []release.Answer{broken}}, append([]string{"--url", "http://127.0.0.1:1"}, shop...), []string{"staging/shop 4 failed"}, 1},
		"of a URL of another":       {&fakeDeps{live: 4, hosts: []string{"shop.example.com"}, answers: []release.Answer{broken}}, append([]string{"--url", "http://127.0.0.1:1"}, shop...), nil, 2},
		"Secrets cannot be read":    {&fakeDeps{live: 4, liveErr: errors.New("forbidden"), answers: []release.Answer{answerFrom(commit)}}, shop, nil, 0},
		"Secrets cannot be patched": {&fakeDeps{live: 4, markErr: errors.New("forbidden"), answers: []release.Answer{answerFrom(commit)}}, shop, []string{"staging/shop 4 proved"}, 0},
		"another digest came up": {&fakeDeps{live: 4, answers: []release.Answer{answerFrom(commit)}, revision: commit.String(), pods: [][]release.PodImage{{good}, {good, other}}},
			append([]string{"--image", image(t).String()}, shop...), nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := test.fake.run(t, test.flags...)
			if release.ExitCode(err) != test.exit {
				t.Errorf("got %v, want exit code %d", err, test.exit)
			}
			if diff := cmp.Diff(test.want, test.fake.marked); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestAReleaseWithoutADeployedRevisionIsRefused: its objects may be applied, and its pods may run the image, but no deploy has finished.
func TestAReleaseWithoutADeployedRevisionIsRefused(t *testing.T) {
	t.Parallel()
	held := func(heartbeat string) release.Undeployed {
		return release.Undeployed{Revision: 1, Status: "pending-install", Holder: "run 7", Heartbeat: heartbeat, Duration: 10 * time.Second}
	}
	var renewed []release.Undeployed
	for i := range 1000 {
		renewed = append(renewed, held(strconv.Itoa(i)))
	}
	failed := release.Undeployed{Revision: 1, Status: "failed"}
	shop := []string{"--release", "shop", "--environment", "staging", "--timeout", "30s"}
	withImage := append([]string{"--image", image(t).String()}, shop...)
	for name, test := range map[string]struct {
		undeployed []release.Undeployed
		flags      []string
		exit       int
		says, do   string
	}{
		"a first install whose Lease may not be read": {[]release.Undeployed{{Revision: 1, Status: "pending-install", LeaseUnknown: true}}, withImage, 1, "revision 1 is pending-install", "wait until the deploy that may be running has finished"},
		"a failed first install":                      {[]release.Undeployed{failed}, withImage, 1, "revision 1 is failed", "deploy the release first"},
		"without an image":                            {[]release.Undeployed{failed}, shop, 1, "revision 1 is failed", "deploy the release first"},
		"a killed install":                            {[]release.Undeployed{{Revision: 3, Status: "pending-install"}}, withImage, 1, "revision 3 is pending-install", "--heal"},
		"a killed install, its Lease left":            {[]release.Undeployed{held("1")}, withImage, 1, "revision 1 is pending-install", "--heal"},
		"a killed uninstall":                          {[]release.Undeployed{{Revision: 2, Status: "uninstalling"}}, withImage, 1, "revision 2 is uninstalling", "uninstall"},
		"a deploy that takes longer":                  {renewed, withImage, 3, "run 7 holds its Lease", "run smoke again"},
		"a deploy that finishes":                      {[]release.Undeployed{held("1"), held("2"), {}}, withImage, 0, "", ""},
		"a deploy that fails":                         {[]release.Undeployed{held("1"), held("2"), failed}, withImage, 1, "revision 1 is failed", "deploy the release first"},
		"a deploy that finishes between two reads":    {[]release.Undeployed{{Revision: 1, Status: "pending-install"}, {}}, withImage, 0, "", ""},
		"an uninstall during the rounds":              {[]release.Undeployed{{}, {Revision: 1, Status: "uninstalling"}}, withImage, 3, "revision 1 is uninstalling", "uninstall"},
		"of a URL alone":                              {[]release.Undeployed{failed}, []string{"--url", "http://127.0.0.1:1", "--timeout", "30s"}, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{undeployed: test.undeployed, answers: []release.Answer{answerFrom(commit)}, revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}}}
			_, err := fake.run(t, test.flags...)
			if release.ExitCode(err) != test.exit || test.exit != 0 && !(strings.Contains(err.Error(), test.says) && strings.Contains(adviceOf(err), test.do)) {
				t.Errorf("got %v, want exit code %d", err, test.exit)
			}
			if test.exit != 0 && (len(fake.marked) > 0 || len(fake.recorded) > 0) {
				t.Errorf("marked %v, recorded %v", fake.marked, fake.recorded)
			}
		})
	}
}

// adviceOf is what an error says to do.
func adviceOf(err error) string {
	var refusal *release.Refusal
	var fault *release.Fault
	switch {
	case errors.As(err, &refusal):
		return refusal.Do
	case errors.As(err, &fault):
		return fault.Do
	}
	return ""
}

// TestAReplacedReleaseEndsSmoke at once, and not when its time is up, although the answers of what replaced it do not use up the patience.
func TestAReplacedReleaseEndsSmoke(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{revision: commit.String(), live: 4, later: 5,
		pods:    [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}},
		answers: []release.Answer{{Stage: release.StageConnect, Wrong: []string{"connection refused"}}}}
	result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "200s")
	if result.Verdict != release.Inconclusive || !strings.Contains(fmt.Sprint(err), "went from revision 4 to 5") || result.Report.Seconds > 5 {
		t.Errorf("got %q after %.0f s, %v", result.Verdict, result.Report.Seconds, err)
	}
	if len(fake.marked)+len(fake.recorded) > 0 {
		t.Errorf("marked %v, recorded %v", fake.marked, fake.recorded)
	}
}

// TestAnInterruptedSmokeTellsNoVerdict: its last round may have failed because it was interrupted.
func TestAnInterruptedSmokeTellsNoVerdict(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{checks: []release.Check{{Name: "/", Path: "/"}}, answers: []release.Answer{{Stage: release.StageCheck, Wrong: []string{"status: 500"}}}}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := smoke.CheckSubject(ctx, smoke.Subject{URL: "http://127.0.0.1:1", Checks: fake.checks}, smoke.Settings{Consecutive: 3, Patience: time.Minute},
		smoke.Deps{Prober: fake, Reporter: reporter{fake: fake}, Now: func() time.Time { return fake.now }, Pause: func(context.Context, time.Duration) { cancel() }})
	if log := strings.Join(fake.lines, "\n"); strings.Contains(log, "verdict") || !strings.Contains(log, "interrupted after 1 rounds") || !strings.Contains(fmt.Sprint(err), "smoke was interrupted") {
		t.Errorf("got %v:\n%s", err, log)
	}
}
