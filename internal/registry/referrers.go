package registry

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Limits for reading the referrers of one image. They limit memory and time, not the number of referrers: a list of 50,000 is
// within them.
const (
	maxListPage     = 16 << 20 // bytes of one page of the list
	maxReferrerRead = 64 << 20 // bytes of the list, the manifests and the contents together
	minResponse     = 4 << 10  // bytes that every response counts as at least
	maxReferrerTime = 2 * time.Minute
)

// Referrer is content attached to an image.
type Referrer struct {
	Digest      release.Digest // of its manifest
	Annotations map[string]string
	PushedAt    time.Time // by the registry's clock; zero if unknown
	MediaType   string    // of the content
	Content     []byte
}

// Created returns the creation time in the annotations, by the writer's clock; zero if it is missing or not a time.
func (r Referrer) Created() time.Time { return createdAt(r.Annotations) }

// SkippedReferrerError says why a referrer was skipped: it is malformed, too large, or part of it is missing. The other referrers
// can still be read.
type SkippedReferrerError struct {
	Digest      string            // as the registry lists it, sanitized
	Annotations map[string]string // of its manifest or, if that cannot be read, of the registry's list
	PushedAt    time.Time         // by the registry's clock; zero if unknown
	Unavailable bool              // the registry failed to serve it, and may succeed at another time
	Err         error
}

func (e *SkippedReferrerError) Error() string { return fmt.Sprintf("%s: %v", e.Digest, e.Err) }

// Unwrap returns the reason.
func (e *SkippedReferrerError) Unwrap() error { return e.Err }

// Created returns the creation time in the annotations, by the writer's clock; zero if it is missing or not a time.
func (e *SkippedReferrerError) Created() time.Time { return createdAt(e.Annotations) }

// createdAt parses the creation annotation; zero if it is missing or not a time. Source: OCI image-spec, annotations.md.
func createdAt(annotations map[string]string) time.Time {
	created, err := time.Parse(time.RFC3339, annotations[release.AnnotationCreated])
	if err != nil {
		return time.Time{}
	}
	return created
}

// ReferrerQuery says which referrers are read, and in which order.
type ReferrerQuery struct {
	ArtifactTypes []string          // at least one
	Annotations   map[string]string // a referrer with another value for one of them is not read
	// Skip is asked with the annotations of a referrer's list entry or manifest: true means that it is not read. nil skips none.
	Skip func(annotations map[string]string) bool
	// PushedAt asks the registry when it got manifests. The order is that of their creation annotations if it is nil or returns
	// nothing for one of them.
	PushedAt func(ctx context.Context, manifests []release.Digest) map[release.Digest]time.Time
	// Leave is asked before a referrer is read, which has no content yet: true leaves it unread. nil reads all.
	Leave func(next Referrer) bool
}

// Referrers reads the referrers of an image, the newest first. Those with an unknown time come before all others. Without
// Leave, all of them are read; with it, about as many as it does not leave. An image that does not exist has none.
//
// The annotations in the registry's list decide which referrers are read. Some registries list no annotations; then those of the
// manifests decide. A referrer that is malformed, larger than 1 MiB or lacks a part is a *SkippedReferrerError, after which the
// next follows. Every other error is a *release.Fault and the last. A list that exceeds 64 MiB or takes
// longer than two minutes is such a fault too: a part of the list does not show which referrer is the newest.
func (c *Client) Referrers(ctx context.Context, image release.Image, query ReferrerQuery) iter.Seq2[Referrer, error] {
	return func(yield func(Referrer, error) bool) {
		list, err := c.OpenReferrers(ctx, image, query.ArtifactTypes)
		if err != nil {
			yield(Referrer{}, err)
			return
		}
		for referrer, err := range list.Each(ctx, query) {
			if !yield(referrer, err) {
				return
			}
		}
	}
}

// ListReferrers lists the manifests that the registry lists as referrers of an image with one of the artifact types and the given
// annotations, the newest first, those with an unknown time before all others. Entries that are listed without annotations are
// among them. No referrer is read.
func (c *Client) ListReferrers(ctx context.Context, image release.Image, artifactTypes []string, annotations map[string]string) ([]release.Digest, error) {
	r, err := c.open(sideRegistry, image.Repository, false)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxReferrerTime, errReferrersTooLong)
	defer cancel()
	want := referrerFilter{image.Digest, ReferrerQuery{ArtifactTypes: artifactTypes, Annotations: annotations}}
	listed, _, err := r.listReferrers(ctx, image.Digest, artifactTypes, newAllowance())
	if err != nil {
		return nil, r.fault(err, fmt.Sprintf("listing what is attached to %q", image))
	}
	var found []candidate
	for _, each := range listed {
		if digest, err := release.ParseDigest(each.Digest); err == nil && want.matches(each.Annotations, true) {
			found = append(found, candidate{digest: digest, annotations: each.Annotations})
		}
	}
	slices.SortStableFunc(found, newestFirst)
	digests := make([]release.Digest, len(found))
	for i := range found {
		digests[i] = found[i].digest
	}
	return digests, nil
}

var (
	errReferrersTooLong = fmt.Errorf("reading the referrers takes longer than %s", text.Duration(maxReferrerTime))
	errReferrersTooMany = fmt.Errorf("the list of referrers and what it names are larger than %d MiB", maxReferrerRead>>20)
)

// referrerFilter describes the referrers that are read.
type referrerFilter struct {
	image release.Digest
	ReferrerQuery
}

// matches reports whether annotations have the wanted values. If lenient is set, missing annotations match too.
func (w referrerFilter) matches(annotations map[string]string, lenient bool) bool {
	if w.Skip != nil && w.Skip(annotations) {
		return false
	}
	for key, value := range w.Annotations {
		if got, found := annotations[key]; got != value && (found || !lenient) {
			return false
		}
	}
	return true
}

// allowance is the number of bytes that may still be read.
type allowance struct{ left atomic.Int64 }

func newAllowance() *allowance {
	allowed := new(allowance)
	allowed.left.Store(maxReferrerRead)
	return allowed
}

// limit returns the limit of the next response.
func (a *allowance) limit(most int64) int64 { return min(most, max(a.left.Load(), 0)) }

// spend subtracts a response's size. Each response counts as at least minResponse, so that a server cannot send empty pages
// forever.
func (a *allowance) spend(size int) error {
	if a.left.Add(-max(int64(size), minResponse)) <= 0 {
		return errReferrersTooMany
	}
	return nil
}

// candidate is an entry of the list.
type candidate struct {
	digest      release.Digest // zero if the list names none
	annotations map[string]string
	pushed      time.Time
	skipped     *SkippedReferrerError // why it cannot be read; nil if that is not known yet
}

// newestFirst orders candidates by the registry's time if both have one, otherwise by the writers' times. Candidates without a time
// come first.
func newestFirst(a, b candidate) int {
	first, second := a.pushed, b.pushed
	if first.IsZero() || second.IsZero() {
		first, second = createdAt(a.annotations), createdAt(b.annotations)
	}
	if first.IsZero() || second.IsZero() {
		return first.Compare(second) // the zero time is the earliest
	}
	return second.Compare(first)
}
