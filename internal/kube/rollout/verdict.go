package rollout

import (
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release/causes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// How long the cluster may refuse our requests before that counts: an apiserver that starts may forbid what it allows later, and
// the transport renews an expired token.
const (
	forbiddenGrace    = 3 * time.Second
	revokedGrace      = 15 * time.Second // after it had allowed them
	unauthorizedGrace = time.Minute
)

// Delays before a verdict.
const (
	// evidenceTime is how long a failure is delayed so that its evidence can be read.
	evidenceTime = 2 * time.Second
	// catchUpTime is how long a store that is connected again may still receive changes that it has missed.
	catchUpTime = 500 * time.Millisecond
)

// refusalGrace returns how long a refusal of our requests must last to count, 0 if it never counts.
func refusalGrace(state store.SyncState) time.Duration {
	switch {
	case state.Err == nil:
		return 0
	case apierrors.IsUnauthorized(state.Err):
		return unauthorizedGrace
	case state.Refused() && state.Synced:
		return revokedGrace
	case state.Refused():
		return forbiddenGrace
	}
	return 0
}

// checkCertainty sets a.uncertain while a store is disconnected, and for catchUpTime after a store has reconnected: until then its
// objects may be out of date. It skips a store that has not read its first list, and a store whose requests the cluster has refused
// for longer than revokedGrace.
func (a *assessor) checkCertainty() {
	check := func(state store.SyncState) {
		if !state.Synced || state.Refused() && a.now.Sub(state.Since) > a.policy.grace(revokedGrace) {
			return
		}
		if state.Resumed.After(a.memory.resumed) {
			a.memory.resumed = state.Resumed
		}
		if !state.Current() {
			a.uncertain = true
		}
	}
	for _, o := range a.known.objects {
		if o.wait != reportOnly {
			check(o.sync)
		}
	}
	for _, namespace := range a.known.namespaces {
		for _, followed := range []*storeSync{namespace.podSync, namespace.replicaSetSync} {
			if followed != nil {
				check(followed.SyncState)
			}
		}
	}
	if !a.memory.resumed.IsZero() && !a.due(catchUpTime-a.now.Sub(a.memory.resumed)) {
		a.uncertain = true
	}
}

// findFailure finds an object that cannot become ready. An object that is itself the cause comes before an object that another
// may have made fail.
func (a *assessor) findFailure() {
	var dependent *pendingObject
	for i := range a.pending {
		late := &a.pending[i]
		if late.wait != require || !a.failed(i) || !a.due(a.evidenceDelay(*late)) {
			continue
		}
		switch {
		case late.givenUp == "" && late.finding.Dependent:
			if dependent == nil {
				dependent = late
			}
		case a.failure == nil:
			setGivenUpCode(late)
			a.failure = late
		}
	}
	if a.failure == nil {
		a.failure = dependent
	}
}

// failed reports whether a pending object cannot become ready: the cluster has given up on it, or its finding has lasted for its
// grace.
func (a *assessor) failed(which int) bool {
	late := a.pending[which]
	if late.givenUp != "" {
		return true
	}
	expired, left := a.graceExpired(late.finding)
	if expired && late.finding.Dependent {
		expired, left = a.dependencyGraceExpired(which)
	}
	if !expired && left > 0 {
		a.due(left)
	}
	return expired
}

// graceExpired reports whether a finding has lasted for its own grace. If not, left is the remaining time; 0 if the grace never
// ends.
func (a *assessor) graceExpired(found diagnose.Finding) (expired bool, left time.Duration) {
	if found.Code == "" || found.Grace == diagnose.GraceNever {
		return false, 0
	}
	limit := found.Grace
	if found.MayBeCreated && a.policy.hasCreators {
		limit = diagnose.GraceProvisioning
	}
	limit = a.policy.grace(limit)
	if found.Report != "" && a.memory.lastAttempt(found) < limit {
		limit *= 2 // the next attempt, which may succeed, comes after a pause as long as all before it
	}
	limit += 2 * a.memory.waited(found) // a controller that was refused pauses as long as it has waited
	left = limit - a.memory.age(found, a.now)
	return left <= 0, max(0, left)
}

// dependencyGraceExpired reports whether a finding that another object of the release may cause counts as a failure. It does if
// no other object is progressing, and since the last progress the container has run again or its own grace has passed. It always
// does after GraceDependency.
func (a *assessor) dependencyGraceExpired(which int) (expired bool, left time.Duration) {
	found := a.pending[which].finding
	left = a.policy.grace(diagnose.GraceDependency) - a.memory.age(found, a.now)
	if left <= 0 {
		return true, 0
	}
	history := a.memory.containerOf(found)
	if a.othersProgressing(which) {
		history.RunsAtLastProgress, history.LastProgress = found.Runs, a.now
		a.memory.setContainer(found, history)
		return false, left
	}
	switch {
	case history.LastProgress.IsZero():
		return true, 0
	case found.Grace > 0:
		own := a.policy.grace(found.Grace) - a.now.Sub(history.LastProgress)
		return own <= 0, max(0, min(own, left))
	}
	return found.Runs > history.RunsAtLastProgress, left
}

// othersProgressing reports whether another object of the release, or another container of the pod, is not ready and may still
// become ready.
func (a *assessor) othersProgressing(which int) bool {
	for i, other := range a.pending {
		if i == which || other.givenUp != "" {
			continue
		}
		if expired, _ := a.graceExpired(other.finding); !expired {
			return true
		}
	}
	found := a.pending[which].finding
	if found.Object.Kind != "Pod" {
		return false
	}
	pod := a.known.namespaces[found.Object.Namespace].pod(found.Object.Name)
	return pod != nil && diagnose.SiblingStarting(pod, found.Container)
}

// evidenceDelay returns how much longer a failure is delayed until its evidence has been read. The stores of pods, ReplicaSets,
// events and claims are opened together with the object's own, but may be filled later; a pod's failure may be read after its
// workload's.
func (a *assessor) evidenceDelay(late pendingObject) time.Duration {
	namespace := a.known.namespaces[late.key.namespace]
	for _, followed := range []*storeSync{namespace.podSync, namespace.replicaSetSync, namespace.eventSync, namespace.claimSync} {
		if followed != nil && !followed.Synced && followed.Err == nil {
			return evidenceTime - a.now.Sub(followed.started)
		}
	}
	if late.givenUp != "" && late.finding.Object == late.object && late.finding.UID != "" {
		return a.policy.grace(catchUpTime) - a.memory.age(late.finding, a.now)
	}
	return 0
}

// setGivenUpCode gives an object that the cluster has given up on a code, if no better cause is known.
func setGivenUpCode(late *pendingObject) {
	if late.givenUp == "" || late.finding.Code != "" {
		return
	}
	switch late.givenUp {
	case "ProgressDeadlineExceeded":
		late.finding.Code = causes.ProgressDeadline
	case "JobFailed", "PodFailed", "Deleted":
		late.finding.Code = causes.JobFailed
	}
}
