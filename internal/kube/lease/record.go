package lease

import (
	"math"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// leaseName returns the name of a release's Lease. It is a DNS label, because a release's name has at most 53 characters.
func leaseName(name string) string { return "onedigest-" + name }

// newLease returns a Lease without a holder, to be created.
func newLease(namespace, name string) *coordination.Lease {
	return &coordination.Lease{ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name,
		Labels: map[string]string{"app.kubernetes.io/managed-by": "onedigest"}}}
}

// copyForRecreation returns a Lease to be created in place of a deleted one, with the same holder and pin.
func copyForRecreation(deleted *coordination.Lease) *coordination.Lease {
	lease := newLease(deleted.Namespace, deleted.Name)
	lease.Annotations, lease.Spec = deleted.Annotations, deleted.Spec
	return lease
}

// nowMicro returns the time in microseconds, the precision of a Lease.
func nowMicro() meta.MicroTime {
	return meta.NewMicroTime(time.Now().UTC().Truncate(time.Microsecond))
}

// setHolder writes a holder into a Lease and keeps the pin. The fields are those of
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/. The holder's URL, actor and commit are
// annotations with the same keys as on the release's objects.
func setHolder(lease *coordination.Lease, request release.LeaseRequest, at meta.MicroTime) {
	seconds := int32(min(math.Ceil(request.Duration.Seconds()), math.MaxInt32))
	transitions := int32(0)
	if lease.UID != "" {
		transitions = transitionsOf(lease) + 1
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.LeaseTransitions = &request.Holder.Run, &seconds, &transitions
	lease.Spec.AcquireTime, lease.Spec.RenewTime = &at, &at
	annotate(lease, release.AnnotationRun, request.Holder.URL)
	annotate(lease, release.AnnotationActor, request.Holder.Actor)
	annotate(lease, release.LabelCommit, request.Holder.Commit.String())
}

// clearHolder removes the holder. The annotations still name the last holder.
func clearHolder(lease *coordination.Lease) { lease.Spec.HolderIdentity = nil }

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

// isHeldBy also compares the acquire time: two jobs of one run may have the same identity.
func isHeldBy(lease *coordination.Lease, run string, acquired meta.MicroTime) bool {
	return isHeld(lease) && *lease.Spec.HolderIdentity == run && lease.Spec.AcquireTime.Equal(&acquired)
}

// sameHeartbeat reports whether two reads of a Lease show the same holder and the same renew time.
func sameHeartbeat(a, b *coordination.Lease) bool {
	return a.UID == b.UID && isHeld(a) == isHeld(b) && (!isHeld(a) || *a.Spec.HolderIdentity == *b.Spec.HolderIdentity) &&
		a.Spec.AcquireTime.Equal(b.Spec.AcquireTime) && a.Spec.RenewTime.Equal(b.Spec.RenewTime)
}

// transitionsOf returns how often the Lease has changed its holder.
func transitionsOf(lease *coordination.Lease) int32 {
	if lease.Spec.LeaseTransitions == nil {
		return 0
	}
	return *lease.Spec.LeaseTransitions
}

// durationOf returns how long after a heartbeat the Lease expires, as its holder set it; fallback if it is not set.
func durationOf(lease *coordination.Lease, fallback time.Duration) time.Duration {
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil && *seconds > 0 {
		return time.Duration(*seconds) * time.Second
	}
	return fallback
}

// holderOf returns the current or last holder. A commit annotation that is not a full commit id is ignored.
func holderOf(lease *coordination.Lease) release.Holder {
	holder := release.Holder{URL: annotationText(lease, release.AnnotationRun), Actor: annotationText(lease, release.AnnotationActor)}
	if lease.Spec.HolderIdentity != nil {
		holder.Run = text.Line(*lease.Spec.HolderIdentity, 256)
	}
	if commit, err := release.ParseCommit(lease.Annotations[release.LabelCommit]); err == nil {
		holder.Commit = commit
	}
	return holder
}

// annotationText returns an annotation, sanitized, because anybody who may write Leases can have written it.
func annotationText(lease *coordination.Lease, key string) string {
	return text.Line(lease.Annotations[key], 512)
}

// describeHolder describes a holder for a sentence.
func describeHolder(holder release.Holder) string {
	name := "run " + holder.Run
	if holder.Run == "" {
		name = "another run"
	}
	if holder.URL != "" {
		name += " (" + holder.URL + ")"
	}
	if holder.Actor != "" {
		name += " of " + holder.Actor
	}
	if holder.Commit != "" {
		name += ", commit " + holder.Commit.Short()
	}
	return name
}
