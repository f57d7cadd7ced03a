package rollout

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// hooked watches a hook while a test changes the cluster.
func hooked(t *testing.T, watcher *Watcher, objects ...release.Object) *watching {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	r := &watching{t: t, steps: make(chan release.RolloutStep, 1000), ended: make(chan error, 1)}
	go func() {
		r.ended <- watcher.WatchHook(ctx, space, objects, release.Baseline{}, func(step release.RolloutStep) { r.steps <- step })
		close(r.steps)
	}()
	return r
}

// hookPod is a Pod that is a hook itself.
func hookPod(phase core.PodPhase) *core.Pod {
	p := pod("seed", 1)
	p.OwnerReferences, p.Status.Phase = nil, phase
	return p
}

var ofSeed = release.Object{APIVersion: "v1", Kind: "Pod", Namespace: space, Name: "seed"}

func TestHookIsDoneWhenItHasEnded(t *testing.T) {
	t.Parallel()
	ended := hookPod(core.PodSucceeded)
	ended.Status.Conditions[0].Status = core.ConditionFalse
	suspended := job("", "")
	suspended.Spec.Suspend = ptr(true)
	tests := map[string]struct {
		object        release.Object
		before, after runtime.Object
	}{
		"a Job":                   {ofJobs, job("", ""), job(batch.JobComplete, "")},
		"a suspended Job":         {ofJobs, suspended, job(batch.JobComplete, "")},
		"a Pod that runs already": {ofSeed, hookPod(core.PodRunning), ended},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(test.before)
			r := hooked(t, s.watcher(), test.object, release.Object{APIVersion: "v1", Kind: "ConfigMap", Name: "c"}, ofDeployment)
			if step := r.until("the first", func(release.RolloutStep) bool { return true }); step.Done {
				t.Errorf("done before its end: %+v", step)
			}
			s.Put(test.after)
			steps, err := r.rest()
			if err != nil || !steps[len(steps)-1].Done {
				t.Errorf("got %+v, %v", steps, err)
			}
			if s.Count("watch /apis/apps/v1/namespaces/staging/deployments") > 0 {
				t.Error("what needs not end was watched")
			}
		})
	}
}

// TestAHookThatRunsIsNotSaidToBeStarting: how its container waited says nothing once it runs.
func TestAHookThatRunsIsNotSaidToBeStarting(t *testing.T) {
	t.Parallel()
	running := pod("migrate-8kd2q", 1)
	running.OwnerReferences[0].UID = "uid-migrate"
	s := newServer(t)
	s.Put(job("", ""))
	s.Put(waits(running, "ContainerCreating", ""))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	running.Status.ContainerStatuses = []core.ContainerStatus{{Name: "app", Ready: true, State: core.ContainerState{Running: &core.ContainerStateRunning{}}}}
	started := make(chan struct{})
	var once sync.Once
	go func() {
		<-started
		s.Put(running)
	}()
	err := s.watcher().WatchHook(ctx, space, []release.Object{ofJobs}, release.Baseline{}, func(release.RolloutStep) { once.Do(func() { close(started) }) })
	if err == nil || strings.Contains(err.Error(), "ContainerCreating") || !strings.Contains(err.Error(), "Job") {
		t.Errorf("got %v", err)
	}
}

func TestHookFailure(t *testing.T) {
	t.Parallel()
	failed := pod("migrate-8kd2q", 1)
	failed.OwnerReferences[0].UID = "uid-migrate"
	failed.Status.Phase, failed.Status.Conditions = core.PodFailed, nil
	failed.Status.ContainerStatuses[0].State = core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: 7, Reason: "Error"}}
	unpulled := waits(failed, "InvalidImageName", "couldn't parse image name")
	seed := hookPod(core.PodFailed)
	seed.Status.ContainerStatuses[0].State = core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}}
	spent := job(batch.JobFailed, "BackoffLimitExceeded")
	ofMigrate := release.Object{APIVersion: "v1", Kind: "Pod", Namespace: space, Name: "migrate-8kd2q"}
	tests := map[string]struct {
		object release.Object
		there  []runtime.Object
		want   release.Diagnosis
		looks  bool
	}{
		"a Job": {ofJobs, []runtime.Object{spent, failed}, release.Diagnosis{Code: causes.HookFailed, Object: ofMigrate, Container: "app", Reason: "PodFailed",
			Message: "ended with exit code 7", Advice: causes.HookFailed.Cause().Advice, Logs: []string{"no such table"}}, true},
		"a Job that cannot start": {ofJobs, []runtime.Object{job("", ""), unpulled}, release.Diagnosis{Code: causes.HookFailed, Object: ofMigrate, Container: "app",
			Reason: "InvalidImageName (OD-102)", Message: "couldn't parse image name", Advice: causes.ImageNameInvalid.Cause().Advice}, false},
		"a Pod": {ofSeed, []runtime.Object{seed}, release.Diagnosis{Code: causes.HookFailed, Object: ofSeed, Container: "app", Reason: "PodFailed",
			Message: "ended with exit code 3", Advice: causes.HookFailed.Cause().Advice, Logs: []string{"no such file"}}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.SetLog("migrate-8kd2q/app", "no such table\n")
			s.SetLog("seed/app", "no such file\n")
			s.Put(test.there...)
			_, err := hooked(t, s.hasty(), test.object).rest()
			if diff := cmp.Diff(test.want, diagnosisOf(t, err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if looks := causes.HookFailed.Cause().Example; test.looks && looks != err.Error() {
				t.Errorf("causes.All shows\n\t%s\nand it says\n\t%s", looks, err)
			}
		})
	}
}

// TestHookLogsOutliveThePod: a Job's controller deletes its running pods when the Job fails, and the logs go with them.
func TestHookLogsOutliveThePod(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	trying := crashes(pod("migrate-8kd2q", 1))
	trying.OwnerReferences[0].UID = "uid-migrate"
	s.SetLog("migrate-8kd2q/app?previous", "no such table\n")
	s.Put(job("", ""), trying)
	asked := make(chan struct{}, 100)
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/log") {
			asked <- struct{}{}
		}
		return 0
	})
	r := hooked(t, s.watcher(), ofJobs)
	<-asked
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/log") {
			return http.StatusNotFound
		}
		return 0
	})
	s.Remove(trying)
	s.Put(job(batch.JobFailed, "BackoffLimitExceeded"))
	_, err := r.rest()
	got := diagnosisOf(t, err)
	if got.Object.Name != trying.Name || len(got.Logs) != 1 || got.Logs[0] != "no such table" {
		t.Errorf("got %+v", got)
	}
}

// TestHookLogsAfterTheKubeletRemovedThem: the kubelet says in place of the log that it has been taken away; what was fetched before is shown.
func TestHookLogsAfterTheKubeletRemovedThem(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	trying := crashes(pod("migrate-8kd2q", 1))
	trying.OwnerReferences[0].UID = "uid-migrate"
	s.SetLog("migrate-8kd2q/app?previous", "no such table\n")
	s.Put(job("", ""), trying)
	var asked atomic.Int32
	first := make(chan struct{})
	s.Break(func(r *http.Request) int {
		if !strings.HasSuffix(r.URL.Path, "/log") {
			return 0
		}
		if asked.Add(1) == 1 {
			close(first)
		} else {
			for _, run := range []string{"", "?previous"} {
				s.SetLog("migrate-8kd2q/app"+run, kube.LogRemoved+"containerd://1460acc795d3\n")
			}
		}
		return 0
	})
	r := hooked(t, s.watcher(), ofJobs)
	<-first
	s.Put(job(batch.JobFailed, "BackoffLimitExceeded"))
	_, err := r.rest()
	if got := diagnosisOf(t, err); len(got.Logs) != 1 || got.Logs[0] != "no such table" || len(got.Previous) > 0 {
		t.Errorf("got %+v", got)
	}
}

func TestHookWithNothingToWaitFor(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if _, err := hooked(t, s.watcher(), release.Object{APIVersion: "v1", Kind: "ConfigMap", Name: "c"}).rest(); err != nil {
		t.Error(err)
	}
	if n := s.Count(""); n > 0 {
		t.Errorf("%d requests for nothing", n)
	}
}
