package kube

import (
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// view is one pod with what is known around it.
type view struct {
	pod    *core.Pod
	events []*core.Event           // about it, oldest first
	claims func() *finding         // what is the matter with the claims that it mounts
	past   func(name string) *past // of a container of it
	job    bool                    // a Job made it, and counts its tries itself
	// proving is how long a container without a readiness probe must run to be taken for ready.
	proving time.Duration
}

// examine finds what keeps a pod from being ready: a waiting container first, then the node, then volumes, then a container
// that runs and is not ready. Nil if it is ready or done.
func (v view) examine() *finding {
	statuses := slices.Concat(v.pod.Status.InitContainerStatuses, v.pod.Status.ContainerStatuses)
	v.remember(statuses)
	if phase := v.pod.Status.Phase; phase == core.PodSucceeded || podReady(v.pod) && phase != core.PodFailed {
		return nil
	}
	found := v.find(statuses)
	if found.object.Kind == "" {
		found.object, found.uid = podObject(v.pod), v.pod.UID
	}
	if v.job {
		switch found.code {
		case causes.CrashLoop, causes.OutOfMemory, causes.NotReady, causes.NotAlive:
			found.bears = never
		}
	}
	return &found
}

func (v view) find(statuses []core.ContainerStatus) finding {
	if v.pod.Status.Phase == core.PodFailed {
		return v.failed(statuses)
	}
	for _, status := range statuses {
		if found := v.held(status); found != nil {
			return *found
		}
	}
	if v.pod.Spec.NodeName == "" {
		if claimed := v.claims(); claimed != nil {
			return *claimed
		}
	}
	if scheduled := podCondition(v.pod, core.PodScheduled); scheduled != nil && scheduled.Status == core.ConditionFalse {
		return v.unscheduled(scheduled)
	}
	if found := v.unmounted(); found != nil {
		return *found
	}
	return v.late(statuses)
}

// remember keeps when a container was ready: what it did before that says nothing against it.
func (v view) remember(statuses []core.ContainerStatus) {
	for _, status := range statuses {
		if seen := v.past(status.Name); status.Ready && v.proof(status) <= 0 {
			*seen = past{ready: ended(status), running: seen.running, run: seen.run}
		}
	}
}

// held is a container that waits for a reason which is known to be trouble.
func (v view) held(status core.ContainerStatus) *finding {
	waits := status.State.Waiting
	if waits == nil {
		return nil
	}
	if waits.Reason == "CrashLoopBackOff" {
		found := v.crashed(status)
		return &found
	}
	known, listed := causeOf(waits.Reason)
	if !listed {
		return nil
	}
	found := finding{container: status.Name, reason: waits.Reason, message: wording(waits.Message), runs: ended(status), started: lastEnd(status) != nil}
	seen := v.past(status.Name)
	seen.pulled(&found)
	known.weigh(&found, seen)
	return &found
}

// late is a pod that nothing is known to be wrong with but that it is not ready.
func (v view) late(statuses []core.ContainerStatus) finding {
	var first *finding
	for _, status := range statuses {
		var found finding
		switch state := status.State; {
		case state.Running != nil && !status.Ready:
			found = v.unready(status)
		case state.Terminated != nil && state.Terminated.ExitCode != 0:
			found = finding{container: status.Name, reason: state.Terminated.Reason, message: ending(state.Terminated), bears: never, started: true}
		case state.Waiting != nil && !status.Ready:
			found = finding{container: status.Name, reason: state.Waiting.Reason, message: wording(state.Waiting.Message), bears: never}
		default:
			continue
		}
		if found.code != "" {
			return found
		}
		if first == nil {
			first = &found
		}
	}
	if first != nil {
		return *first
	}
	found := finding{reason: "NotReady", bears: never}
	if ready := podCondition(v.pod, core.PodReady); ready != nil {
		found.message = wording(ready.Message)
	}
	return found
}

// spec is a container as the pod asks for it, nil if it has none of that name.
func (v view) spec(name string) *core.Container {
	for _, list := range [][]core.Container{v.pod.Spec.Containers, v.pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func (v view) initial(name string) bool {
	return slices.ContainsFunc(v.pod.Spec.InitContainers, func(c core.Container) bool { return c.Name == name })
}

// sidecar tells whether an init container is one that goes on running
// (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers).
func sidecar(container *core.Container) bool {
	return container.RestartPolicy != nil && *container.RestartPolicy == core.ContainerRestartPolicyAlways
}

func podReady(pod *core.Pod) bool {
	ready := podCondition(pod, core.PodReady)
	return ready != nil && ready.Status == core.ConditionTrue
}

func podCondition(pod *core.Pod, kind core.PodConditionType) *core.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}
