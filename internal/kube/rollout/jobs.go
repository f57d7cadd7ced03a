package rollout

import (
	"cmp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// conditionOf is how far an object has come. A Job, or a hook's Pod, is done when it has completed, and stays done when it is deleted
// then.
func (a *assessor) conditionOf(o observedObject) condition {
	now := conditionOf(o.content)
	if !a.policy.hook && o.object.Kind != "Job" {
		return now
	}
	if last, ended := a.memory.ended[o.object]; ended && (a.policy.hook || o.content == nil) {
		return last
	}
	if o.content == nil {
		return a.deletedJob(o.object)
	}
	a.memory.uids[o.object] = o.content.GetUID()
	if phase, _, _ := unstructured.NestedString(o.content.Object, "status", "phase"); o.object.Kind == "Pod" && phase != string(core.PodSucceeded) {
		now.done = false
	}
	return now
}

// deletedJob is the condition of a Job, or a hook's Pod, that does not exist any more: Helm has created it, and it was deleted after it
// ended (ttlSecondsAfterFinished) or by somebody. The events of its controller say how it ended (pkg/controller/job,
// recordJobFinished). If there are none, its pods do.
func (a *assessor) deletedJob(object release.Object) condition {
	now := condition{ready: -1, desired: -1, message: "does not exist any more"}
	if a.endOf(a.eventsAboutJob(object, false), &now) {
		return now
	}
	if a.memory.missingSince[object].IsZero() {
		a.memory.missingSince[object] = a.now
	}
	if !a.due(evidenceTime - a.now.Sub(a.memory.missingSince[object])) {
		return now
	}
	switch {
	case a.memory.succeeded[object]:
		now.done, now.message = true, ""
	case !a.policy.hook && a.endOf(a.eventsAboutJob(object, true), &now): // one of before, which Helm has left as it was
	default:
		now.failed, now.message = "Deleted", "it was deleted before it was seen to end"
	}
	return now
}

// endOf sets how a Job ended by its events, and reports whether they say so.
func (a *assessor) endOf(events []*core.Event, now *condition) bool {
	for _, event := range slices.Backward(events) {
		switch {
		case event.Reason == "Completed":
			now.done, now.message = true, ""
			return true
		case event.Type == core.EventTypeWarning && event.Reason != diagnose.ReasonFailedCreate:
			now.failed, now.message = "JobFailed", diagnose.Message(event.Reason+": "+event.Message)
			return true
		}
	}
	return false
}

// eventsAboutJob are the events about a Job or a Pod: by its UID if that is known, else about the latest object of its name. One that
// existed before the release was applied counts only if that is asked for.
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

// observeSuccess remembers that a Job's pods have succeeded: with ttlSecondsAfterFinished the Job may never be seen to complete.
func (a *assessor) observeSuccess(o observedObject) {
	if o.object.Kind != "Job" || a.memory.succeeded[o.object] {
		return
	}
	completions := int64(1)
	if o.content != nil {
		if wanted, found, _ := unstructured.NestedInt64(o.content.Object, "spec", "completions"); found {
			completions = wanted
		} else if parallelism, found, _ := unstructured.NestedInt64(o.content.Object, "spec", "parallelism"); found {
			completions = parallelism // of a work queue
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
