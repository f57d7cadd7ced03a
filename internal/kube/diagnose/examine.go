package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
)

// Pod is one pod with what is known about it.
type Pod struct {
	*core.Pod
	Events  []*core.Event // about it, oldest first
	History PodHistory    // of its containers
	// ExplainClaims explains the claims that the pod mounts; it returns nil if they have no known problem. It is called only if
	// the pod has no node.
	ExplainClaims func() *Finding
	OfJob         bool // a Job created it; the Job limits the number of attempts
	// Deadline is how long the pod may make no progress by its workload's own spec; 0 if that says nothing. What may pass with time counts as a
	// failure no earlier.
	Deadline time.Duration
	// ProvingTime is how long a container without a readiness probe must run to count as ready.
	ProvingTime time.Duration
	Leaving     time.Duration // LeavingTime of the namespace's pods, at Now
	Now         time.Time
}

// examination is the examination of one pod. It updates a copy of the pod's history.
type examination struct {
	Pod
	updated map[string]*ContainerHistory // by container; Pod.History is not changed
}

// newExamination copies the container histories, so that examining a pod does not change its Pod.History.
func (p Pod) newExamination() *examination {
	e := &examination{Pod: p, updated: map[string]*ContainerHistory{}}
	for name, history := range p.History {
		e.updated[name] = &history
	}
	return e
}

// historyOf returns the container's history in this examination, to be updated.
func (e *examination) historyOf(container string) *ContainerHistory {
	if e.updated[container] == nil {
		e.updated[container] = &ContainerHistory{}
	}
	return e.updated[container]
}

// updatedHistory returns Pod.History with the containers that this examination has updated.
func (e *examination) updatedHistory() PodHistory {
	updated := maps.Clone(e.History)
	if updated == nil {
		updated = PodHistory{}
	}
	for name, history := range e.updated {
		updated[name] = *history
	}
	return updated
}

// Examine finds what keeps a pod from being ready: first a waiting container, then the lack of a node, then volumes, then a
// container that runs and is not ready. found is nil if the pod is ready or has succeeded. history is the pod's history with this
// observation added.
func (p Pod) Examine() (found *Finding, history PodHistory) {
	e := p.newExamination()
	return e.examine(), e.updatedHistory()
}

// examine is Examine without the updated history. A finding without an object is about the pod. A Job limits its attempts itself:
// for its pods, time alone never makes crashing or not being ready a failure. If the Job's controller is deleting the pod, the
// finding is about the last run that failed by itself.
func (e *examination) examine() *Finding {
	statuses := slices.Concat(e.Status.InitContainerStatuses, e.Status.ContainerStatuses)
	e.recordReady(statuses)
	if phase := e.Status.Phase; phase == core.PodSucceeded || IsReady(e.Pod.Pod) && phase != core.PodFailed {
		return nil
	}
	found := e.firstProblem(statuses)
	if found.Object.Kind == "" {
		found.Object, found.UID = PodObject(e.Pod.Pod), e.UID
	}
	if mayPass(found) && e.Deadline > found.Grace {
		found.Grace = e.Deadline
		if found.Code == causes.Unschedulable && needsOtherNode(found.Message) {
			found.Message = Message(fmt.Sprintf("no node that exists takes it, which is waited for until progressDeadlineSeconds (%s): %s", text.Duration(e.Deadline), found.Message))
		}
	}
	if e.OfJob && e.DeletionTimestamp != nil {
		e.setKilled(&found, statuses)
	}
	if e.OfJob {
		switch found.Code {
		case causes.CrashLoop, causes.OutOfMemory, causes.NotReady, causes.NotAlive:
			found.Grace = GraceNever
		}
	}
	return &found
}

// mayPass reports whether time alone may end the problem: the container is still starting, or a node or a volume is still awaited.
func mayPass(found Finding) bool {
	switch found.Code {
	case causes.NotReady, causes.Unschedulable, causes.VolumePending:
		return found.Grace > GraceShort && !found.Hopeless
	}
	return false
}

// firstProblem returns why a pod is not ready. It looks in the order that Examine documents.
func (e *examination) firstProblem(statuses []core.ContainerStatus) Finding {
	if e.Status.Phase == core.PodFailed {
		return e.failedPod(statuses)
	}
	for _, status := range statuses {
		if found := e.waitingContainer(status); found != nil {
			return *found
		}
	}
	if e.Spec.NodeName == "" {
		if found := e.ExplainClaims(); found != nil {
			return *found
		}
	}
	if scheduled := podCondition(e.Pod.Pod, core.PodScheduled); scheduled != nil && scheduled.Status == core.ConditionFalse {
		return e.unscheduled(scheduled)
	}
	if found := e.sandboxNotReady(statuses); found != nil {
		return *found
	}
	return e.notReady(statuses)
}

// recordReady resets the history of a container that is ready, because only later failures count against it.
func (e *examination) recordReady(statuses []core.ContainerStatus) {
	for _, status := range statuses {
		if history := e.historyOf(status.Name); status.Ready && e.remainingProvingTime(status) <= 0 {
			*history = ContainerHistory{RunsWhenReady: EndedRuns(status), RunningSince: history.RunningSince, Run: history.Run}
		}
	}
}

// waitingContainer explains a container whose reason for waiting is a known problem; nil for any other container.
func (e *examination) waitingContainer(status core.ContainerStatus) *Finding {
	waiting := status.State.Waiting
	if waiting == nil {
		return nil
	}
	if waiting.Reason == "CrashLoopBackOff" {
		found := e.crashLoop(status)
		return &found
	}
	cause, known := waitingCauseOf(waiting.Reason)
	if !known {
		return nil
	}
	found := Finding{Container: status.Name, Reason: waiting.Reason, Message: Message(waiting.Message), Runs: EndedRuns(status), Started: LastTermination(status) != nil}
	history := e.historyOf(status.Name)
	history.recordPull(&found)
	cause.classify(&found, history)
	if isPullFailure(waiting.Reason) && history.FailedPulls < pullAttempts && e.lacksPullSecret() {
		found.Grace = GraceNever
	}
	return &found
}

// lacksPullSecret reports whether the kubelet has tried to pull without a Secret that the pod names for that: the registry's refusal is about that Secret,
// which an operator may be about to create. Source: k8s.io/kubernetes, pkg/kubelet/events/event.go.
func (e *examination) lacksPullSecret() bool {
	return slices.ContainsFunc(e.Events, func(event *core.Event) bool { return event.Reason == "FailedToRetrieveImagePullSecret" })
}

// notReady explains a pod that has its node and volumes: by the first container with a known cause, or by the first that is not
// ready, or by the pod's own Ready condition.
func (e *examination) notReady(statuses []core.ContainerStatus) Finding {
	var first *Finding
	for _, status := range statuses {
		var found Finding
		switch state := status.State; {
		case state.Running != nil && !status.Ready:
			found = e.unreadyContainer(status)
		case state.Terminated != nil && state.Terminated.ExitCode != 0:
			found = Finding{Container: status.Name, Reason: state.Terminated.Reason, Message: terminationMessage(state.Terminated), Grace: GraceNever, Started: true}
			e.explainByLastRun(&found, status)
		case state.Waiting != nil && !status.Ready:
			found = Finding{Container: status.Name, Reason: state.Waiting.Reason, Message: Message(state.Waiting.Message), Grace: GraceNever}
		default:
			continue
		}
		if found.Code != "" {
			return found
		}
		if first == nil {
			first = &found
		}
	}
	if first != nil {
		return *first
	}
	found := Finding{Reason: "NotReady", Grace: GraceNever}
	if ready := podCondition(e.Pod.Pod, core.PodReady); ready != nil {
		found.Message = Message(ready.Message)
	}
	return found
}

// SiblingStarting reports whether another container of the pod runs, is not ready, and has no known problem.
func SiblingStarting(pod *core.Pod, container string) bool {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name != container && status.State.Running != nil && !status.Ready && EndedRuns(status) < LoopRuns {
			return true
		}
	}
	return false
}

// containerSpec returns the specification of a container or init container; nil if the pod has no container of that name.
func containerSpec(pod Pod, name string) *core.Container {
	for _, list := range [][]core.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func isInitContainer(pod Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c core.Container) bool { return c.Name == name })
}

// isSidecar reports whether an init container keeps running beside the others
// (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers).
func isSidecar(container *core.Container) bool {
	return container.RestartPolicy != nil && *container.RestartPolicy == core.ContainerRestartPolicyAlways
}

// IsReady reports whether the pod has condition Ready.
func IsReady(pod *core.Pod) bool {
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
