package smoke_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

// sequence answers each answer for its time, over and over.
func sequence(begun time.Time, steps ...step) func(time.Time, string) release.Answer {
	return func(now time.Time, _ string) release.Answer {
		past := now.Sub(begun)
		for {
			for _, step := range steps {
				if past < step.lasts {
					return step.answer
				}
				past -= step.lasts
			}
		}
	}
}

type step struct {
	answer release.Answer
	lasts  time.Duration
}

// TestAReleaseThatGoesDown is failed and marked so that it is rolled back, whatever stands before it.
func TestAReleaseThatGoesDown(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	gateway := release.Answer{Stage: release.StageCheck, Status: 503, Wrong: []string{"status: 503, want 200"}}
	balancer := release.Answer{Stage: release.StageTarget, Status: 503, Wrong: []string{"no target yet"}}
	refusing := release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}}
	pod := func(ready bool) []release.PodImage {
		return []release.PodImage{{Pod: "a", Digest: image(t).Digest, Ready: ready}}
	}
	completed := release.PodImage{Pod: "a", Container: "migrate", Digest: image(t).Digest, Ready: true}
	down, up, gone := [][]release.PodImage{pod(false)}, [][]release.PodImage{pod(true)}, [][]release.PodImage{pod(true), {}}
	nodeless := release.PodImage{Pod: "b", Unscheduled: true}
	old := release.PodImage{Pod: "a", Digest: image(t).Digest, Ready: true, Outdated: true}
	failed, unmarked := []string{"staging/shop 4 failed"}, []string(nil)
	for name, test := range map[string]struct {
		first, then release.Answer // for two seconds; until the timeout
		pods        [][]release.PodImage
		want        release.Verdict
		marked      []string
		reason      string
	}{
		"a gateway, ready at first":          {gateway, gateway, [][]release.PodImage{pod(true), pod(false)}, release.Fail, failed, "status: 503"},
		"a gateway, after an answer":         {answerFrom(commit), gateway, down, release.Fail, failed, "status: 503"},
		"a gateway, never ready":             {gateway, gateway, down, release.Fail, failed, "Deployment/shop has no ready pod"},
		"a load balancer, after an answer":   {answerFrom(commit), balancer, down, release.Fail, failed, "Deployment/shop has no ready pod"},
		"a load balancer, never ready":       {balancer, balancer, down, release.Fail, failed, "Deployment/shop has no ready pod"},
		"nothing listens, never ready":       {refusing, refusing, down, release.Fail, failed, "Deployment/shop has no ready pod"},
		"nothing listens, one container is":  {refusing, refusing, [][]release.PodImage{append(pod(false), completed)}, release.Fail, failed, "Deployment/shop has no ready pod"},
		"nothing listens, pods were deleted": {refusing, refusing, gone, release.Fail, failed, "Deployment/shop has no ready pod"},
		"nothing listens, no node":           {refusing, refusing, [][]release.PodImage{pod(true), {nodeless}}, release.Inconclusive, unmarked, `no node takes pod "b" of Deployment/shop`},
		"no node for what replaces the old":  {refusing, refusing, [][]release.PodImage{pod(true), {old, nodeless}}, release.Inconclusive, unmarked, `no node takes pod "b"`},
		"no node for one, another is down":   {refusing, refusing, [][]release.PodImage{pod(true), append(pod(false), nodeless)}, release.Fail, failed, "Deployment/shop has no ready pod"},
		"nothing listens, ready":             {refusing, refusing, up, release.Inconclusive, unmarked, "although pods are ready"},
		"a load balancer, ready":             {answerFrom(commit), balancer, up, release.Inconclusive, unmarked, "although pods are ready"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{now: begun, live: 4, revision: commit.String(), pods: test.pods, answer: sequence(begun, step{test.first, 2 * time.Second}, step{test.then, time.Hour})}
			result, err := fake.run(t, "--environment", "staging", "--image", image(t).String(), "--consecutive", "5", "--timeout", "60s")
			if result.Verdict != test.want || !strings.Contains(fmt.Sprint(err), test.reason) {
				t.Errorf("got %q, %v; want %q, %q", result.Verdict, err, test.want, test.reason)
			}
			if diff := cmp.Diff(test.marked, fake.marked); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestUnreachableRoundsKeepWrongAnswers, and without a cluster a service that answered before must not just vanish.
func TestUnreachableRoundsKeepWrongAnswers(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	wrong := release.Answer{Stage: release.StageCheck, Status: 500, Commit: commit.String(), Wrong: []string{"status: 500, want 200"}}
	refusing := release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}}
	right := answerFrom(commit)
	for name, test := range map[string]struct {
		steps   []step
		want    release.Verdict
		reason  string
		seconds [2]float64 // between which the verdict comes
	}{
		"wrong in turns, beyond the patience": {[]step{{wrong, 10 * time.Second}, {refusing, 20 * time.Second}}, release.Fail, "status: 500", [2]float64{35, 37}},
		"wrong once, then never reached":      {[]step{{wrong, 5 * time.Second}, {refusing, time.Hour}}, release.Fail, "status: 500", [2]float64{120, 122}},
		"right in between":                    {[]step{{wrong, 5 * time.Second}, {right, time.Second}, {refusing, 20 * time.Second}, {wrong, 12 * time.Second}, {right, time.Hour}}, release.Pass, "<nil>", [2]float64{57, 60}},
		"right, then gone":                    {[]step{{right, 2 * time.Second}, {refusing, time.Hour}}, release.Fail, "not for the last", [2]float64{120, 122}},
		"right, then gone at the end":         {[]step{{refusing, 100 * time.Second}, {right, 10 * time.Second}, {refusing, time.Hour}}, release.Inconclusive, "connection refused", [2]float64{120, 122}},
		"never reached":                       {[]step{{refusing, time.Hour}}, release.Inconclusive, "connection refused", [2]float64{120, 122}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{now: begun, answer: sequence(begun, test.steps...)}
			result, err := fake.run(t, "--url", "http://shop.example", "--expect-commit", commit.String(), "--consecutive", "20", "--timeout", "120s")
			if result.Verdict != test.want || !strings.Contains(fmt.Sprint(err), test.reason) || result.Report.Seconds < test.seconds[0] || result.Report.Seconds > test.seconds[1] {
				t.Errorf("got %q after %.1f s, %v; want %q, %q within %v", result.Verdict, result.Report.Seconds, err, test.want, test.reason, test.seconds)
			}
		})
	}
}

// TestPodsThatNoNodeTakes: a node may come, so the release is not judged.
func TestPodsThatNoNodeTakes(t *testing.T) {
	t.Parallel()
	refusing := release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}}
	nodeless, crashing := release.PodImage{Pod: "a", Unscheduled: true}, release.PodImage{Pod: "b"}
	for name, test := range map[string]struct {
		flags []string
		pods  []release.PodImage
		exit  int
		marks int
		text  string
	}{
		"the image is named":      {[]string{"--image", image(t).String()}, []release.PodImage{nodeless}, release.ExitFault, 0, `no node takes pod "a" of Deployment/shop`},
		"none is named":           {[]string{"--release", "shop"}, []release.PodImage{nodeless}, release.ExitFault, 0, `no node takes pod "a" of Deployment/shop`},
		"named, one has a node":   {[]string{"--image", image(t).String()}, []release.PodImage{nodeless, crashing}, release.ExitFailed, 0, "no pod of Deployment/shop has started its containers: a, b"},
		"no name, one has a node": {[]string{"--release", "shop"}, []release.PodImage{nodeless, crashing}, release.ExitFailed, 1, "Deployment/shop has no ready pod"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{live: 4, liveImage: image(t), revision: commit.String(), answers: []release.Answer{refusing}, pods: [][]release.PodImage{test.pods}}
			_, err := fake.run(t, append(test.flags, "--environment", "staging", "--timeout", "30s")...)
			if release.ExitCode(err) != test.exit || !strings.Contains(fmt.Sprint(err), test.text) || len(fake.marked) != test.marks || len(fake.recorded) > 0 {
				t.Errorf("got %v (exit %d), marked %v, recorded %d", err, release.ExitCode(err), fake.marked, len(fake.recorded))
			}
		})
	}
}
