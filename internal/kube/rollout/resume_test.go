package rollout

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestWatchDecidesNothingWhileDisconnected: what was ready when the cluster last answered is not reported as ready before it answers again.
func TestWatchDecidesNothingWhileDisconnected(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(deployment(1, 1, 1, 1), statefulSet(2, 1, 1, 0))
	r := observe(t, s.watcher(), ofDeployment, ofStateful)
	r.until("the Deployment is ready", func(step release.RolloutStep) bool { return step.Object == ofDeployment && step.Done })
	refused := make(chan struct{}, 1000)
	s.Break(func(r *http.Request) int {
		if !strings.HasSuffix(r.URL.Path, "/deployments") {
			return 0
		}
		refused <- struct{}{}
		return http.StatusServiceUnavailable
	})
	s.Drop()
	<-refused
	s.Put(deployment(2, 1, 0, 1)) // not received, since the watch has ended
	s.Put(statefulSet(2, 1, 1, 1))
	r.until("the StatefulSet is ready", func(step release.RolloutStep) bool { return step.Object == ofStateful && step.Done })
	for len(refused) > 0 {
		<-refused
	}
	select {
	case err := <-r.ended:
		t.Fatalf("ended with %v while the Deployment was not read", err)
	case <-refused: // asked once more since, and refused
	}
	s.Break(nil)
	r.until("what the Deployment has become", func(step release.RolloutStep) bool { return step.Object == ofDeployment && !step.Done })
	s.Put(deployment(2, 1, 1, 1))
	if _, err := r.rest(); err != nil {
		t.Error(err)
	}
}

// TestWatchIsNotReadyWhilePodsAreUnread: a workload that counts as ready may have pods that say otherwise, which are not received.
func TestWatchIsNotReadyWhilePodsAreUnread(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(deployment(1, 1, 0, 0), replicaSet(1), pod(shopPod, 1))
	r := observe(t, s.watcher(), ofDeployment)
	r.until("the Deployment is followed", func(step release.RolloutStep) bool { return step.Object == ofDeployment })
	refused := make(chan struct{}, 1000)
	s.Break(func(r *http.Request) int {
		if !strings.HasSuffix(r.URL.Path, "/pods") {
			return 0
		}
		refused <- struct{}{}
		return http.StatusServiceUnavailable
	})
	s.Drop()
	<-refused
	s.Put(deployment(1, 1, 1, 1))
	r.until("the Deployment is ready", func(step release.RolloutStep) bool { return step.Object == ofDeployment && step.Done })
	for range 3 { // three requests later, the watch has seen that pods cannot be read
		select {
		case err := <-r.ended:
			t.Fatalf("ended with %v while the pods were not read", err)
		case <-refused:
		}
	}
	s.Break(nil)
	if _, err := r.rest(); err != nil {
		t.Error(err)
	}
}

// TestTimeDoesNotCountWhileDisconnected: what was wrong when the cluster last answered may have passed.
func TestTimeDoesNotCountWhileDisconnected(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		s.Put(deployment(2, 2, 1, 1), replicaSet(2), amend(unreadyPod(), waitsFor("CreateContainerError", "some trouble")))
		s.fails("connected", "")
		time.Sleep(15 * time.Second)
		s.r.stores.pods[space].RecordRequest(apierrors.NewServiceUnavailable("away"))
		s.fails("disconnected", "")
		time.Sleep(20 * time.Second)
		s.fails("disconnected for long", "")
		s.r.stores.pods[space].RecordRequest(nil)
		s.fails("connected again", "")
		time.Sleep(diagnose.GraceTransient - time.Millisecond)
		s.fails("less than its grace since then", "")
		time.Sleep(time.Millisecond)
		s.fails("its grace since then", causes.ContainerNotStarted)
	})
}

// TestNothingIsReadyWhileCatchingUp: a store that is connected again may still receive what it has missed.
func TestNothingIsReadyWhileCatchingUp(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		s.Put(deployment(1, 1, 1, 1))
		f := s.r.stores.objects[watchKey{watchedKinds[schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}].resource, space}]
		f.RecordRequest(apierrors.NewUnauthorized("expired"))
		if s.last = s.evaluate(); len(s.last.pending) == 0 {
			t.Error("ready while disconnected")
		}
		f.RecordRequest(nil)
		if s.last = s.evaluate(); !s.last.uncertain {
			t.Error("ready at once")
		}
		time.Sleep(s.last.recheckAfter)
		if s.last = s.evaluate(); s.last.uncertain || len(s.last.pending) > 0 {
			t.Errorf("not ready after %s", catchUpTime)
		}
	})
}

// TestRefusalsCountAfterTheirGrace: a token is renewed by the transport that carries it, or it never is.
func TestRefusalsCountAfterTheirGrace(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		synced  bool
		refusal error
		after   time.Duration
	}{
		"401":                  {true, apierrors.NewUnauthorized("expired"), unauthorizedGrace},
		"401 from the start":   {false, apierrors.NewUnauthorized("expired"), unauthorizedGrace},
		"403":                  {true, apierrors.NewForbidden(schema.GroupResource{}, "", nil), revokedGrace},
		"403 from the start":   {false, apierrors.NewForbidden(schema.GroupResource{}, "", nil), forbiddenGrace},
		"503 for ever so long": {true, apierrors.NewServiceUnavailable("away"), 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofDeployment}, func(s *stage) {
				for where := range s.r.stores.objects {
					f := s.r.stores.objects[where]
					if !test.synced {
						f = store.New(func() {})
						s.r.stores.objects[where] = f
					}
					f.RecordRequest(test.refusal)
				}
				s.last = s.evaluate()
				if s.last.fault != nil || s.last.recheckAfter != test.after {
					t.Fatalf("got %v, again after %s, want %s", s.last.fault, s.last.recheckAfter, test.after)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if s.last = s.evaluate(); (s.last.fault != nil) != (test.after > 0) {
					t.Errorf("an hour later: %v", s.last.fault)
				}
			})
		})
	}
}

// TestWatchToleratesAnExpiredToken has every request refused with 401 for a while, as between a token's end and its renewal.
func TestWatchToleratesAnExpiredToken(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	brokenRollout(s, amend(unreadyPod(), waitsFor("CreateContainerConfigError", "failed to sync secret cache")))
	r := observe(t, s.watcher(), ofDeployment)
	r.until("the first", func(release.RolloutStep) bool { return true })
	refused := make(chan struct{}, 1000)
	s.Break(func(*http.Request) int {
		refused <- struct{}{}
		return http.StatusUnauthorized
	})
	s.Drop()
	for range 8 {
		<-refused
	}
	s.Put(unreadyPod())
	s.Put(deployment(2, 2, 2, 2))
	s.Break(nil)
	if _, err := r.rest(); err != nil {
		t.Error(err)
	}
}
