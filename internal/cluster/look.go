package cluster

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// seen is what one look at everything that the cluster has reported comes to.
type seen struct {
	pending []failing     // objects that are not ready, as they were given
	failure *failing      // one that cannot become ready
	fault   error         // what keeps us from seeing an object
	again   time.Duration // until time alone may change this; 0: never
}

// failing is an object that is not ready and what is the matter with it.
type failing struct {
	object  release.Object
	finding finding
	why     string // why the cluster has given it up, as the cluster words it; "" if it has not
}

func (f failing) do() string {
	if f.finding.cause == nil {
		return ""
	}
	return f.finding.cause.do
}

// forbiddenGrace is how long a cluster may forbid what it is going to allow: an apiserver that starts does.
const forbiddenGrace = 3 * time.Second

func (w *watcher) look() seen {
	var s seen
	var claims []tracked
	for _, t := range w.objects {
		synced, since, refusal := w.feeds[t.place].state()
		if !synced {
			if w.skipped(t, refusal) {
				continue
			}
			if permanent(refusal) {
				s.after(w.client.grace(forbiddenGrace)-time.Since(since), func() { s.fault = refusal })
			}
			s.pending = append(s.pending, failing{object: t.object, finding: finding{object: t.object, reason: "NotReady", message: "nothing heard of it yet"}})
			continue
		}
		object := w.objectOf(t)
		now := conditionOf(object)
		if t.object.Kind == "PersistentVolumeClaim" && !now.done {
			claims = append(claims, t)
			continue
		}
		w.judge(&s, t, object, now)
	}
	w.lookAtClaims(&s, claims)
	return s
}

// after does something when a time has come, or makes sure that somebody looks again then.
func (s *seen) after(left time.Duration, then func()) {
	if left <= 0 {
		then()
		return
	}
	if s.again == 0 || left < s.again {
		s.again = left
	}
}

// judge adds one object to what is seen.
func (w *watcher) judge(s *seen, t tracked, object *unstructured.Unstructured, now condition) {
	if now.done {
		w.tell(t.object, now)
		return
	}
	found := w.explain(object, t, now)
	if found.cause != nil {
		now.message = fmt.Sprintf("%s: %s", found.object, shorten(found))
	}
	if set := currentSet(object, all[*apps.ReplicaSet](w.sets[t.place.namespace])); t.object.Kind == "Deployment" {
		now.ready = 0 // its own numbers count older pods too
		if set != nil {
			now.ready = int(set.Status.ReadyReplicas)
		}
	}
	w.tell(t.object, now)
	late := failing{object: t.object, finding: found}
	s.pending = append(s.pending, late)
	if s.failure != nil || t.place.custom() {
		return
	}
	if left := w.hearing(t); left > 0 {
		s.after(left, func() {})
		return
	}
	if now.failed != "" {
		late.why = now.failed
		if known, listed := givenUp[now.failed]; late.finding.cause == nil && listed {
			late.finding.cause = &known
		}
		s.failure = &late
		return
	}
	if found.cause != nil {
		counts, wait := found.cause.counts(found.message, found.tries, w.stood(found), w.client.grace)
		if counts {
			s.failure = &late
		} else if wait > 0 {
			s.after(wait, func() {})
		}
	}
}

// hearingTime is how long a failure waits for what may explain it.
const hearingTime = 2 * time.Second

// hearing is how long to wait yet for the pods and ReplicaSets that may explain a failure: their feeds begin when the
// object's own does, and may be filled later.
func (w *watcher) hearing(t tracked) time.Duration {
	for _, feeds := range []map[string]*feed{w.pods, w.sets} {
		if f := feeds[t.place.namespace]; f != nil {
			if synced, _, refusal := f.state(); !synced && refusal == nil {
				return hearingTime - time.Since(w.began)
			}
		}
	}
	return 0
}

func shorten(found finding) string {
	if found.message == "" {
		return found.reason
	}
	return found.reason + ": " + cut(found.message, 160)
}

// explain says what is the matter with an object that is not ready: the first pod with a known cause, else one that may not
// be created, else a pod that is not ready, else the object's own words.
func (w *watcher) explain(object *unstructured.Unstructured, t tracked, now condition) finding {
	about := finding{object: t.object, reason: "NotReady", message: now.message}
	if now.failed != "" {
		about.reason = now.failed
	}
	if object == nil || t.place.custom() {
		return about
	}
	about.uid = object.GetUID()
	sets := all[*apps.ReplicaSet](w.sets[t.place.namespace])
	var unready *finding
	pods := all[*core.Pod](w.pods[t.place.namespace])
	current := currentPods(object, sets, pods)
	for _, pod := range current {
		found := examine(pod)
		if found == nil {
			continue
		}
		w.remember(found)
		if found.cause != nil {
			return *found
		}
		if unready == nil {
			unready = found
		}
	}
	if found := w.refused(object, sets); found != nil {
		w.remember(found)
		return *found
	}
	for _, pod := range earlierPods(object, current, pods) {
		if found := examine(pod); found != nil && unready == nil {
			found.cause = nil // it says nothing of this release
			unready = found
		}
	}
	if unready != nil {
		return *unready
	}
	return about
}

// refused finds out whether an object's controller may not create its pods: by a condition where there is one, else by
// an event that was not there when the watch began.
func (w *watcher) refused(object *unstructured.Unstructured, sets []*apps.ReplicaSet) *finding {
	namespace := object.GetNamespace()
	events := w.events[namespace]
	if object.GetKind() == "Deployment" || events == nil {
		return uncreatable(object, sets)
	}
	for _, event := range all[*core.Event](events) {
		if event.InvolvedObject.UID == object.GetUID() && events.news(event) {
			known := creationCause(event.Message)
			return &finding{object: release.Object{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Namespace: namespace, Name: object.GetName()},
				uid: object.GetUID(), reason: event.Reason, message: wording(event.Message), cause: &known}
		}
	}
	return nil
}

// lookAtClaims waits for a claim only if a pod mounts it: a volume class may bind with the first pod, and there may never
// be one.
func (w *watcher) lookAtClaims(s *seen, claims []tracked) {
	others := len(s.pending)
	for _, t := range claims {
		object := w.objectOf(t)
		now := conditionOf(object)
		podsKnown, _, _ := w.pods[t.place.namespace].state()
		if others == 0 && podsKnown && object != nil && !mounted(t.object.Name, all[*core.Pod](w.pods[t.place.namespace])) {
			now.done, now.message = true, now.message+", and no pod mounts it"
		}
		w.judge(s, t, object, now)
	}
}

func mounted(claim string, pods []*core.Pod) bool {
	for _, pod := range pods {
		for _, volume := range pod.Spec.Volumes {
			if volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName == claim && pod.DeletionTimestamp == nil {
				return true
			}
		}
	}
	return false
}

func (w *watcher) objectOf(t tracked) *unstructured.Unstructured {
	key := t.object.Name
	if t.place.namespace != "" {
		key = t.place.namespace + "/" + key
	}
	stored, found, err := w.feeds[t.place].GetByKey(key)
	if err != nil || !found {
		return nil
	}
	object, _ := stored.(*unstructured.Unstructured)
	return object
}

// skipped lets an object of somebody else's kind pass that we may not see.
func (w *watcher) skipped(t tracked, refusal error) bool {
	if !t.place.custom() || !permanent(refusal) {
		return false
	}
	w.tell(t.object, condition{ready: -1, desired: -1, done: true, message: "not awaited: " + cut(printable(refusal.Error()), 160)})
	return true
}

// permanent tells whether a refusal to list or watch will stay.
func permanent(err error) bool {
	return err != nil && (apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err))
}

// tell reports a step if it says something new.
func (w *watcher) tell(object release.Object, now condition) {
	step := release.RolloutStep{Object: object, Ready: now.ready, Desired: now.desired, Done: now.done, Message: now.message}
	if now.done && now.failed == "" && now.desired >= 0 {
		step.Message = ""
	}
	if last, told := w.reported[object]; told && last == step {
		return
	}
	w.reported[object] = step
	step.At = time.Since(w.began)
	w.report(step)
}
