package kube

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

// What readiness is granted besides what the probe's own settings say.
const (
	// steadily is how many times what the kubelet takes to call a container unready it must have been so.
	steadily = 3
	// leastStart is what a container gets to start in that says nothing of how long it takes.
	leastStart = 30 * time.Second
	// leastReady is what one gets after its startup probe has passed.
	leastReady = 10 * time.Second
)

// failsFor is how long a probe fails until the kubelet takes it for failed.
func failsFor(probe *core.Probe) time.Duration {
	period := max(cmp.Or(probe.PeriodSeconds, defaultPeriod), probe.TimeoutSeconds)
	return time.Duration(cmp.Or(probe.FailureThreshold, defaultThreshold)*period) * time.Second
}

func delay(probe *core.Probe) time.Duration {
	return time.Duration(probe.InitialDelaySeconds) * time.Second
}

// readinessGrace is how long a container that runs, and has passed its startup probe if it has one, may be unready. Its clock
// begins when it is first seen so.
func readinessGrace(container *core.Container) time.Duration {
	probe := container.ReadinessProbe
	if probe == nil {
		return never
	}
	grace := delay(probe) + steadily*failsFor(probe)
	if container.StartupProbe != nil {
		return max(grace, leastReady)
	}
	grace = max(grace, leastStart)
	if alive := container.LivenessProbe; alive != nil {
		grace = max(grace, delay(alive)+failsFor(alive))
	}
	return grace
}

// unready is a container that runs and is not ready. The kubelet's events hold the probe's own answer (pkg/kubelet/prober).
func (v view) unready(status core.ContainerStatus) finding {
	found := finding{container: status.Name, reason: "NotReady", bears: never, runs: ended(status), started: true,
		message: "running, but its readiness probe has not passed"}
	spec := v.spec(status.Name)
	if v.initial(status.Name) && !sidecar(spec) {
		found.message = "the init container has not ended"
		return found
	}
	if spec == nil {
		return found
	}
	starting := status.Started != nil && !*status.Started
	if starting {
		found.message = "running, but its startup probe has not passed"
		if said := v.unhealthy(status.Name, "Startup"); said != "" {
			found.reason, found.message = reasonUnhealthy, said
		}
	} else if said := v.unhealthy(status.Name, "Readiness"); said != "" {
		found.reason, found.message = reasonUnhealthy, said
	}
	if killed := v.killed(status.Name); killed != "" && (starting || spec.StartupProbe == nil) {
		if v.killedBy(status.Name, "startup") || found.runs-v.past(status.Name).ready >= loopRuns {
			return v.notAlive(found, killed)
		}
	}
	if !starting && spec.ReadinessProbe != nil {
		found.code, found.bears, found.dependent = causes.NotReady, readinessGrace(spec), true
	}
	return found
}

// notAlive is a container that the kubelet ends because of a probe. That the startup probe used up the time that it grants is
// final at once: it is the pod's own word for how long a start may take.
func (v view) notAlive(found finding, said string) finding {
	seen := v.past(found.container)
	if seen.loops.IsZero() {
		seen.loops = time.Now()
	}
	found.code, found.reason, found.message, found.since = causes.NotAlive, reasonUnhealthy, said, seen.loops
	found.dependent, found.bears = true, 0
	return found
}

const reasonUnhealthy = "Unhealthy"

// killing is the kubelet's event of a container that it ends because of a probe (pkg/kubelet/kuberuntime, computePodActions).
var killing = regexp.MustCompile(`failed (liveness|startup) probe`)

// killed is what a probe said before the kubelet ended the container because of it, "" if it did not.
func (v view) killed(container string) string {
	for i := len(v.events) - 1; i >= 0; i-- {
		event := v.events[i]
		if event.Reason != "Killing" || !concerns(event, container) {
			continue
		}
		if which := killing.FindStringSubmatch(event.Message); which != nil {
			return cmp.Or(v.unhealthy(container, strings.ToUpper(which[1][:1])+which[1][1:]), wording(event.Message))
		}
	}
	return ""
}

func (v view) killedBy(container, probe string) bool {
	for _, event := range v.events {
		if which := killing.FindStringSubmatch(event.Message); event.Reason == "Killing" && which != nil && which[1] == probe && concerns(event, container) {
			return true
		}
	}
	return false
}

// unhealthy is the last that a probe said: "Readiness probe failed: HTTP probe failed with statuscode: 500".
func (v view) unhealthy(container, probe string) string {
	for i := len(v.events) - 1; i >= 0; i-- {
		event := v.events[i]
		if event.Reason == reasonUnhealthy && concerns(event, container) && strings.HasPrefix(event.Message, probe+" probe") {
			return wording(event.Message)
		}
	}
	return ""
}

// concerns tells whether an event of a pod is about a container of it: spec.containers{app}.
func concerns(event *core.Event, container string) bool {
	return strings.HasSuffix(event.InvolvedObject.FieldPath, "{"+container+"}")
}
