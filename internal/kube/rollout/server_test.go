package rollout

import (
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"k8s.io/apimachinery/pkg/runtime"
)

// server is an apiserver for the tests of this package.
type server struct {
	*kubetest.Server
	t *testing.T
}

func newServer(t *testing.T) *server {
	t.Helper()
	return &server{kubetest.New(t), t}
}

// newServerInBubble is a server in the bubble of a synctest.
func newServerInBubble(t *testing.T) *server {
	t.Helper()
	return &server{kubetest.NewInBubble(t), t}
}

// Put creates or changes objects, and before a workload that is ready its pods.
func (s *server) Put(objects ...runtime.Object) {
	s.t.Helper()
	for _, object := range objects {
		s.Server.Put(podsOf(object)...)
		s.Server.Put(object)
	}
}

// watcher watches as in production.
func (s *server) watcher() *Watcher {
	s.t.Helper()
	client, err := kube.New(s.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	watcher, err := New(client)
	if err != nil {
		s.t.Fatal(err)
	}
	return watcher
}

// hasty is a watcher for which no finding has any grace.
func (s *server) hasty() *Watcher { return s.withGrace(0) }

// withGrace is a watcher for which every finding has the same grace.
func (s *server) withGrace(grace time.Duration) *Watcher {
	watcher := s.watcher()
	watcher.grace = func(time.Duration) time.Duration { return grace }
	return watcher
}
