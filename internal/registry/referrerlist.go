package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
)

const (
	maxPrefetched = 100 // manifests that are read ahead
	patience      = 4   // manifests that are read one by one, before more and more are read ahead
)

// ReferrerList is what a registry lists as attached to an image, at one time. What is read of it stays in memory, within the limits of Referrers, so that
// several questions read it once. It may be used from several goroutines.
type ReferrerList struct {
	repository *repository
	image      release.Image
	native     NativeReferrers // nil: the distribution protocol
	listed     []release.Descriptor
	allowed    *allowance

	mu        sync.Mutex // guards the maps
	manifests map[release.Digest]readManifest
	contents  map[release.Digest]readContent // by the manifest
	pushed    map[release.Digest]time.Time   // zero: the registry does not say
}

// readManifest is the manifest of a referrer, or why that one cannot be read.
type readManifest struct {
	content manifestContent
	err     error
}

// readContent is the content of a referrer, or why that cannot be read.
type readContent struct {
	content []byte
	err     error
}

// OpenReferrers lists what is attached to an image with one of the artifact types. It reads nothing of it. The error is as that of Referrers.
func (c *Client) OpenReferrers(ctx context.Context, image release.Image, artifactTypes []string) (*ReferrerList, error) {
	r, err := c.open(sideRegistry, image.Repository, false)
	if err != nil {
		return nil, err
	}
	list := &ReferrerList{repository: r, image: image, allowed: newAllowance(), manifests: map[release.Digest]readManifest{}, contents: map[release.Digest]readContent{}, pushed: map[release.Digest]time.Time{}}
	ctx, cancel := context.WithTimeoutCause(ctx, maxReferrerTime, errReferrersTooLong)
	defer cancel()
	if list.listed, list.native, err = r.listReferrers(ctx, image.Digest, artifactTypes, list.allowed); err != nil {
		return nil, list.fault(ctx, err)
	}
	return list, nil
}

// Image is what the listed manifests are attached to.
func (l *ReferrerList) Image() release.Image { return l.image }

// fault returns the error of a list that cannot be read.
func (l *ReferrerList) fault(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errReferrersTooLong) {
		err = cause
	}
	return l.repository.fault(err, fmt.Sprintf("reading what is attached to %q", l.image))
}

// Each reads the wanted referrers one by one, the newest first, as Referrers documents.
func (l *ReferrerList) Each(ctx context.Context, query ReferrerQuery) iter.Seq2[Referrer, error] {
	return func(yield func(Referrer, error) bool) {
		ctx, cancel := context.WithTimeoutCause(ctx, maxReferrerTime, errReferrersTooLong)
		defer cancel()
		for referrer, err := range l.referrers(ctx, referrerFilter{l.image.Digest, query}) {
			var skippedReferrer *SkippedReferrerError
			if err == nil || errors.As(err, &skippedReferrer) {
				if !yield(referrer, err) {
					return
				}
				continue
			}
			yield(Referrer{}, l.fault(ctx, err))
			return
		}
	}
}

// Prefetch reads ahead for Each, where the registry's own API can do it in one request and at one time: the newest manifests whose annotations, as
// they are listed, wanted accepts, and when those were pushed that dated accepts. Elsewhere it reads nothing.
func (l *ReferrerList) Prefetch(ctx context.Context, wanted, dated func(annotations map[string]string) bool, pushedAt func(context.Context, []release.Digest) map[release.Digest]time.Time) error {
	if l.native == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxReferrerTime, errReferrersTooLong)
	defer cancel()
	var read, date []candidate
	for _, each := range l.listed {
		digest, err := release.ParseDigest(each.Digest)
		if err == nil && wanted(each.Annotations) {
			read = append(read, candidate{digest: digest, annotations: each.Annotations})
		}
		if err == nil && dated(each.Annotations) {
			date = append(date, candidate{digest: digest})
		}
	}
	slices.SortStableFunc(read, newestFirst)
	read = read[:min(len(read), maxPrefetched)]
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		l.setPushed(groupCtx, date, pushedAt)
		return nil
	})
	group.Go(func() error { return l.readManifests(groupCtx, read) })
	if err := group.Wait(); err != nil {
		return l.fault(ctx, err)
	}
	return nil
}

// referrers returns the wanted referrers one by one, as Referrers documents. Manifests are read ahead if all referrers are read anyway, if reading
// many takes one request, and once many were read in vain.
func (l *ReferrerList) referrers(ctx context.Context, want referrerFilter) iter.Seq2[Referrer, error] {
	return func(yield func(Referrer, error) bool) {
		candidates, err := l.candidates(ctx, want)
		if err != nil {
			yield(Referrer{}, err)
			return
		}
		ahead, reads := 1, 0
		if l.native != nil || want.Leave == nil {
			ahead = maxPrefetched
		}
		for at, each := range candidates {
			if want.Leave != nil && want.Leave(Referrer{Digest: each.digest, Annotations: each.annotations, PushedAt: each.pushed}) {
				continue
			}
			if _, known := l.known(each.digest); !known {
				if reads++; reads > patience {
					ahead = min(2*ahead, maxPrefetched)
				}
				if err := l.readManifests(ctx, candidates[at:min(at+ahead, len(candidates))]); err != nil {
					yield(Referrer{}, err)
					return
				}
			}
			referrer, ours, err := l.referrer(ctx, each, want)
			if (err != nil || ours) && !yield(referrer, err) {
				return
			}
		}
	}
}

// candidates returns the listed entries that may match, the newest first. For an entry that is listed without annotations, it reads
// those of the manifest.
func (l *ReferrerList) candidates(ctx context.Context, want referrerFilter) (found []candidate, err error) {
	var undeclared []candidate
	for _, each := range keepTypes(slices.Clone(l.listed), want.ArtifactTypes) {
		digest, err := release.ParseDigest(each.Digest)
		switch {
		case err != nil:
			found = append(found, candidate{annotations: each.Annotations, skipped: &SkippedReferrerError{Digest: sanitize(each.Digest), Annotations: each.Annotations, Err: err}})
		case !want.matches(each.Annotations, true):
		case want.matches(each.Annotations, false) && each.Annotations[release.AnnotationCreated] != "":
			found = append(found, candidate{digest: digest, annotations: each.Annotations})
		default:
			undeclared = append(undeclared, candidate{digest: digest, annotations: each.Annotations})
		}
	}
	if err := l.readManifests(ctx, undeclared); err != nil {
		return nil, err
	}
	for _, each := range undeclared {
		manifest, err := l.manifest(each)
		switch {
		case errors.As(err, &each.skipped):
			found = append(found, each)
		case err != nil:
			return nil, err
		case want.matches(manifest.Annotations, true):
			each.annotations = manifest.Annotations
			found = append(found, each)
		}
	}
	l.setPushed(ctx, found, want.PushedAt)
	slices.SortStableFunc(found, newestFirst)
	return found, nil
}

// setPushed asks the registry when the candidates were pushed. If one of these times is unknown, it sets none, because times of
// different clocks have no order.
func (l *ReferrerList) setPushed(ctx context.Context, candidates []candidate, pushedAt func(context.Context, []release.Digest) map[release.Digest]time.Time) {
	var all, unknown []release.Digest
	for _, each := range candidates {
		if each.digest.IsZero() {
			continue
		}
		if all = append(all, each.digest); !l.wasAsked(each.digest) {
			unknown = append(unknown, each.digest)
		}
	}
	if pushedAt == nil || len(all) < 2 {
		return
	}
	if len(unknown) > 0 {
		l.keepPushed(unknown, pushedAt(ctx, unknown))
	}
	for _, each := range all {
		if l.pushedAt(each).IsZero() {
			return
		}
	}
	for i := range candidates {
		candidates[i].pushed = l.pushedAt(candidates[i].digest)
		if candidates[i].skipped != nil {
			candidates[i].skipped.PushedAt = candidates[i].pushed
		}
	}
}

func (l *ReferrerList) pushedAt(digest release.Digest) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pushed[digest]
}

// wasAsked reports whether the registry was asked when it got a manifest, also if it did not say.
func (l *ReferrerList) wasAsked(digest release.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, asked := l.pushed[digest]
	return asked
}

func (l *ReferrerList) keepPushed(asked []release.Digest, times map[release.Digest]time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, digest := range asked {
		l.pushed[digest] = times[digest]
	}
}

// known returns a manifest that was read, or why it cannot be read; false if that was not tried.
func (l *ReferrerList) known(digest release.Digest) (readManifest, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	read, found := l.manifests[digest]
	return read, found
}

func (l *ReferrerList) keep(digest release.Digest, read readManifest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manifests[digest] = read
}

// content returns the only layer of a referrer. An error of the referrer alone is kept too; another ends the reading.
func (l *ReferrerList) content(ctx context.Context, of candidate, layers []release.Descriptor) ([]byte, error) {
	l.mu.Lock()
	known, found := l.contents[of.digest]
	l.mu.Unlock()
	if found {
		return known.content, known.err
	}
	content, err := l.repository.referrerContent(ctx, layers, l.allowed)
	if err != nil {
		err = l.repository.asSkippedContent(ctx, of, err)
	}
	var skipped *SkippedReferrerError
	if err == nil || errors.As(err, &skipped) && !skipped.Unavailable {
		l.mu.Lock()
		l.contents[of.digest] = readContent{content, err}
		l.mu.Unlock()
	}
	return content, err
}

// manifest returns the manifest of a candidate that readManifests was asked for.
func (l *ReferrerList) manifest(of candidate) (manifestContent, error) {
	read, _ := l.known(of.digest)
	if read.err != nil {
		return manifestContent{}, asSkipped(of, read.err)
	}
	return read.content, nil
}

// readManifests reads manifests that are not known yet. An error that is about one of them alone is kept for it; any other is returned.
func (l *ReferrerList) readManifests(ctx context.Context, of []candidate) error {
	var digests []release.Digest
	asked := map[release.Digest]bool{}
	for _, each := range of {
		if _, known := l.known(each.digest); !known && !each.digest.IsZero() && !asked[each.digest] {
			digests, asked[each.digest] = append(digests, each.digest), true
		}
	}
	if l.native != nil {
		return l.readNatively(ctx, digests)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallelBlobs)
	for _, digest := range digests {
		group.Go(func() error {
			content, err := l.repository.referrerManifest(groupCtx, digest, l.allowed)
			var skipped *SkippedReferrerError
			if err != nil && !errors.As(asSkipped(candidate{digest: digest}, err), &skipped) {
				return err
			}
			l.keep(digest, readManifest{content, err})
			return nil
		})
	}
	return group.Wait()
}

// NativeReferrers is a registry's own API, as far as it reads what is attached to images. Its errors are those of the whole reading.
type NativeReferrers interface {
	// ListReferrers lists manifests that are attached to an image and have one of the artifact types, page by page. An error is the last; one that is
	// ErrNotNative means that the API does not list here, and that the distribution protocol is asked instead.
	ListReferrers(ctx context.Context, image release.Image, artifactTypes []string) iter.Seq2[[]release.Descriptor, error]
	// Manifests reads at most a hundred manifests of a repository by their digests, in one request. Those that the repository does not have are left out.
	Manifests(ctx context.Context, repository release.Repository, digests []release.Digest) (map[release.Digest][]byte, error)
}

// ErrNotNative says that a registry's own API does not list referrers.
var ErrNotNative = errors.New("the registry's own API lists no referrers")

// maxBatch is the most bytes of manifests that are asked for in one request of a registry's own API, by their sizes in the list.
const maxBatch = 8 << 20

// listNatively lists referrers by the registry's own API.
func listNatively(ctx context.Context, native NativeReferrers, image release.Image, artifactTypes []string, allowed *allowance) (listed []release.Descriptor, err error) {
	for page, err := range native.ListReferrers(ctx, image, artifactTypes) {
		if err != nil {
			return nil, err
		}
		listed = append(listed, page...)
		size := 0
		for _, each := range page {
			size += len(each.Digest) + len(each.MediaType) + len(each.ArtifactType)
			for key, value := range each.Annotations {
				size += len(key) + len(value)
			}
		}
		if err := allowed.spend(size); err != nil {
			return nil, err
		}
	}
	return keepTypes(listed, artifactTypes), nil
}

// readNatively reads manifests by the registry's own API, as few requests as its limits allow.
func (l *ReferrerList) readNatively(ctx context.Context, digests []release.Digest) error {
	listed := map[string]release.Descriptor{}
	for _, each := range l.listed {
		listed[each.Digest] = each
	}
	for len(digests) > 0 {
		number, size := 0, int64(0)
		for number < len(digests) && number < maxPrefetched && (number == 0 || size+listed[digests[number].String()].Size <= maxBatch) {
			size += max(0, listed[digests[number].String()].Size)
			number++
		}
		if err := l.readBatch(ctx, digests[:number], listed); err != nil {
			return err
		}
		digests = digests[number:]
	}
	return nil
}

// readBatch reads manifests in one request.
func (l *ReferrerList) readBatch(ctx context.Context, digests []release.Digest, listed map[string]release.Descriptor) error {
	manifests, err := l.native.Manifests(ctx, l.image.Repository, digests)
	if err != nil {
		return err
	}
	for _, digest := range digests {
		text, found := manifests[digest]
		if !found {
			l.keep(digest, readManifest{err: &malformedError{errors.New("the registry lists it and does not have it")}})
			continue
		}
		if err := l.allowed.spend(len(text)); err != nil {
			return err
		}
		if len(text) > maxManifest {
			l.keep(digest, readManifest{err: &malformedError{fmt.Errorf("its manifest is %d bytes long, limit %d", len(text), maxManifest)}})
			continue
		}
		content, err := parseReferrer(text, digest, listed[digest.String()].MediaType)
		l.keep(digest, readManifest{content, err})
	}
	return nil
}

// HasReferrersAPI reports whether the registry of a repository lists what is attached to an image (OCI distribution-spec 1.1). It asks about a digest that no
// image has.
func (c *Client) HasReferrersAPI(ctx context.Context, repo release.Repository) (bool, error) {
	r, err := c.open(sideRegistry, repo, false)
	if err != nil {
		return false, err
	}
	_, err = r.listByAPI(ctx, release.DigestOf(nil), nil, newAllowance())
	switch {
	case errors.Is(err, errNoAPI):
		return false, nil
	case err != nil:
		return false, r.fault(err, fmt.Sprintf("asking what is attached to an image of %q", repo))
	}
	return true, nil
}
