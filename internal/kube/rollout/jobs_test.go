package rollout

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ended is an event about the Job's end.
func ended(kind, reason, message string) *core.Event {
	e := eventAbout("e-"+strings.ToLower(reason), job("", "").ObjectMeta, "", kind, reason, message)
	e.InvolvedObject.Kind = "Job"
	return e
}

// ofJob makes a pod one of the Job's.
func ofJob(p *core.Pod) *core.Pod {
	p.OwnerReferences[0].UID, p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "uid-migrate", "Job", "migrate"
	return p
}

// exited is a pod of the Job that ended with an exit code at a time.
func exited(name string, code int32, at time.Time) *core.Pod {
	p := ofJob(pod(name, 1))
	p.CreationTimestamp = meta.NewTime(at.Add(-time.Minute))
	p.Status.Phase, p.Status.Conditions = core.PodFailed, nil
	if code == 0 {
		p.Status.Phase = core.PodSucceeded
	}
	p.Status.ContainerStatuses[0].Ready = false
	p.Status.ContainerStatuses[0].State = core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: code, Reason: "Error", FinishedAt: meta.NewTime(at)}}
	return p
}

// deletedAt makes a pod one that is being deleted since a time.
func deletedAt(p *core.Pod, at time.Time) *core.Pod {
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds, p.Finalizers = ptr(meta.NewTime(at.Add(30*time.Second))), ptr(int64(30)), []string{"batch.kubernetes.io/job-tracking"}
	return p
}

// TestDeletedJob: a Job may be deleted as soon as it has ended (ttlSecondsAfterFinished), before anybody has seen that it has.
func TestDeletedJob(t *testing.T) {
	t.Parallel()
	audited := ended("Warning", "PolicyViolation", "policy require-labels/check fail: validation error")
	audited.Name, audited.LastTimestamp = "audit", meta.NewTime(audited.LastTimestamp.Add(time.Second))
	tests := map[string]struct {
		there  []runtime.Object // besides the Job
		reason string           // of the failure, "" if there is none
		before map[string]string
	}{
		"after it completed":               {[]runtime.Object{ended("Normal", "Completed", "Job completed")}, "", nil},
		"after it failed":                  {[]runtime.Object{ended("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit")}, "JobFailed", nil},
		"after its pod succeeded":          {[]runtime.Object{exited("migrate-1", 0, time.Now())}, "", nil},
		"after it completed, audited":      {[]runtime.Object{ended("Normal", "Completed", "Job completed"), audited}, "", nil},
		"after its pod succeeded, audited": {[]runtime.Object{exited("migrate-1", 0, time.Now()), audited}, "", nil},
		"by somebody, audited":             {[]runtime.Object{audited}, "Deleted", nil},
		"by somebody":                      {nil, "Deleted", nil},
		"by somebody, while its pod runs":  {[]runtime.Object{ofJob(pod("migrate-1", 1))}, "Deleted", nil},
	}
	for name, test := range tests {
		for _, hook := range []bool{true, false} {
			for _, seen := range []bool{true, false} {
				t.Run(name+map[bool]string{true: ", hook", false: ""}[hook]+map[bool]string{true: ", seen", false: ", never seen"}[seen], func(t *testing.T) {
					t.Parallel()
					play(t, hook, []release.Object{ofJobs}, func(s *stage) {
						if seen {
							s.Put(job("", ""))
							s.evaluate()
						}
						s.Put(test.there...)
						if seen {
							s.evaluate()
							s.remove(job("", ""))
						}
						s.evaluate()
						time.Sleep(evidenceTime)
						s.evaluate()
						switch late := s.last.failure; {
						case test.reason == "" && (late != nil || len(s.last.pending) > 0):
							t.Errorf("not done: %+v", s.last.pending)
						case test.reason != "" && (late == nil || late.givenUp != test.reason):
							t.Errorf("got %+v, want %s", late, test.reason)
						}
					})
				})
			}
		}
	}
}

// TestEventsOfAnEarlierJob: what a Job of the same name did before the release was applied says nothing about the one that is gone now,
// unless there was no other.
func TestEventsOfAnEarlierJob(t *testing.T) {
	t.Parallel()
	for _, hook := range []bool{true, false} {
		play(t, hook, []release.Object{ofJobs}, func(s *stage) {
			s.r.stores.before = release.Baseline{Seen: map[string]string{"uid-migrate": ""}}
			s.Put(ended("Normal", "Completed", "Job completed"))
			if s.evaluate(); len(s.last.pending) == 0 {
				t.Error("done by the events of an earlier Job")
			}
			time.Sleep(evidenceTime)
			if s.evaluate(); (s.last.failure != nil) != hook {
				t.Errorf("hook %t: %+v", hook, s.last.failure)
			}
		})
	}
}

// TestTheFailedAttemptIsReported: the controller kills the attempts that are running when a Job has failed; their exit code is its doing.
func TestTheFailedAttemptIsReported(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	killed := deletedAt(exited("migrate-2", 143, began.Add(time.Second)), began)
	inPlace := deletedAt(exited("migrate-1", 137, began.Add(time.Second)), began)
	inPlace.Status.ContainerStatuses[0].LastTerminationState.Terminated = &core.ContainerStateTerminated{ExitCode: 3, Reason: "Error", FinishedAt: meta.NewTime(began.Add(-time.Second))}
	inPlace.Status.ContainerStatuses[0].RestartCount = 1
	tests := map[string]struct {
		pods    []*core.Pod
		message string
	}{
		"another pod":                {[]*core.Pod{exited("migrate-1", 3, began), killed}, "ended with exit code 3"},
		"the same pod, run again":    {[]*core.Pod{inPlace}, "ended with exit code 3"},
		"only one that was killed":   {[]*core.Pod{killed}, "ended with exit code 143"},
		"deleted after it had ended": {[]*core.Pod{deletedAt(exited("migrate-1", 3, began.Add(-time.Second)), began)}, "ended with exit code 3"},
		"deleted in the same second": {[]*core.Pod{deletedAt(exited("migrate-1", 3, began), began)}, "ended with exit code 3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofJobs}, func(s *stage) {
				s.Put(job("", ""))
				for _, p := range test.pods {
					s.Put(p)
				}
				s.evaluate()
				s.Put(job(batch.JobFailed, "BackoffLimitExceeded"))
				s.evaluate()
				time.Sleep(evidenceTime)
				s.fails("the Job has failed", causes.JobFailed)
				if s.last.failure != nil && s.last.failure.finding.Message != test.message {
					t.Errorf("told %q, want %q", s.last.failure.finding.Message, test.message)
				}
			})
		})
	}
}

// TestAnInitContainerMayTryAgain: it is not its exits that count but the deadline of its Deployment.
func TestAnInitContainerMayTryAgain(t *testing.T) {
	t.Parallel()
	crash := core.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		s.Put(deployment(2, 1, 1, 0), replicaSet(2))
		for runs := range int32(5) {
			s.Put(inInit(amend(unreadyPod(), loops(runs, crash))))
			s.fails("tried again", "")
			time.Sleep(time.Minute)
		}
		s.Put(lateDeployment())
		s.evaluate()
		time.Sleep(evidenceTime)
		s.fails("its Deployment is given up", causes.CrashLoop)
	})
}

// TestHookOutOfTime: a hook that is still running when its time is up.
func TestHookOutOfTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(job("", ""), ofJob(pod("migrate-8kd2q", 1)))
	_, err := outOfTime(func(ctx context.Context, report func(release.RolloutStep)) error {
		return s.watcher().WatchHook(ctx, space, []release.Object{ofJobs}, release.Baseline{}, report)
	}, func(release.RolloutStep) bool { return true })
	if got := diagnosisOf(t, err); got.Code != causes.HookFailed {
		t.Errorf("got %+v", got)
	}
}
