package diagnose

import (
	"time"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
)

// Unproven is a container without a readiness probe that has not run for long enough to count as ready.
type Unproven struct {
	Container string
	Left      time.Duration // how long it still has to run
}

// Unproven lists, in their order, the sidecars and containers of a pod that have not yet run for ProvingTime. history is the pod's
// updated history.
func (p Pod) Unproven() (unproven []Unproven, history PodHistory) {
	e := p.newExamination()
	if p.Status.Phase == core.PodSucceeded || p.Status.Phase == core.PodFailed { // a ReplicaSet creates another pod in place of a failed one
		return nil, e.updatedHistory()
	}
	prove := func(status core.ContainerStatus) {
		if left := e.remainingProvingTime(status); left > 0 {
			unproven = append(unproven, Unproven{status.Name, left})
		}
	}
	for i := range p.Spec.InitContainers {
		if sidecar := &p.Spec.InitContainers[i]; isSidecar(sidecar) {
			prove(containerStatus(p.Status.InitContainerStatuses, sidecar.Name))
		}
	}
	for i := range p.Spec.Containers {
		prove(containerStatus(p.Status.ContainerStatuses, p.Spec.Containers[i].Name))
	}
	return unproven, e.updatedHistory()
}

// remainingProvingTime returns how much longer a container must run to count as ready; 0 or less if it counts as ready. A
// container with a readiness probe counts as soon as the probe passes. A container that does not run, or has no status yet, must
// run for the whole ProvingTime: a workload's status may be read before its pods'.
func (e *examination) remainingProvingTime(status core.ContainerStatus) time.Duration {
	if spec := containerSpec(e.Pod, status.Name); spec == nil || spec.ReadinessProbe != nil {
		return 0
	}
	if status.State.Running == nil {
		return e.ProvingTime
	}
	history := e.historyOf(status.Name)
	if history.RunningSince.IsZero() || history.Run != status.RestartCount {
		history.RunningSince, history.Run = e.Now, status.RestartCount
	}
	// The kubelet's time comes from another clock. Our own time starts at the first observation.
	return e.ProvingTime - max(e.Now.Sub(history.RunningSince), e.Now.Sub(status.State.Running.StartedAt.Time)-release.ClockSkew)
}

// containerStatus returns the status of a container, or a status without a state if the kubelet has not reported one.
func containerStatus(statuses []core.ContainerStatus, name string) core.ContainerStatus {
	for _, status := range statuses {
		if status.Name == name {
			return status
		}
	}
	return core.ContainerStatus{Name: name}
}
