package kube

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// loopRuns is how many runs must have ended, none of them ready, before a crash is a loop. The kubelet begins to pause
// (CrashLoopBackOff) after the second.
const loopRuns = 2

// ended is how many runs of a container have ended.
func ended(status core.ContainerStatus) int32 {
	runs := status.RestartCount
	if status.State.Terminated != nil || status.State.Waiting != nil && status.LastTerminationState.Terminated != nil {
		runs++
	}
	return runs
}

// lastEnd is how the last run that ended did so, nil if none has.
func lastEnd(status core.ContainerStatus) *core.ContainerStateTerminated {
	if status.State.Terminated != nil {
		return status.State.Terminated
	}
	return status.LastTerminationState.Terminated
}

// crashed is a container that the kubelet does not start again at once. A Job has its own number of tries, so that its
// crashes count when the Job fails.
func (v view) crashed(status core.ContainerStatus) finding {
	seen, runs := v.past(status.Name), ended(status)
	found := finding{container: status.Name, reason: "CrashLoopBackOff", code: causes.CrashLoop, bears: never, dependent: true, runs: runs, started: true}
	if status.State.Waiting != nil {
		found.message = wording(status.State.Waiting.Message)
	}
	last := lastEnd(status)
	if last != nil {
		found.message = ending(last)
	}
	looping := runs-seen.ready >= loopRuns
	if looping && seen.loops.IsZero() {
		seen.loops = time.Now()
	}
	found.since = seen.loops
	switch killed := v.killed(status.Name); {
	case last != nil && (last.Reason == "StartError" || last.Reason == "ContainerCannotRun"):
		// The runtime could not start it: containerd, internal/cri/server, errorStartReason.
		found.code, found.dependent, found.started = causes.ContainerNotStarted, false, false
		found.reason, found.message = last.Reason, wording(last.Message)
		if unstartable.MatchString(found.message) {
			found.bears = 0
		}
	case last != nil && last.Reason == reasonOutOfMemory:
		v.outOfMemory(&found)
	case killed != "":
		found.code, found.message = causes.NotAlive, killed
	}
	if looping && !v.job {
		found.bears = 0
	}
	return found
}

// reasonOutOfMemory is how container runtimes say that the kernel ended a container for want of memory.
const reasonOutOfMemory = "OOMKilled"

func (v view) outOfMemory(found *finding) {
	found.code, found.reason, found.dependent = causes.OutOfMemory, reasonOutOfMemory, false
	if limit := v.memoryLimit(found.container); limit != "" {
		found.message += fmt.Sprintf("; its memory limit is %s", limit)
	} else {
		found.message += "; it has no memory limit of its own"
	}
}

func (v view) memoryLimit(container string) string {
	spec := v.spec(container)
	if spec == nil {
		return ""
	}
	if limit, found := spec.Resources.Limits[core.ResourceMemory]; found {
		return limit.String()
	}
	return ""
}

// failed is a pod that is not started again.
func (v view) failed(statuses []core.ContainerStatus) finding {
	found := finding{reason: "PodFailed", message: wording(v.pod.Status.Reason + " " + v.pod.Status.Message), bears: never}
	for _, status := range statuses {
		last := status.State.Terminated
		if last == nil || last.ExitCode == 0 {
			continue
		}
		found.container, found.started, found.message, found.runs = status.Name, true, ending(last), ended(status)
		switch last.Reason {
		case reasonOutOfMemory:
			v.outOfMemory(&found)
		case "StartError", "ContainerCannotRun":
			found.code, found.started, found.reason, found.message = causes.ContainerNotStarted, false, last.Reason, wording(last.Message)
		}
		break
	}
	return found
}
