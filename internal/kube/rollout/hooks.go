package rollout

import (
	"cmp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// conditionOf is how far an object has come. A hook's object is done when it has completed, and stays done when it is deleted
// then.
func (a *assessor) conditionOf(o observedObject) condition {
	now := conditionOf(o.content)
	if !a.policy.hook {
		return now
	}
	if last, ended := a.memory.ended[o.object]; ended {
		return last
	}
	if o.content == nil {
		return a.deletedHook(o.object)
	}
	a.memory.uids[o.object] = o.content.GetUID()
	if phase, _, _ := unstructured.NestedString(o.content.Object, "status", "phase"); o.object.Kind == "Pod" && phase != string(core.PodSucceeded) {
		now.done = false
	}
	return now
}

// deletedHook is the condition of a hook's object that does not exist any more, because it was deleted after it ended
// (ttlSecondsAfterFinished) or by somebody. The events of its controller say how it ended (pkg/controller/job,
// recordJobFinished).
func (a *assessor) deletedHook(object release.Object) condition {
	now := condition{ready: -1, desired: -1, message: "does not exist any more"}
	for _, event := range slices.Backward(a.eventsAboutHook(object)) {
		switch {
		case event.Reason == "Completed":
			now.done, now.message = true, ""
			return now
		case event.Type == core.EventTypeWarning && event.Reason != diagnose.ReasonFailedCreate:
			now.failed, now.message = "JobFailed", diagnose.Message(event.Reason+": "+event.Message)
			return now
		}
	}
	if a.memory.missingSince[object].IsZero() {
		a.memory.missingSince[object] = a.now
	}
	if a.due(evidenceTime - a.now.Sub(a.memory.missingSince[object])) {
		now.failed, now.message = "Deleted", "it was deleted before it was seen to end"
	}
	return now
}

// eventsAboutHook are the events about a hook's object: by its UID if that is known, else about the latest object of its name.
func (a *assessor) eventsAboutHook(object release.Object) []*core.Event {
	if uid, known := a.memory.uids[object]; known {
		return a.known.events[uid]
	}
	var latest types.UID
	var at time.Time
	for uid, events := range a.known.events {
		last := events[len(events)-1]
		about := last.InvolvedObject
		if about.Kind != object.Kind || about.Name != object.Name || about.Namespace != object.Namespace {
			continue
		}
		if occurred := diagnose.LastOccurrence(last); latest == "" || cmp.Or(occurred.Compare(at), cmp.Compare(uid, latest)) > 0 {
			latest, at = uid, occurred
		}
	}
	return a.known.events[latest]
}
