package kube

import (
	"fmt"
	"math"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of a Lease. The last holder's URL, actor and commit are under the keys that the release's objects carry too.
const (
	annotationPinCommit = "onedigest.dev/pin-commit"
	annotationPinRun    = "onedigest.dev/pin-run"
	annotationPinActor  = "onedigest.dev/pin-actor"
	annotationPinAt     = "onedigest.dev/pin-at" // RFC 3339
)

// leaseName is the Lease of a release. A release's name has at most 53 characters, so that this is a DNS label.
func leaseName(name string) string { return "onedigest-" + name }

// newLease is a Lease that nobody has yet.
func newLease(namespace, name string) *coordination.Lease {
	return &coordination.Lease{ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name,
		Labels: map[string]string{"app.kubernetes.io/managed-by": "onedigest"}}}
}

// anew is a Lease as it is to be created again after somebody deleted it.
func anew(lease *coordination.Lease) *coordination.Lease {
	again := newLease(lease.Namespace, lease.Name)
	again.Annotations, again.Spec = lease.Annotations, lease.Spec
	return again
}

// stamp is as precise as a Lease's times are.
func stamp() meta.MicroTime { return meta.NewMicroTime(time.Now().UTC().Truncate(time.Microsecond)) }

// occupy writes a holder into a Lease, with the fields' meaning as
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/ has it. The pin stays.
func occupy(lease *coordination.Lease, hold release.LeaseRequest, at meta.MicroTime) {
	seconds := int32(min(math.Ceil(hold.Duration.Seconds()), math.MaxInt32))
	transitions := int32(0)
	if lease.UID != "" {
		transitions = transitionsOf(lease) + 1
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.LeaseTransitions = &hold.Holder.Run, &seconds, &transitions
	lease.Spec.AcquireTime, lease.Spec.RenewTime = &at, &at
	annotate(lease, release.AnnotationRun, hold.Holder.URL)
	annotate(lease, release.AnnotationActor, hold.Holder.Actor)
	annotate(lease, release.LabelCommit, hold.Holder.Commit.String())
}

// vacate takes the holder out. The annotations still tell who it was.
func vacate(lease *coordination.Lease) { lease.Spec.HolderIdentity = nil }

// annotate sets an annotation, or removes it if the value is "".
func annotate(lease *coordination.Lease, key, value string) {
	if value == "" {
		delete(lease.Annotations, key)
		return
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[key] = value
}

func isHeld(lease *coordination.Lease) bool {
	return lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != ""
}

// ownedBy tells whether a run has the Lease, by the moment too at which it took it: two jobs of one run may have one identity.
func ownedBy(lease *coordination.Lease, run string, since meta.MicroTime) bool {
	return isHeld(lease) && *lease.Spec.HolderIdentity == run && lease.Spec.AcquireTime.Equal(&since)
}

// sameBeat tells whether the holder has not been heard from between two looks.
func sameBeat(a, b *coordination.Lease) bool {
	return a.UID == b.UID && isHeld(a) == isHeld(b) && (!isHeld(a) || *a.Spec.HolderIdentity == *b.Spec.HolderIdentity) &&
		a.Spec.AcquireTime.Equal(b.Spec.AcquireTime) && a.Spec.RenewTime.Equal(b.Spec.RenewTime)
}

func transitionsOf(lease *coordination.Lease) int32 {
	if lease.Spec.LeaseTransitions == nil {
		return 0
	}
	return *lease.Spec.LeaseTransitions
}

// lastsOf is how long the holder may be silent, by its own word.
func lastsOf(lease *coordination.Lease, otherwise time.Duration) time.Duration {
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil && *seconds > 0 {
		return time.Duration(*seconds) * time.Second
	}
	return otherwise
}

// holderOf is who has a Lease, or had it last. What is no commit is not told as one.
func holderOf(lease *coordination.Lease) release.Holder {
	holder := release.Holder{URL: told(lease, release.AnnotationRun), Actor: told(lease, release.AnnotationActor)}
	if lease.Spec.HolderIdentity != nil {
		holder.Run = cut(printable(*lease.Spec.HolderIdentity), 256)
	}
	if commit, err := release.ParseCommit(lease.Annotations[release.LabelCommit]); err == nil {
		holder.Commit = commit
	}
	return holder
}

// told is an annotation as it may be shown: whoever may write Leases can have written it.
func told(lease *coordination.Lease, key string) string {
	return cut(printable(lease.Annotations[key]), 512)
}

// who names a holder in a sentence.
func who(holder release.Holder) string {
	text := "run " + holder.Run
	if holder.Run == "" {
		text = "another run"
	}
	if holder.URL != "" {
		text += " (" + holder.URL + ")"
	}
	if holder.Actor != "" {
		text += " of " + holder.Actor
	}
	if holder.Commit != "" {
		text += ", commit " + holder.Commit.Short()
	}
	return text
}

// pinOf reads the pin; nil if there is none. A pin that cannot be read is an error: taken for none, it would let through what
// somebody has locked out.
func pinOf(lease *coordination.Lease) (*release.Pin, error) {
	text := func(key string) string { return lease.Annotations[key] }
	if text(annotationPinCommit)+text(annotationPinRun)+text(annotationPinActor)+text(annotationPinAt) == "" {
		return nil, nil
	}
	commit, err := release.ParseCommit(text(annotationPinCommit))
	if err != nil {
		return nil, malformed(lease, annotationPinCommit, err)
	}
	at, err := time.Parse(time.RFC3339, text(annotationPinAt))
	if err != nil {
		return nil, malformed(lease, annotationPinAt, fmt.Errorf("%q is no time as RFC 3339 writes it", text(annotationPinAt)))
	}
	return &release.Pin{Commit: commit, RunURL: told(lease, annotationPinRun), Actor: told(lease, annotationPinActor), At: at}, nil
}

func malformed(lease *coordination.Lease, key string, err error) error {
	return &release.Fault{Side: Side, Err: fmt.Errorf("reading annotation %q of Lease %q in namespace %q: %w", key, lease.Name, lease.Namespace, Printable{err}),
		Do: fmt.Sprintf("put it right, or lift the pin: kubectl -n %s annotate lease %s %s- %s- %s- %s-", lease.Namespace, lease.Name,
			annotationPinCommit, annotationPinRun, annotationPinActor, annotationPinAt)}
}

// pinDown writes a pin into a Lease, or removes it if it is nil.
func pinDown(lease *coordination.Lease, pin *release.Pin) {
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
