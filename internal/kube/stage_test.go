package kube

import (
	"testing"
	"testing/synctest"
	"time"

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

// stage is a watcher whose feeds are filled by hand, so that patience can be tested on a clock that a test moves.
type stage struct {
	t    *testing.T
	w    *watcher
	last seen
}

// play runs a test on a clock that stands still but when the test sleeps.
func play(t *testing.T, hook bool, objects []release.Object, act func(s *stage)) {
	t.Helper()
	client, err := New(&rest.Config{Host: "http://127.0.0.1:1"}) // it sends nothing
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w, err := client.newWatcher(t.Context(), space, objects, hook, func(release.RolloutStep) {})
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{t: t, w: w}
		w.start(t.Context(), func(store.Source) *store.Store {
			f := store.New(func() {})
			if err := f.Replace(nil, ""); err != nil {
				t.Error(err)
			}
			return f
		})
		act(s)
	})
}

// put gives objects to the feeds that would hear of them.
func (s *stage) put(objects ...runtime.Object) {
	s.t.Helper()
	for _, object := range objects {
		switch typed := object.(type) {
		case *core.Pod:
			s.add(s.w.pods[space], typed)
		case *apps.ReplicaSet:
			s.add(s.w.sets[space], typed)
		case *core.Event:
			s.add(s.w.events[space], typed)
		case *core.PersistentVolumeClaim:
			if where := (place{claimsResource, space}); s.w.feeds[where] == nil {
				s.w.feeds[where] = s.w.open(store.Source{})
			}
			s.add(s.w.feeds[place{claimsResource, space}], s.unstructured(typed))
		default:
			for where, f := range s.w.feeds {
				if described := s.unstructured(object); where.resource.Resource == resourceNamed(described) {
					s.add(f, described)
				}
			}
		}
	}
}

func (s *stage) add(f *store.Store, object any) {
	s.t.Helper()
	if err := f.Add(object); err != nil {
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

func resourceNamed(object *unstructured.Unstructured) string {
	for kind, found := range known {
		if kind == object.GroupVersionKind() {
			return found.resource.Resource
		}
	}
	return ""
}

// looks looks, and wants the rollout to be failed for a cause, or not to be if that is "".
func (s *stage) looks(when string, want causes.Code) {
	s.t.Helper()
	s.last = s.w.look()
	got := causes.Code("")
	if s.last.failure != nil {
		got = s.last.failure.finding.code
	}
	if got != want {
		s.t.Errorf("%s: failed for %q, want %q", when, got, want)
	}
}

// bears wants a cause to be borne with for so long and no longer, and to be looked at again when that has passed.
func (s *stage) bears(patience time.Duration, code causes.Code) {
	s.t.Helper()
	s.looks("at once", "")
	if s.last.again != patience {
		s.t.Errorf("looks again after %s, want %s", s.last.again, patience)
	}
	time.Sleep(patience - time.Millisecond)
	s.looks("before its time", "")
	time.Sleep(time.Millisecond)
	s.looks("after its time", code)
}

// bearsForEver wants time alone never to decide.
func (s *stage) bearsForEver() {
	s.t.Helper()
	s.looks("at once", "")
	if s.last.again != 0 {
		s.t.Errorf("looks again after %s, want never", s.last.again)
	}
	time.Sleep(time.Hour)
	s.looks("an hour later", "")
}
