package rollout

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// stage is a rollout whose stores are filled by hand, so that graces can be tested on a clock that a test moves.
type stage struct {
	t     *testing.T
	r     *rollout
	known snapshot
	last  assessment
}

// play runs a test on a clock that stands still except when the test sleeps.
func play(t *testing.T, hook bool, objects []release.Object, act func(s *stage)) {
	t.Helper()
	playSince(t, release.Baseline{}, hook, objects, act)
}

// playSince is play with a baseline.
func playSince(t *testing.T, before release.Baseline, hook bool, objects []release.Object, act func(s *stage)) {
	t.Helper()
	client, err := kube.New(&rest.Config{Host: "http://127.0.0.1:1"}) // it sends nothing
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := New(client)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := watcher.newRollout(t.Context(), space, objects, before, hook, func(release.RolloutStep) {})
		if err != nil {
			t.Fatal(err)
		}
		r.start(t.Context(), func(store.Source) *store.Store { return synced(t) })
		act(&stage{t: t, r: r})
	})
}

// synced is an empty store that has been filled, with the objects if any are given.
func synced(t *testing.T, objects ...any) *store.Store {
	t.Helper()
	s := store.New(func() {})
	if err := s.Replace(objects, ""); err != nil {
		t.Error(err)
	}
	return s
}

// Put gives objects to the stores that would receive them.
func (s *stage) Put(objects ...runtime.Object) {
	s.t.Helper()
	for _, object := range objects {
		object := object.DeepCopyObject() // a store strips what it is given, and tests share objects
		s.Put(podsOf(object)...)
		switch typed := object.(type) {
		case *core.Pod:
			s.add(s.r.stores.pods[space], typed)
		case *apps.ReplicaSet:
			s.add(s.r.stores.replicaSets[space], typed)
		case *core.Event:
			s.add(s.r.stores.events[space], typed)
		case *core.PersistentVolumeClaim:
			s.r.stores.followClaims([]string{space})
			s.add(s.r.stores.objects[watchKey{claimsResource, space}], s.unstructured(typed))
		default:
			for key, followed := range s.r.stores.objects {
				if described := s.unstructured(object); key.resource == watchedKinds[described.GroupVersionKind()].resource {
					s.add(followed, described)
				}
			}
		}
	}
}

// remove takes the Job from its store.
func (s *stage) remove(object runtime.Object) {
	s.t.Helper()
	for key, followed := range s.r.stores.objects {
		if described := s.unstructured(object); key.resource == watchedKinds[described.GroupVersionKind()].resource {
			if err := followed.Delete(described); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func (s *stage) add(to *store.Store, object any) {
	s.t.Helper()
	if err := to.Add(object); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) unstructured(object runtime.Object) *unstructured.Unstructured {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		s.t.Fatal(err)
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		s.t.Fatal(err)
	}
	described := &unstructured.Unstructured{Object: fields}
	described.SetGroupVersionKind(kinds[0])
	return described
}

func (s *stage) evaluate() assessment {
	s.known, s.last = s.r.evaluate()
	return s.last
}

// fails evaluates, and wants the rollout to have failed for a cause, or not to have failed if that is "".
func (s *stage) fails(when string, want causes.Code) {
	s.t.Helper()
	s.evaluate()
	got := causes.Code("")
	if s.last.failure != nil {
		got = s.last.failure.finding.Code
	}
	if got != want {
		s.t.Errorf("%s: failed for %q, want %q", when, got, want)
	}
}

// failsAfter wants a cause to be tolerated for its grace and no longer, and the next evaluation to be due at its end.
func (s *stage) failsAfter(grace time.Duration, code causes.Code) {
	s.t.Helper()
	s.fails("at once", "")
	if s.last.recheckAfter != grace {
		s.t.Errorf("evaluates again after %s, want %s", s.last.recheckAfter, grace)
	}
	time.Sleep(grace - time.Millisecond)
	s.fails("before its time", "")
	time.Sleep(time.Millisecond)
	s.fails("after its time", code)
}

// neverFails wants time alone never to make the rollout fail.
func (s *stage) neverFails() {
	s.t.Helper()
	s.fails("at once", "")
	if s.last.recheckAfter != 0 {
		s.t.Errorf("evaluates again after %s, want never", s.last.recheckAfter)
	}
	time.Sleep(time.Hour)
	s.fails("an hour later", "")
}
