package diagnose

import (
	"time"

	core "k8s.io/api/core/v1"
)

// Unproven is a container without a readiness probe that has not run for long enough to count as ready.
type Unproven struct {
	Container string
	Left      time.Duration // until it has
}

// Unproven lists the containers of a pod that have not run for its ProvingTime yet, in their order. history is the pod's history
// with this observation added.
func (p Pod) Unproven() (unproven []Unproven, history PodHistory) {
	e := p.examination()
	for _, status := range p.Status.ContainerStatuses {
		if left := e.provingLeft(status); left > 0 && p.Status.Phase != core.PodSucceeded {
			unproven = append(unproven, Unproven{status.Name, left})
		}
	}
	return unproven, e.newHistory()
}

// provingLeft is for how long a container must run on to count as ready; 0 or less if it does. One with a readiness probe does
// as soon as the probe passes.
func (e *examination) provingLeft(status core.ContainerStatus) time.Duration {
	if spec := containerSpec(e.Pod, status.Name); spec == nil || spec.ReadinessProbe != nil {
		return 0
	}
	if status.State.Running == nil {
		return time.Duration(min(1, EndedRuns(status))) * e.ProvingTime
	}
	history := e.historyOf(status.Name)
	if history.RunningSince.IsZero() || history.Run != status.RestartCount {
		history.RunningSince, history.Run = e.Now, status.RestartCount
	}
	// The kubelet's time has whole seconds and comes from another clock; ours begins with the first observation.
	return e.ProvingTime - max(e.Now.Sub(history.RunningSince), e.Now.Sub(status.State.Running.StartedAt.Time)-time.Second)
}
