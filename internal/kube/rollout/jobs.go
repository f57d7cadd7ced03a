package rollout

import (
	"cmp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// readinessOf returns how far an object is. A Job, or a hook's Pod, is done when it has completed, and remains done if it is
// deleted afterwards.
func (a *assessor) readinessOf(o observedObject) readiness {
	cond := readinessOf(o.content)
	if !a.policy.hook && o.object.Kind != "Job" {
		return cond
	}
	if last, ended := a.memory.ended[o.object]; ended && (a.policy.hook || o.content == nil) {
		return last
	}
	if o.content == nil {
		return a.deletedJob(o.object)
	}
	a.memory.uids[o.object] = o.content.GetUID()
	if phase, _, _ := unstructured.NestedString(o.content.Object, "status", "phase"); o.object.Kind == "Pod" && phase != string(core.PodSucceeded) {
		cond.done = false
	}
	if suspended, _, _ := unstructured.NestedBool(o.content.Object, "spec", "suspend"); suspended && a.policy.hook {
		cond.done = false // the objects after a hook need the hook's effect
	}
	return cond
}

// deletedJob returns the condition of a Job, or a hook's Pod, that no longer exists: Helm created it, and it was deleted after
// its end (ttlSecondsAfterFinished) or by somebody. Its controller's events say how it ended (pkg/controller/job,
// recordJobFinished); without events, its pods do.
func (a *assessor) deletedJob(object release.Object) readiness {
	cond := readiness{ready: -1, desired: -1, message: "does not exist any more"}
	if a.endOf(a.eventsAboutJob(object, false), &cond) {
		return cond
	}
	if a.memory.missingSince[object].IsZero() {
		a.memory.missingSince[object] = a.now
	}
	if !a.due(evidenceTime - a.now.Sub(a.memory.missingSince[object])) {
		return cond
	}
	switch {
	case a.memory.succeeded[object]:
		cond.done, cond.message = true, ""
	case !a.policy.hook && a.endOf(a.eventsAboutJob(object, true), &cond): // a Job from before, which Helm has not replaced
	default:
		cond.failed, cond.message = "Deleted", "it was deleted before it was seen to end"
	}
	return cond
}

// failureReasons are the reasons with which a Job's controller reports that the Job has failed. Others warn about a Job too, such as a policy engine that only
// audits (PolicyViolation), and so does its controller (TooManyActivePods). Source: k8s.io/api, batch/v1, JobReason….
var failureReasons = []string{batch.JobReasonBackoffLimitExceeded, batch.JobReasonDeadlineExceeded, batch.JobReasonPodFailurePolicy, batch.JobReasonFailedIndexes,
	batch.JobReasonMaxFailedIndexesExceeded}

// endOf sets how a Job ended according to its controller's events, and reports whether they say so.
func (a *assessor) endOf(events []*core.Event, cond *readiness) bool {
	for _, event := range slices.Backward(events) {
		switch {
		case event.Reason == "Completed":
			cond.done, cond.message = true, ""
			return true
		case event.Type == core.EventTypeWarning && slices.Contains(failureReasons, event.Reason):
			cond.failed, cond.message = "JobFailed", diagnose.Message(event.Reason+": "+event.Message)
			return true
		}
	}
	return false
}

// eventsAboutJob returns the events about a Job or a Pod: by its UID if that is known, or about the latest object of its name.
// Without earlier, an object that existed before the release was applied is ignored.
func (a *assessor) eventsAboutJob(object release.Object, earlier bool) []*core.Event {
	if uid, known := a.memory.uids[object]; known {
		return a.known.events[uid]
	}
	var latest types.UID
	var at time.Time
	for uid, events := range a.known.events {
		last := events[len(events)-1]
		about := last.InvolvedObject
		if about.Kind != object.Kind || about.Name != object.Name || about.Namespace != object.Namespace || a.seenBefore(uid) != earlier {
			continue
		}
		if occurred := diagnose.LastOccurrence(last); latest == "" || cmp.Or(occurred.Compare(at), cmp.Compare(uid, latest)) > 0 {
			latest, at = uid, occurred
		}
	}
	return a.known.events[latest]
}

// observeSuccess records that a Job's pods have succeeded, because with ttlSecondsAfterFinished the Job may be deleted before its
// completion is seen.
func (a *assessor) observeSuccess(o observedObject) {
	if o.object.Kind != "Job" || a.memory.succeeded[o.object] {
		return
	}
	completions := int64(1)
	if o.content != nil {
		if wanted, found, _ := unstructured.NestedInt64(o.content.Object, "spec", "completions"); found {
			completions = wanted
		} else if parallelism, found, _ := unstructured.NestedInt64(o.content.Object, "spec", "parallelism"); found {
			completions = parallelism // a Job with a work queue
		}
	}
	count := int64(0)
	for _, pod := range a.namespaceOf(o).pods {
		owner := meta.GetControllerOf(pod)
		if owner != nil && owner.Kind == "Job" && owner.Name == o.object.Name && !a.seenBefore(owner.UID) && pod.Status.Phase == core.PodSucceeded {
			count++
		}
	}
	if count >= max(1, completions) {
		a.memory.succeeded[o.object] = true
	}
}
