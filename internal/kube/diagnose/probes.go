package diagnose

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// Defaults of a probe's settings (k8s.io/api/core/v1, Probe).
const (
	defaultPeriod    = 10
	defaultThreshold = 3
)

// failureTime returns how long a probe must fail before the kubelet acts on it.
func failureTime(probe *core.Probe) time.Duration {
	period := max(cmp.Or(probe.PeriodSeconds, defaultPeriod), probe.TimeoutSeconds)
	return time.Duration(cmp.Or(probe.FailureThreshold, defaultThreshold)*period) * time.Second
}

func initialDelay(probe *core.Probe) time.Duration {
	return time.Duration(probe.InitialDelaySeconds) * time.Second
}

// readinessGrace returns how long a running container may be unready, counted from when it was first seen unready. A startup
// probe must have passed.
func readinessGrace(container *core.Container) time.Duration {
	probe := container.ReadinessProbe
	if probe == nil {
		return GraceNever
	}
	grace := initialDelay(probe) + readinessFactor*failureTime(probe)
	if container.StartupProbe != nil {
		return max(grace, GraceStarted)
	}
	grace = max(grace, GraceStart)
	if liveness := container.LivenessProbe; liveness != nil {
		grace = max(grace, initialDelay(liveness)+failureTime(liveness))
	}
	return grace
}

// unreadyContainer explains a container that runs and is not ready. The probe's result is in the kubelet's events
// (pkg/kubelet/prober).
func (e *examination) unreadyContainer(status core.ContainerStatus) Finding {
	found := Finding{Container: status.Name, Reason: "NotReady", Grace: GraceNever, Runs: EndedRuns(status), Started: true,
		Message: "running, but its readiness probe has not passed"}
	spec := containerSpec(e.Pod, status.Name)
	if isInitContainer(e.Pod, status.Name) && !isSidecar(spec) {
		found.Message = "the init container has not ended"
		e.explainByLastRun(&found, status)
		return found
	}
	if spec == nil {
		return found
	}
	starting := status.Started != nil && !*status.Started
	if starting {
		found.Message = "running, but its startup probe has not passed"
		if answer := e.lastProbeFailure(status.Name, "Startup"); answer != "" {
			found.Reason, found.Message = reasonUnhealthy, answer
		}
	} else if answer := e.lastProbeFailure(status.Name, "Readiness"); answer != "" {
		found.Reason, found.Message = reasonUnhealthy, answer
	}
	if killed := e.killingProbeFailure(status.Name); killed != "" && (starting || spec.StartupProbe == nil) {
		if e.killedByStartupProbe(status.Name) || found.Runs-e.historyOf(status.Name).RunsWhenReady >= LoopRuns {
			return e.notAlive(found, killed)
		}
	}
	switch {
	case lacksCommand(found.Message) && starting: // the kubelet counts no such failure, so that it never restarts the container
		found.Code, found.Grace = causes.NotAlive, GraceTransient
	case lacksCommand(found.Message):
		found.Code, found.Grace = causes.NotReady, GraceTransient
	case !starting && spec.ReadinessProbe != nil:
		found.Code, found.Grace, found.Dependent = causes.NotReady, readinessGrace(spec), true
	}
	return found
}

// noCommand matches what a runtime says of a command that it cannot execute in a container (runc, libcontainer, "exec: ").
var noCommand = regexp.MustCompile(`exec: "[^"]*": (?:executable file not found|stat [^:]*: no such file or directory|permission denied)|fork/exec [^:]*: no such file or directory`)

// lacksCommand reports whether a probe failed because the image does not have its command. Source: k8s.io/kubernetes, pkg/kubelet/prober/prober.go, runProbe.
func lacksCommand(answer string) bool {
	return strings.Contains(answer, " probe errored") && noCommand.MatchString(answer)
}

// notAlive sets the cause of a finding about a container that the kubelet kills because of its liveness or startup probe. It
// counts as a failure without grace, unless another object of the release may be the cause. Its start is when the container's
// history first shows the loop. A failed startup probe is final the first time: its settings are the pod's own limit for a start.
func (e *examination) notAlive(found Finding, message string) Finding {
	history := e.historyOf(found.Container)
	if history.LoopingSince.IsZero() {
		history.LoopingSince = e.Now
	}
	found.Code, found.Reason, found.Message, found.Since = causes.NotAlive, reasonUnhealthy, message, history.LoopingSince
	found.Dependent, found.Grace = true, 0
	return found
}

const reasonUnhealthy = "Unhealthy"

// killedByProbe matches the kubelet's event about a container that it kills because of a probe (pkg/kubelet/kuberuntime,
// computePodActions).
var killedByProbe = regexp.MustCompile(`failed (liveness|startup) probe`)

// killingProbeFailure returns the last failure of the probe that made the kubelet kill the container; "" if no probe did.
func (e *examination) killingProbeFailure(container string) string {
	for i := len(e.Events) - 1; i >= 0; i-- {
		event := e.Events[i]
		if event.Reason != "Killing" || !IsAboutContainer(event, container) {
			continue
		}
		if which := killedByProbe.FindStringSubmatch(event.Message); which != nil {
			return cmp.Or(e.lastProbeFailure(container, strings.ToUpper(which[1][:1])+which[1][1:]), Message(event.Message))
		}
	}
	return ""
}

// killedByStartupProbe reports whether an event says that the kubelet killed the container because of its startup probe.
func (e *examination) killedByStartupProbe(container string) bool {
	for _, event := range e.Events {
		which := killedByProbe.FindStringSubmatch(event.Message)
		if event.Reason == "Killing" && which != nil && which[1] == "startup" && IsAboutContainer(event, container) {
			return true
		}
	}
	return false
}

// lastProbeFailure returns the last failure of a probe, such as "Readiness probe failed: HTTP probe failed with statuscode: 500",
// or "" if none was reported.
func (e *examination) lastProbeFailure(container, probe string) string {
	for i := len(e.Events) - 1; i >= 0; i-- {
		event := e.Events[i]
		if event.Reason == reasonUnhealthy && IsAboutContainer(event, container) && strings.HasPrefix(event.Message, probe+" probe") {
			return Message(event.Message)
		}
	}
	return ""
}

// IsAboutContainer reports whether a pod's event is about the named container, as spec.containers{app}.
func IsAboutContainer(event *core.Event, container string) bool {
	return strings.HasSuffix(event.InvolvedObject.FieldPath, "{"+container+"}")
}
