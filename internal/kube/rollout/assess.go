package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
)

// policy says how a rollout is assessed.
type policy struct {
	hook        bool                              // the objects are a hook's: they must complete, and may be deleted afterwards
	hasCreators bool                              // the release or a hook of it has a Job or custom resource that may create what the pods need
	scale       func(time.Duration) time.Duration // changes every grace, in tests; nil: unchanged
}

func (p policy) grace(duration time.Duration) time.Duration {
	if p.scale == nil {
		return duration
	}
	return p.scale(duration)
}

// assessment is the result of assessing a snapshot.
type assessment struct {
	steps   []release.RolloutStep // how far each object is; the times are not set
	pending []pendingObject       // objects that are not ready, in the order of the rollout's objects
	failure *pendingObject        // the object that cannot become ready; nil if none is known
	fault   error                 // why an object cannot be read, if the reason is lasting
	// uncertain: some store lags behind the cluster, so that the rollout is neither ready nor failed yet.
	uncertain    bool
	recheckAfter time.Duration // after this time the assessment may change without a new report; 0: it does not
	memory       memory        // memory for the next assessment
	endedRuns    []endedRun    // runs whose logs may be deleted soon
	claimsIn     []string      // namespaces whose claims are needed to explain a pod
	stuck        []stuckPod    // pods that block the update of a StatefulSet
}

// pendingObject is an object that is not ready, with the reason.
type pendingObject struct {
	trackedObject
	finding diagnose.Finding
	givenUp string // the cluster's reason if it has given up on the object; "" otherwise
}

// assessor computes one assessment. It works on a copy of the memory.
type assessor struct {
	assessment
	known  snapshot
	policy policy
	now    time.Time
}

// assess decides from a snapshot whether the rollout is ready, has failed, or is still pending. It is a pure function: equal
// arguments give equal results, and it does not change its arguments.
func assess(known snapshot, policy policy, now time.Time) assessment {
	a := &assessor{known: known, policy: policy, now: now}
	a.memory = known.memory.clone()
	if a.memory.assessments++; a.memory.began.IsZero() {
		a.memory.began = now
	}
	var claims []observedObject
	for _, o := range known.objects {
		if !o.sync.Synced || o.sync.Err != nil && o.wait != reportOnly {
			a.assessUnread(o)
			continue
		}
		a.observeSuccess(o)
		cond := declaredCondition(o, a.withDeadNodes(o, a.withOlderPods(o, a.ignoreBaselineDeadline(o, a.readinessOf(o)))))
		switch {
		case o.wait == reportOnly:
			if cond, reported := reportedCondition(o.object.Kind, o.content); reported {
				a.step(o.object, cond)
			}
		case o.object.Kind == "PersistentVolumeClaim" && !cond.done:
			claims = append(claims, o)
		default:
			a.assessObject(o, cond)
		}
	}
	a.assessClaims(claims)
	a.checkCertainty()
	if !a.uncertain {
		a.findStuck()
		a.findFailure()
	}
	return a.assessment
}

// due reports whether no time is left; otherwise it schedules another assessment for when the time has passed.
func (a *assessor) due(left time.Duration) bool {
	if left <= 0 {
		return true
	}
	if a.recheckAfter == 0 || left < a.recheckAfter {
		a.recheckAfter = left
	}
	return false
}

// assessUnread assesses an object whose store does not follow the cluster: the object may have changed since it was read.
func (a *assessor) assessUnread(o observedObject) {
	switch {
	case o.wait == reportOnly:
		return
	case !o.sync.Synced && o.wait == tolerate && o.sync.Refused():
		a.step(o.object, readiness{ready: -1, desired: -1, done: true, message: "not waited for: " + text.Line(o.sync.Err.Error(), 160)})
		return
	}
	if grace := refusalGrace(o.sync); grace > 0 && o.wait == require && a.due(a.policy.grace(grace)-a.now.Sub(o.sync.Since)) {
		a.fault = o.sync.Err
	}
	found := diagnose.Finding{Object: o.object, Reason: "NotReady", Message: "not read yet", Grace: diagnose.GraceNever}
	if o.sync.Synced {
		found.Message = "the cluster does not answer"
	}
	a.pending = append(a.pending, pendingObject{trackedObject: o.trackedObject, finding: found})
}

// assessObject adds one object to the assessment.
func (a *assessor) assessObject(o observedObject, cond readiness) {
	if cond.done && !a.policy.hook && o.wait == require {
		cond = a.requireProof(o, cond)
	}
	if cond.done {
		if a.policy.hook || o.object.Kind == "Job" {
			a.memory.ended[o.object] = cond
		}
		a.step(o.object, cond)
		return
	}
	found := a.explain(o, cond)
	if found.Code != "" {
		cond.message = fmt.Sprintf("%s: %s", found.Object, found.Short())
	}
	if set := diagnose.CurrentReplicaSet(o.content, a.namespaceOf(o).replicaSets); o.object.Kind == "Deployment" {
		cond.ready = 0 // the Deployment's own count includes older pods
		if set != nil {
			cond.ready = int(set.Status.ReadyReplicas)
		}
	}
	a.step(o.object, cond)
	late := pendingObject{trackedObject: o.trackedObject, finding: found, givenUp: cond.failed}
	if cond.declared != "" || cond.expects {
		late.wait = require
	}
	a.pending = append(a.pending, late)
}

// assessClaims waits for an unbound claim only if a pod mounts it: its storage class may bind it on the first pod's node, and
// there may never be a pod. An object that is not ready may still make one; if the rollout only tolerates all of these, it tolerates the claim too.
func (a *assessor) assessClaims(claims []observedObject) {
	others := len(a.pending)
	required := slices.ContainsFunc(a.pending, func(late pendingObject) bool { return late.wait != tolerate })
	for _, o := range claims {
		cond, namespace := a.readinessOf(o), a.namespaceOf(o)
		if !required && namespace.podSync != nil && namespace.podSync.Synced && o.content != nil && !isMounted(o.object.Name, namespace.pods) {
			cond.done, cond.message = others == 0, cond.message+", and no pod mounts it"
			o.wait = tolerate
		}
		a.assessObject(o, cond)
	}
}

// isMounted reports whether a pod that is not being deleted mounts the claim.
func isMounted(claim string, pods []*core.Pod) bool {
	for _, pod := range pods {
		for _, name := range diagnose.ClaimNames(pod) {
			if name == claim && pod.DeletionTimestamp == nil {
				return true
			}
		}
	}
	return false
}

// step adds an object's progress to the report.
func (a *assessor) step(object release.Object, cond readiness) {
	step := release.RolloutStep{Object: object, Ready: cond.ready, Desired: cond.desired, Done: cond.done, Message: cond.message}
	if cond.done && cond.failed == "" && cond.desired >= 0 {
		step.Message = cond.note
	}
	a.steps = append(a.steps, step)
}

func (a *assessor) namespaceOf(o observedObject) namespaceSnapshot {
	return a.known.namespaces[o.key.namespace]
}

// currentPods returns the pods of the object's current template.
func (a *assessor) currentPods(o observedObject) []*core.Pod {
	namespace := a.namespaceOf(o)
	return diagnose.CurrentPods(o.content, namespace.replicaSets, namespace.pods)
}

// pod returns a pod with what is known about it. It requests the logs of a Job's pod, because the Job's controller deletes the
// pod when the Job fails.
func (a *assessor) pod(pod *core.Pod, ofJob bool) diagnose.Pod {
	if ofJob || a.policy.hook {
		a.endedRuns = append(a.endedRuns, endedRuns(pod)...)
	}
	return diagnose.Pod{
		Pod: pod, OfJob: ofJob, Events: a.known.events[pod.UID], History: a.memory.containers[pod.UID],
		ExplainClaims: func() *diagnose.Finding { return a.explainClaims(pod) },
		ProvingTime:   a.policy.grace(diagnose.ProvingTime), Leaving: a.known.namespaces[pod.Namespace].leaving, Now: a.now,
	}
}

// knowsPodsOf reports whether the pods of a workload's current template have been read.
func (a *assessor) knowsPodsOf(o observedObject) bool {
	namespace := a.namespaceOf(o)
	if o.object.Kind == "Deployment" && (namespace.replicaSetSync == nil || !namespace.replicaSetSync.Synced) {
		return false
	}
	return o.object.Kind != "Pod" && namespace.podSync != nil && namespace.podSync.Synced
}

// requireProof makes a ready workload pending while one of its containers without a readiness probe has not yet run for long
// enough.
func (a *assessor) requireProof(o observedObject, cond readiness) readiness {
	switch o.object.Kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod":
	default:
		return cond
	}
	if pods := a.namespaceOf(o).podSync; pods != nil && pods.Refused() && a.now.Sub(pods.Since) > a.policy.grace(revokedGrace) {
		return cond // the pods may not be read any more, and what was read of them is outdated
	}
	if !a.due(a.evidenceDelay(pendingObject{trackedObject: o.trackedObject})) { // the pods may be read later than their workload
		cond.done, cond.message = false, "its pods are not read yet"
		return cond
	}
	current := a.currentPods(o)
	if a.knowsPodsOf(o) && len(current)+cond.older < cond.desired {
		cond.done, cond.message = false, "its pods are not read yet"
		return cond
	}
	for _, pod := range current {
		unproven, history := a.pod(pod, false).Unproven()
		a.memory.containers[pod.UID] = history
		for _, container := range unproven {
			cond.done = false
			cond.message = fmt.Sprintf("%s container %q has no readiness probe, and has not run for long enough to count as ready", diagnose.PodObject(pod), container.Container)
			a.due(container.Left)
		}
	}
	return cond
}
