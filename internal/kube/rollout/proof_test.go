package rollout

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWatchRequiresProof: a container that no readiness probe looks after is ready for Kubernetes the moment it runs.
func TestWatchRequiresProof(t *testing.T) {
	t.Parallel()
	const scaled = 700 * time.Millisecond
	begun := func(name string, at time.Time, probe *core.Probe) *core.Pod {
		p := pod(name, 2)
		p.Spec.Containers = []core.Container{{Name: "app", ReadinessProbe: probe}}
		p.Status.ContainerStatuses[0].State.Running.StartedAt = meta.NewTime(at)
		return p
	}
	tests := map[string]struct {
		pod   *core.Pod
		waits bool
	}{
		"just begun":                 {begun("new", time.Now().Add(time.Hour), nil), true}, // by a clock that is ahead
		"just begun, a clock behind": {begun("new", time.Now().Add(-10*time.Second), nil), true},
		"running for long":           {begun("new", time.Now().Add(-2*time.Hour), nil), false},
		"just begun, and probed":     {begun("new", time.Now(), &core.Probe{}), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(replicaSet(2))
			s.Put(test.pod)
			s.Put(deployment(2, 1, 1, 1))
			watcher := s.watcher()
			proving := scaled
			if !test.waits {
				proving = time.Hour // a wait would outlast the test
			}
			watcher.grace = func(time.Duration) time.Duration { return proving }
			began := time.Now()
			if _, err := observe(t, watcher, ofDeployment).rest(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); test.waits && took < scaled {
				t.Errorf("ready after %s, before it was proved for %s", took, scaled)
			}
		})
	}
}

// TestWatchIgnoresARejectedPod: a pod that a node rejects fails without ever having a container, and is left by the ReplicaSet that
// replaces it.
func TestWatchIgnoresARejectedPod(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	running, rejected := pod("new", 2), pod("rejected", 2)
	running.Spec.Containers = []core.Container{{Name: "app"}}
	rejected.Spec.Containers = running.Spec.Containers
	rejected.Status = core.PodStatus{Phase: core.PodFailed, Reason: "OutOfcpu"}
	s.Put(replicaSet(2))
	s.Put(rejected)
	s.Put(running)
	s.Put(deployment(2, 1, 1, 1))
	if _, err := observe(t, s.watcher(), ofDeployment).rest(); err != nil {
		t.Error(err)
	}
}

// TestWatchReadsPodsBeforeReady: a Deployment's status may be read before that of its pods, which have proved nothing by then.
func TestWatchReadsPodsBeforeReady(t *testing.T) {
	t.Parallel()
	for name, state := range map[string][]core.ContainerStatus{
		"no status": nil,
		"waiting":   {{Name: "app", State: core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "ContainerCreating"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			running := pod("new", 2)
			running.Spec.Containers = []core.Container{{Name: "app"}}
			behind := running.DeepCopy()
			behind.Status.ContainerStatuses = state
			s.Put(replicaSet(2))
			s.Put(behind)
			s.Put(deployment(2, 1, 1, 1))
			r := observe(t, s.watcher(), ofDeployment)
			r.until("not ready yet", func(step release.RolloutStep) bool {
				return !step.Done && strings.Contains(step.Message, "readiness probe")
			})
			s.Put(running)
			if _, err := r.rest(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWatchCountsCrashesOfUnprovenContainers: that it ran for a moment, and was ready by that, does not make its crashes undone.
func TestWatchCountsCrashesOfUnprovenContainers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(replicaSet(2))
	first := pod("new", 2)
	first.Spec.Containers = []core.Container{{Name: "app"}}
	first.Status.ContainerStatuses[0].State.Running.StartedAt = meta.Now()
	s.Put(first)
	s.Put(deployment(2, 1, 1, 1))
	watcher := s.watcher()
	watcher.grace = func(limit time.Duration) time.Duration {
		if limit == diagnose.ProvingTime {
			return time.Hour
		}
		return 0
	}
	r := observe(t, watcher, ofDeployment)
	r.until("the first run", func(step release.RolloutStep) bool { return step.Message != "" })
	again := first.DeepCopy()
	again.Status.ContainerStatuses[0].RestartCount = 1
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated = &core.ContainerStateTerminated{ExitCode: 3}
	s.Put(again)
	s.Put(crashes(again))
	s.Put(deployment(2, 1, 1, 0))
	_, err := r.rest()
	var failed *release.Failure
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	if got := diagnosisOf(t, err); got.Code != causes.CrashLoop {
		t.Errorf("got %+v", got)
	}
}

// TestASidecarMustKeepRunning: Kubernetes starts the containers once a sidecar without a startup probe runs, and counts it as ready then, even
// if it ends right away.
func TestASidecarMustKeepRunning(t *testing.T) {
	t.Parallel()
	always := core.ContainerRestartPolicyAlways
	running := core.ContainerState{Running: &core.ContainerStateRunning{}}
	ended := core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: 1}}
	for name, test := range map[string]struct {
		side   core.Container
		state  core.ContainerState
		waits  bool
		proves bool // once ProvingTime has passed
	}{
		"that runs":              {core.Container{RestartPolicy: &always}, running, true, true},
		"that has ended":         {core.Container{RestartPolicy: &always}, ended, true, false},
		"that has a probe":       {core.Container{RestartPolicy: &always, ReadinessProbe: &core.Probe{}}, running, false, true},
		"that is none, and done": {core.Container{}, core.ContainerState{Terminated: &core.ContainerStateTerminated{}}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofDeployment}, func(s *stage) {
				p := pod("new", 2)
				test.side.Name = "side"
				p.Spec.InitContainers = []core.Container{test.side}
				p.Spec.Containers = []core.Container{{Name: "app", ReadinessProbe: &core.Probe{}}}
				if test.state.Running != nil {
					test.state.Running.StartedAt = meta.Now()
				}
				p.Status.InitContainerStatuses = []core.ContainerStatus{{Name: "side", Ready: test.state.Running != nil, State: test.state}}
				s.Put(replicaSet(2), p, deployment(2, 1, 1, 1))
				if waits := len(s.evaluate().pending) > 0; waits != test.waits {
					t.Errorf("at once: waits %t, want %t", waits, test.waits)
				}
				time.Sleep(diagnose.ProvingTime + time.Second)
				if proves := len(s.evaluate().pending) == 0; proves != test.proves {
					t.Errorf("later: ready %t, want %t", proves, test.proves)
				}
			})
		})
	}
}
