package diagnose

import (
	"cmp"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// LoopRuns is how many runs must have ended, none of them ready, before a crash counts as a loop. After the second, the kubelet
// pauses before each restart (CrashLoopBackOff).
const LoopRuns = 2

// EndedRuns returns how many runs of a container have ended.
func EndedRuns(status core.ContainerStatus) int32 {
	runs := status.RestartCount
	if status.State.Terminated != nil || status.State.Waiting != nil && status.LastTerminationState.Terminated != nil {
		runs++
	}
	return runs
}

// LastTermination returns how the container's last ended run terminated; nil if no run has ended.
func LastTermination(status core.ContainerStatus) *core.ContainerStateTerminated {
	if status.State.Terminated != nil {
		return status.State.Terminated
	}
	return status.LastTerminationState.Terminated
}

// Killed reports whether a container was ended by the deletion of its pod, not by an error of its own.
func Killed(pod *core.Pod, terminated *core.ContainerStateTerminated) bool {
	if pod.DeletionTimestamp == nil || terminated == nil {
		return false
	}
	began := pod.DeletionTimestamp.Time
	if grace := pod.DeletionGracePeriodSeconds; grace != nil {
		began = began.Add(-time.Duration(*grace) * time.Second)
	}
	if terminated.FinishedAt.Time.Equal(began) { // both times are in whole seconds
		return terminated.ExitCode == 128+15 || terminated.ExitCode == 128+9
	}
	return terminated.FinishedAt.After(began)
}

// setKilled changes the finding about a pod that a Job's controller deletes to the last run that failed by itself. When a Job fails,
// its controller deletes the attempts that are still running, and their exit codes do not show the cause.
func (e *examination) setKilled(found *Finding, statuses []core.ContainerStatus) {
	for _, status := range statuses {
		for _, last := range []*core.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
			if last != nil && last.ExitCode != 0 && !Killed(e.Pod.Pod, last) {
				found.Container, found.Started, found.Message, found.Runs = status.Name, true, terminationMessage(last), EndedRuns(status)
				return
			}
		}
	}
	found.Killed = true
}

// neverStarted reports whether a run ended because the runtime could not start it (containerd, internal/cri/server,
// errorStartReason).
func neverStarted(terminated *core.ContainerStateTerminated) bool {
	return terminated != nil && (terminated.Reason == "StartError" || terminated.Reason == "ContainerCannotRun")
}

// crashLoop explains a container in CrashLoopBackOff. For a Job's pod it finds no failure: a Job limits its attempts itself.
func (e *examination) crashLoop(status core.ContainerStatus) Finding {
	history, runs := e.historyOf(status.Name), EndedRuns(status)
	found := Finding{Container: status.Name, Reason: "CrashLoopBackOff", Code: causes.CrashLoop, Grace: GraceNever, Dependent: true, Runs: runs, Started: true}
	if status.State.Waiting != nil {
		found.Message = Message(status.State.Waiting.Message)
	}
	last := LastTermination(status)
	if last != nil {
		found.Message = terminationMessage(last)
	}
	looping := runs-history.RunsWhenReady >= LoopRuns
	if looping && history.LoopingSince.IsZero() {
		history.LoopingSince = e.Now
	}
	found.Since = history.LoopingSince
	switch killed := e.killingProbeFailure(status.Name); {
	case neverStarted(last):
		found.Code, found.Dependent, found.Started = causes.ContainerNotStarted, false, false
		found.Reason, found.Message = last.Reason, Message(last.Message)
		if unstartable.MatchString(found.Message) {
			found.Grace = 0
		}
	case last != nil && last.Reason == reasonOutOfMemory:
		e.setOutOfMemory(&found)
	case killed != "":
		found.Code, found.Message = causes.NotAlive, killed
	}
	if looping && !e.OfJob && !e.mayTryAgain(found) {
		found.Grace = 0
	}
	return found
}

// mayTryAgain reports whether the finding is about an init container that crashes: many init containers wait for something by
// ending and being restarted. The limit is the workload's progressDeadlineSeconds.
func (e *examination) mayTryAgain(found Finding) bool {
	return found.Code == causes.CrashLoop && isInitContainer(e.Pod, found.Container) && !isSidecar(containerSpec(e.Pod, found.Container))
}

// explainByLastRun sets the cause of an init container that is running again to the error of its last run.
func (e *examination) explainByLastRun(found *Finding, status core.ContainerStatus) {
	last := LastTermination(status)
	if last == nil || last.ExitCode == 0 || e.OfJob || !isInitContainer(e.Pod, status.Name) || isSidecar(containerSpec(e.Pod, status.Name)) {
		return
	}
	found.Code, found.Reason, found.Message, found.Runs = causes.CrashLoop, cmp.Or(last.Reason, found.Reason), terminationMessage(last), EndedRuns(status)
}

// reasonOutOfMemory is the reason that container runtimes report when the kernel killed a container for exceeding its memory.
const reasonOutOfMemory = "OOMKilled"

// setOutOfMemory turns a finding into one about the container's memory. It is not Dependent: no other object of the release can
// be its cause.
func (e *examination) setOutOfMemory(found *Finding) {
	found.Code, found.Reason, found.Dependent = causes.OutOfMemory, reasonOutOfMemory, false
	if limit := e.memoryLimit(found.Container); limit != "" {
		found.Message += fmt.Sprintf("; its memory limit is %s", limit)
	} else {
		found.Message += "; it has no memory limit of its own"
	}
}

// memoryLimit returns the memory limit of a container as text, "" if it has none.
func (e *examination) memoryLimit(container string) string {
	spec := containerSpec(e.Pod, container)
	if spec == nil {
		return ""
	}
	if limit, found := spec.Resources.Limits[core.ResourceMemory]; found {
		return limit.String()
	}
	return ""
}

// failedPod explains a pod in phase Failed, which is not started again, by the first container that ended with an error.
func (e *examination) failedPod(statuses []core.ContainerStatus) Finding {
	found := Finding{Reason: "PodFailed", Message: Message(e.Pod.Status.Reason + " " + e.Pod.Status.Message), Grace: GraceNever}
	for _, status := range statuses {
		last := status.State.Terminated
		if last == nil || last.ExitCode == 0 {
			continue
		}
		found.Container, found.Started, found.Message, found.Runs = status.Name, true, terminationMessage(last), EndedRuns(status)
		switch {
		case last.Reason == reasonOutOfMemory:
			e.setOutOfMemory(&found)
		case neverStarted(last):
			found.Code, found.Started, found.Reason, found.Message = causes.ContainerNotStarted, false, last.Reason, Message(last.Message)
		}
		break
	}
	return found
}
