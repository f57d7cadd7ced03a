package kube

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// seen is what one look at everything that the cluster has reported comes to.
type seen struct {
	pending []failing     // objects that are not ready, as they were given
	failure *failing      // one that cannot become ready
	fault   error         // what keeps us from seeing an object
	unsure  bool          // not all that was heard is heard now
	again   time.Duration // until time alone may change this; 0: never
}

// failing is an object that is not ready and what is the matter with it.
type failing struct {
	tracked
	finding finding
	why     string // why the cluster has given it up, as the cluster words it; "" if it has not
}

func (w *watcher) look() seen {
	w.looks++
	w.index()
	var s seen
	var claims []tracked
	for _, t := range w.objects {
		now := w.feeds[t.place].State()
		if !now.Synced || now.Err != nil && t.heed != reported {
			w.unheardOf(&s, t, now)
			continue
		}
		object := w.objectOf(t)
		condition := w.conditionOf(&s, t, object)
		switch {
		case t.heed == reported:
			w.tellOf(t, object)
		case t.object.Kind == "PersistentVolumeClaim" && !condition.done:
			claims = append(claims, t)
		default:
			w.judge(&s, t, object, condition)
		}
	}
	w.lookAtClaims(&s, claims)
	w.settle(&s)
	w.decide(&s)
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

// unheardOf is an object whose feed does not hear the cluster: what it was is not what it is.
func (w *watcher) unheardOf(s *seen, t tracked, now store.SyncState) {
	if t.heed == reported || !now.Synced && w.skipped(t, now) {
		return
	}
	if grace := lasting(now); grace > 0 && t.heed == awaited {
		s.after(w.client.grace(grace)-time.Since(now.Since), func() { s.fault = now.Err })
	}
	what := finding{object: t.object, reason: "NotReady", message: "nothing heard of it yet", bears: never}
	if now.Synced {
		what.message = "the cluster does not answer"
	}
	s.pending = append(s.pending, failing{tracked: t, finding: what})
}

// judge adds one object to what is seen.
func (w *watcher) judge(s *seen, t tracked, object *unstructured.Unstructured, now condition) {
	if now.done && !w.hook && t.heed == awaited {
		w.unproven(s, t, object, &now)
	}
	if now.done {
		if w.hook {
			w.ended[t.object] = now
		}
		w.tell(t.object, now)
		return
	}
	found := w.explain(object, t, now)
	if found.code != "" {
		now.message = fmt.Sprintf("%s: %s", found.object, shorten(found))
	}
	if set := currentSet(object, store.All[*apps.ReplicaSet](w.sets[t.place.namespace])); t.object.Kind == "Deployment" {
		now.ready = 0 // its own numbers count older pods too
		if set != nil {
			now.ready = int(set.Status.ReadyReplicas)
		}
	}
	w.tell(t.object, now)
	s.pending = append(s.pending, failing{tracked: t, finding: found, why: now.failed})
}

// lookAtClaims waits for a claim only if a pod mounts it: a volume class may bind with the first pod, and there may never
// be one.
func (w *watcher) lookAtClaims(s *seen, claims []tracked) {
	others := len(s.pending)
	for _, t := range claims {
		object := w.objectOf(t)
		now := w.conditionOf(s, t, object)
		pods := w.pods[t.place.namespace]
		if others == 0 && pods.State().Synced && object != nil && !mounted(t.object.Name, store.All[*core.Pod](pods)) {
			now.done, now.message = true, now.message+", and no pod mounts it"
		}
		w.judge(s, t, object, now)
	}
}

func mounted(claim string, pods []*core.Pod) bool {
	for _, pod := range pods {
		for _, name := range claimsOf(pod) {
			if name == claim && pod.DeletionTimestamp == nil {
				return true
			}
		}
	}
	return false
}

// objectOf is an object as it was last heard of, nil if it is not there.
func (w *watcher) objectOf(t tracked) *unstructured.Unstructured {
	key := t.object.Name
	if t.place.namespace != "" {
		key = t.place.namespace + "/" + key
	}
	stored, found, err := w.feeds[t.place].GetByKey(key)
	if err != nil || !found {
		return nil
	}
	if object, ok := stored.(*unstructured.Unstructured); ok {
		return object
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(stored)
	if err != nil {
		return nil
	}
	object := &unstructured.Unstructured{Object: fields}
	object.SetAPIVersion(t.object.APIVersion)
	object.SetKind(t.object.Kind)
	return object
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
