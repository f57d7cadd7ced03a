package lease

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of a Lease that contain the release's pin.
const (
	annotationPinCommit = "onedigest.dev/pin-commit"
	annotationPinRun    = "onedigest.dev/pin-run"
	annotationPinActor  = "onedigest.dev/pin-actor"
	annotationPinAt     = "onedigest.dev/pin-at" // RFC 3339
)

// readPin parses the pin; nil if there is none. A pin that cannot be parsed is an error: if it counted as no pin, the refused
// commits could be deployed.
func readPin(lease *coordination.Lease) (*release.Pin, error) {
	text := func(key string) string { return lease.Annotations[key] }
	if text(annotationPinCommit)+text(annotationPinRun)+text(annotationPinActor)+text(annotationPinAt) == "" {
		return nil, nil
	}
	commit, err := release.ParseCommit(text(annotationPinCommit))
	if err != nil {
		return nil, malformedPin(lease, annotationPinCommit, err)
	}
	at, err := time.Parse(time.RFC3339, text(annotationPinAt))
	if err != nil {
		return nil, malformedPin(lease, annotationPinAt, fmt.Errorf("%q is not an RFC 3339 time", text(annotationPinAt)))
	}
	return &release.Pin{Commit: commit, RunURL: annotationText(lease, annotationPinRun), Actor: annotationText(lease, annotationPinActor), At: at}, nil
}

func malformedPin(lease *coordination.Lease, key string, err error) error {
	return &release.Fault{Side: apierror.Side, Err: fmt.Errorf("reading annotation %q of Lease %q in namespace %q: %w", key, lease.Name, lease.Namespace, apierror.Sanitized{Err: err}),
		Do: fmt.Sprintf("correct it, or remove the pin: kubectl -n %s annotate lease %s %s- %s- %s- %s-", lease.Namespace, lease.Name,
			annotationPinCommit, annotationPinRun, annotationPinActor, annotationPinAt)}
}

// writePin writes a pin into a Lease, or removes it if pin is nil.
func writePin(lease *coordination.Lease, pin *release.Pin) {
	if pin == nil {
		pin = &release.Pin{}
	}
	at := ""
	if pin.Commit != "" {
		at = pin.At.UTC().Format(time.RFC3339)
	}
	annotate(lease, annotationPinCommit, pin.Commit.String())
	annotate(lease, annotationPinRun, pin.RunURL)
	annotate(lease, annotationPinActor, pin.Actor)
	annotate(lease, annotationPinAt, at)
}

// Pin reads a release's pin without acquiring the Lease; nil if there is none. A request that the cluster forbids, and a pin that
// cannot be parsed, are a *release.Fault.
func (l *Leases) Pin(ctx context.Context, namespace, name string) (*release.Pin, error) {
	lease, err := l.client.Leases(namespace).Get(ctx, leaseName(name), meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, leaseFault(ctx, l.host, err, fmt.Sprintf("reading the pin of release %q in namespace %q", name, namespace))
	}
	return readPin(lease)
}
