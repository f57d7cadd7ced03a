package smoke_test

import (
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// TestOldPodsThatDrain: a load balancer may send new connections to a pod for minutes after its deletion began.
func TestOldPodsThatDrain(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	draining := answerFrom(olderCommit)
	draining.Stage, draining.Status, draining.Wrong = release.StageCheck, 503, []string{"status: 503, want 200"}
	broken := release.Answer{Stage: release.StageCheck, Status: 500, Commit: commit.String(), Wrong: []string{"status: 500, want 200"}}
	refusing := release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}}
	flags := []string{"--environment", "staging", "--image", image(t).String(), "--timeout", "4m"}
	for name, test := range map[string]struct {
		terminating time.Duration // until when the old pod is being deleted
		old         time.Duration // until when the second address leads to the old pod
		answers     release.Answer
		inside      release.Commit // that the new pod names
		want        release.Verdict
		from, to    float64 // seconds that the rounds take
	}{
		"then right":                           {2 * time.Minute, 2 * time.Minute, answerFrom(olderCommit), commit, release.Pass, 120, 130},
		"its readiness probe says so":          {2 * time.Minute, 2 * time.Minute, draining, commit, release.Pass, 120, 130},
		"it is not reached any more":           {2 * time.Minute, 2 * time.Minute, refusing, commit, release.Pass, 120, 130},
		"gone, and another pod answers":        {time.Minute, time.Hour, answerFrom(olderCommit), commit, release.Fail, 74, 80},
		"no pod is being deleted":              {0, time.Hour, answerFrom(olderCommit), commit, release.Fail, 14, 17},
		"the new commit answers wrongly":       {2 * time.Minute, 2 * time.Minute, broken, commit, release.Fail, 14, 17},
		"the new pod names another commit too": {2 * time.Minute, 2 * time.Minute, answerFrom(olderCommit), olderCommit, release.Fail, 14, 17},
		"until the time is up":                 {time.Hour, time.Hour, answerFrom(olderCommit), commit, release.Inconclusive, 235, 245},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fake *fakeDeps
			pod := backendPod("new")
			fake = &fakeDeps{now: begun, revision: commit.String(), addresses: []string{"192.0.2.1", "192.0.2.2"}, live: 1,
				pods: [][]release.PodImage{{{Pod: "new", Digest: image(t).Digest, Ready: true}}},
				backends: func() release.Backends {
					workload := release.RunningWorkload{Object: release.Object{Kind: "Deployment", Name: "shop"}, WantsPods: true, Pods: []release.PodImage{{Pod: "new", Ready: true}}}
					if fake.now.Sub(begun) < test.terminating {
						workload.Terminating = []string{"old"}
					}
					return release.Backends{Pods: []release.BackendPod{pod}, Workloads: []release.RunningWorkload{workload}, Services: []release.BackendService{backendService("shop", "", "new")}}
				},
				answer: func(now time.Time, address string) release.Answer {
					switch {
					case address == "192.0.2.2" && now.Sub(begun) < test.old:
						return test.answers
					case address == "192.0.2.1":
						return answerFrom(commit)
					}
					return answerFrom(test.inside)
				}}
			result, err := fake.run(t, flags...)
			wantMarks := map[release.Verdict]int{release.Pass: 1, release.Fail: 1}[test.want]
			if result.Verdict != test.want || len(fake.recorded) != wantMarks || len(fake.marked) != wantMarks {
				t.Errorf("got %q, %v, recorded %d times, marked %v; want %q\n%s", result.Verdict, err, len(fake.recorded), fake.marked, test.want, result.Report.Reason)
			}
			if seconds := result.Report.Seconds; seconds < test.from || seconds > test.to {
				t.Errorf("the rounds take %.1f s, want %.0f to %.0f", seconds, test.from, test.to)
			}
		})
	}
}
