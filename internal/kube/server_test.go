package kube

import (
	"errors"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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

func (s *server) client() *Client {
	s.t.Helper()
	client, err := New(s.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

const (
	space  = "staging"
	digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

func described(name string, labels map[string]string) meta.ObjectMeta {
	return meta.ObjectMeta{Name: name, Namespace: space, UID: "uid-" + types.UID(name), Labels: labels}
}

// pod is one of the release shop, running and ready.
func pod(name string) *core.Pod {
	p := &core.Pod{ObjectMeta: described(name, map[string]string{instanceLabel: "shop"})}
	p.Status.Phase = core.PodRunning
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: "app", Ready: true, ImageID: "localhost:5000/shop@" + digest, State: core.ContainerState{Running: &core.ContainerStateRunning{}}}}
	return p
}

func event(name string, about meta.ObjectMeta, reason, message string) *core.Event {
	return &core.Event{ObjectMeta: described(name, nil), InvolvedObject: core.ObjectReference{UID: about.UID, Name: about.Name}, Type: "Warning", Reason: reason, Message: message}
}

// patience is longer than anything that a test awaits takes on a busy machine; no test uses it up.
const patience = 5 * time.Minute

// diagnosisOf is that of a failure.
func diagnosisOf(t *testing.T, err error) release.Diagnosis {
	t.Helper()
	var failure *release.Failure
	var diagnosed release.Diagnosed
	if !errors.As(err, &failure) || !errors.As(err, &diagnosed) {
		t.Fatalf("got %v, want a diagnosed failure", err)
	}
	return diagnosed.Diagnosis()
}
