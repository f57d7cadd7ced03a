package kube

import (
	"context"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// WatchHook returns when the Jobs and Pods among a hook's objects have completed, or with the reason why one has not; every other
// object is ready when it is made. A Job must complete, where Watch and kstatus would let a Pod pass that runs. It reports one
// step per change, from its own goroutine.
//
// A failure is a *release.Failure that wraps a release.Diagnosed with code causes.HookFailed. It is complete when it is
// returned, for Helm may delete the hook then. Faults and a cancelled context are as for Watch.
// Source: helm.sh/docs, "Chart Hooks", hook resources and deletion policies.
func (c *Client) WatchHook(ctx context.Context, namespace string, objects []release.Object, report func(release.RolloutStep)) error {
	ending := slices.DeleteFunc(slices.Clone(objects), func(o release.Object) bool {
		return o.Kind != "Job" && o.Kind != "Pod"
	})
	return c.watch(ctx, namespace, ending, true, report)
}

// hookUnderlying words the cause of a hook's failure: the hook's own code, and the cause's beside it.
func hookUnderlying(diagnosis release.Diagnosis) release.Diagnosis {
	own, under := causes.HookFailed.Cause(), diagnosis.Code.Cause()
	diagnosis.Code, diagnosis.Advice = own.Code, own.Advice
	switch under.Code {
	case "", causes.JobFailed, causes.TimedOut:
	default:
		diagnosis.Reason += " (" + string(under.Code) + ")"
		diagnosis.Advice = under.Advice
	}
	return diagnosis
}

// conditionOf is how far an object has come. A hook's is done when it has ended, and stays so when it is deleted then.
func (w *watcher) conditionOf(s *seen, t tracked, object *unstructured.Unstructured) condition {
	now := conditionOf(object)
	if !w.hook {
		return now
	}
	if last, over := w.ended[t.object]; over {
		return last
	}
	if object == nil {
		return w.gone(s, t)
	}
	w.met[t.object] = object.GetUID()
	if phase, _, _ := unstructured.NestedString(object.Object, "status", "phase"); t.object.Kind == "Pod" && phase != string(core.PodSucceeded) {
		now.done = false
	}
	return now
}

// gone is a hook's object that is not there any more, deleted when it had ended (ttlSecondsAfterFinished) or by somebody: the
// events of its controller tell how it ended (pkg/controller/job, recordJobFinished).
func (w *watcher) gone(s *seen, t tracked) condition {
	now := condition{ready: -1, desired: -1, message: "not there any more"}
	for _, event := range slices.Backward(w.eventsOfGone(t.object)) {
		switch {
		case event.Reason == "Completed":
			now.done, now.message = true, ""
			return now
		case event.Type == core.EventTypeWarning && event.Reason != reasonUncreated:
			now.failed, now.message = "JobFailed", wording(event.Reason+": "+event.Message)
			return now
		}
	}
	if w.missing[t.object].IsZero() {
		w.missing[t.object] = time.Now()
	}
	s.after(hearingTime-time.Since(w.missing[t.object]), func() {
		now.failed, now.message = "Deleted", "it was deleted before it was seen to end"
	})
	return now
}

// eventsOfGone are the events about a hook's object, by its identity if that was ever seen, else about the last of its name.
func (w *watcher) eventsOfGone(object release.Object) []*core.Event {
	uid, met := w.met[object]
	if met {
		return w.about[uid]
	}
	var newest types.UID
	var at time.Time
	for uid, events := range w.about {
		last := events[len(events)-1]
		about := last.InvolvedObject
		if about.Kind == object.Kind && about.Name == object.Name && about.Namespace == object.Namespace && !lastSeen(last).Before(at) {
			newest, at = uid, lastSeen(last)
		}
	}
	return w.about[newest]
}
