package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
)

// Limits of what is read of the referrers of one image. They bound memory and time, not the number of referrers: a list of
// 50,000 is within them.
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
	MediaType   string // of the content
	Content     []byte
}

// SkippedReferrerError says why a referrer was passed over: it is malformed, too large, or a part of it is gone. The others can
// still be read.
type SkippedReferrerError struct {
	Digest      string            // as the registry lists it, sanitized
	Annotations map[string]string // of its manifest or, if that cannot be read, of the registry's list
	Err         error
}

func (e *SkippedReferrerError) Error() string { return fmt.Sprintf("%s: %v", e.Digest, e.Err) }

// Unwrap returns the reason.
func (e *SkippedReferrerError) Unwrap() error { return e.Err }

// Referrers reads the referrers of an image that have an artifact type and the given annotations, the newest first by their
// creation annotation, those without one last. Only what the caller ranges over is read. An image that does not exist has none.
//
// The registry's list decides by its annotations what is read at all; where it carries none, as those of some registries, the
// manifests' decide. A referrer that is malformed, larger than 1 MiB or lacks a part is a *SkippedReferrerError, after which the
// next follows. Every other error is a *release.Fault and the last. Such a fault is also a list that exceeds 64 MiB or takes
// longer than two minutes: what is newest cannot be told from a part of it.
func (c *Client) Referrers(ctx context.Context, image release.Image, artifactType string, annotations map[string]string) iter.Seq2[Referrer, error] {
	return func(yield func(Referrer, error) bool) {
		r, err := c.open(sideRegistry, image.Repository, false)
		if err != nil {
			yield(Referrer{}, err)
			return
		}
		ctx, cancel := context.WithTimeoutCause(ctx, maxReferrerTime, errReferrersTooLong)
		defer cancel()
		for referrer, err := range r.referrers(ctx, wanted{image.Digest, artifactType, annotations}) {
			var passedOver *SkippedReferrerError
			if err == nil || errors.As(err, &passedOver) {
				if !yield(referrer, err) {
					return
				}
				continue
			}
			if cause := context.Cause(ctx); errors.Is(cause, errReferrersTooLong) {
				err = cause
			}
			yield(Referrer{}, r.fault(err, fmt.Sprintf("reading what is attached to %q", image)))
			return
		}
	}
}

var (
	errReferrersTooLong = fmt.Errorf("reading the referrers takes longer than %s", maxReferrerTime)
	errReferrersTooMany = fmt.Errorf("the list of referrers and what it names are larger than %d MiB", maxReferrerRead>>20)
)

// wanted describes the referrers that are read.
type wanted struct {
	image        release.Digest
	artifactType string
	annotations  map[string]string
}

// matches reports whether annotations have the wanted values. Those that are missing do too if lenient is set.
func (w wanted) matches(annotations map[string]string, lenient bool) bool {
	for key, value := range w.annotations {
		if got, found := annotations[key]; got != value && (found || !lenient) {
			return false
		}
	}
	return true
}

// allowance is how many bytes may still be read.
type allowance struct{ left atomic.Int64 }

func newAllowance() *allowance {
	allowed := new(allowance)
	allowed.left.Store(maxReferrerRead)
	return allowed
}

// limit is the limit of the next response.
func (a *allowance) limit(most int64) int64 { return min(most, max(a.left.Load(), 0)) }

// spend takes what a response had. A response counts as minResponse at least, so that empty pages come to an end.
func (a *allowance) spend(size int) error {
	if a.left.Add(-max(int64(size), minResponse)) <= 0 {
		return errReferrersTooMany
	}
	return nil
}

// candidate is an entry of the list, with its manifest if that was read.
type candidate struct {
	digest      release.Digest
	annotations map[string]string
	manifest    *manifestContent // nil: not read yet
}

func (c candidate) created() string { return c.annotations[release.AnnotationCreated] }

func (r *repository) referrers(ctx context.Context, want wanted) iter.Seq2[Referrer, error] {
	return func(yield func(Referrer, error) bool) {
		allowed := newAllowance()
		listed, err := r.listReferrers(ctx, want.image, want.artifactType, allowed)
		if err != nil {
			yield(Referrer{}, err)
			return
		}
		candidates, unusable, err := r.candidates(ctx, listed, want, allowed)
		for _, each := range unusable {
			if !yield(Referrer{}, each) {
				return
			}
		}
		if err != nil {
			yield(Referrer{}, err)
			return
		}
		for _, each := range candidates {
			referrer, ours, err := r.referrer(ctx, each, want, allowed)
			if (err != nil || ours) && !yield(referrer, err) {
				return
			}
		}
	}
}

// candidates are the entries of the list that may be wanted, the newest first. The manifests of entries that are listed
// without annotations are read for theirs. Unusable entries are *SkippedReferrerErrors.
func (r *repository) candidates(ctx context.Context, listed []descriptor, want wanted, allowed *allowance) (candidates []candidate, unusable []error, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallelBlobs)
	read := make([]candidate, len(listed))
	problems := make([]error, len(listed))
	for i, each := range listed {
		digest, err := release.ParseDigest(each.Digest)
		if err != nil {
			problems[i] = &SkippedReferrerError{sanitize(each.Digest), each.Annotations, err}
			continue
		}
		if !want.matches(each.Annotations, true) {
			continue
		}
		found := candidate{digest: digest, annotations: each.Annotations}
		if want.matches(each.Annotations, false) && found.created() != "" {
			read[i] = found
			continue
		}
		group.Go(func() error {
			manifest, err := r.referrerManifest(ctx, found, allowed)
			var passedOver *SkippedReferrerError
			switch {
			case errors.As(err, &passedOver):
				problems[i] = err
			case err != nil:
				return err
			case want.matches(manifest.Annotations, true):
				found.annotations, found.manifest = manifest.Annotations, &manifest
				read[i] = found
			}
			return nil
		})
	}
	err = group.Wait()
	for i := range listed {
		if problems[i] != nil {
			unusable = append(unusable, problems[i])
		}
		if !read[i].digest.IsZero() {
			candidates = append(candidates, read[i])
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return strings.Compare(b.created(), a.created()) })
	return candidates, unusable, err
}

// referrer reads a candidate; false unless its own manifest has the subject, the artifact type and the annotations, since the
// list is only a hint.
func (r *repository) referrer(ctx context.Context, of candidate, want wanted, allowed *allowance) (Referrer, bool, error) {
	if of.manifest == nil {
		manifest, err := r.referrerManifest(ctx, of, allowed)
		if err != nil {
			return Referrer{}, false, err
		}
		of.manifest = &manifest
	}
	read := *of.manifest
	if read.ArtifactType != want.artifactType || read.Subject == nil || read.Subject.Digest != want.image.String() ||
		!want.matches(read.Annotations, true) {
		return Referrer{}, false, nil
	}
	content, err := r.referrerContent(ctx, read.Layers, allowed)
	if err != nil {
		of.annotations = read.Annotations
		return Referrer{}, false, asSkipped(of, err)
	}
	return Referrer{Digest: of.digest, Annotations: read.Annotations, MediaType: read.Layers[0].MediaType, Content: content}, true, nil
}

func (r *repository) referrerManifest(ctx context.Context, of candidate, allowed *allowance) (manifestContent, error) {
	text, header, err := r.getAllowed(ctx, r.url("manifests", of.digest.String()), http.Header{"Accept": {accepted}}, maxManifest, allowed)
	if err != nil {
		return manifestContent{}, asSkipped(of, err)
	}
	if got := digestOf(text); got != of.digest {
		return manifestContent{}, asSkipped(of, &mismatchError{wanted: of.digest, got: got})
	}
	named, err := newManifest(text, header.Get("Content-Type"))
	if err != nil {
		return manifestContent{}, asSkipped(of, &malformedError{err})
	}
	read, err := named.parse()
	if err != nil {
		return manifestContent{}, asSkipped(of, &malformedError{err})
	}
	return read, nil
}

// referrerContent reads the one layer of a referrer.
func (r *repository) referrerContent(ctx context.Context, layers []descriptor, allowed *allowance) ([]byte, error) {
	if len(layers) != 1 {
		return nil, &malformedError{fmt.Errorf("it has %d layers, want one", len(layers))}
	}
	digest, err := release.ParseDigest(layers[0].Digest)
	if err != nil {
		return nil, &malformedError{err}
	}
	if layers[0].Size > maxAttached {
		return nil, &malformedError{fmt.Errorf("its content is %d bytes long, limit %d", layers[0].Size, maxAttached)}
	}
	content, _, err := r.getAllowed(ctx, r.url("blobs", digest.String()), nil, maxAttached, allowed)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", digest.Short(), err)
	}
	if got := digestOf(content); got != digest {
		return nil, &mismatchError{wanted: digest, got: got}
	}
	return content, nil
}

// getAllowed reads a response of at most most bytes, and of at most what may still be read.
func (r *repository) getAllowed(ctx context.Context, url string, header http.Header, most int64, allowed *allowance) ([]byte, http.Header, error) {
	limit := allowed.limit(most)
	text, got, err := r.get(ctx, url, header, limit)
	var tooLong *httpx.TooLongError
	if errors.As(err, &tooLong) && limit < most {
		return nil, nil, errReferrersTooMany
	}
	if err == nil {
		err = allowed.spend(len(text))
	}
	return text, got, err
}

// malformedError says that a referrer cannot be understood.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return e.err.Error() }
func (e *malformedError) Unwrap() error { return e.err }

// asSkipped makes an error that concerns only this referrer a *SkippedReferrerError, and returns every other as it is. A referrer
// without all of its parts proves nothing; a registry that does not answer may yet have it.
func asSkipped(of candidate, err error) error {
	var (
		answer    *statusError
		tooLong   *httpx.TooLongError
		mismatch  *mismatchError
		malformed *malformedError
	)
	gone := errors.As(err, &answer) && !answer.isRepositoryMissing() &&
		(answer.Status == http.StatusNotFound || answer.Status == http.StatusGone)
	if gone || errors.As(err, &tooLong) || errors.As(err, &mismatch) || errors.As(err, &malformed) {
		return &SkippedReferrerError{of.digest.String(), of.annotations, err}
	}
	return err
}

// listReferrers reads the registry's list of referrers page by page, and keeps the entries that may have the artifact type: a
// registry need not filter, and one that predates artifactType lists the config's type. No digest covers the pages, so their
// entries are checked when they are read.
// Source: OCI distribution-spec, "Listing Referrers".
func (r *repository) listReferrers(ctx context.Context, image release.Digest, artifactType string, allowed *allowance) ([]descriptor, error) {
	var result []descriptor
	next := r.url("referrers", image.String()) + "?artifactType=" + url.QueryEscape(artifactType)
	for visited := map[string]bool{}; next != ""; {
		if visited[next] {
			return nil, errors.New("reading the list of referrers: its pages lead in a circle")
		}
		visited[next] = true
		text, header, err := r.getAllowed(ctx, next, http.Header{"Accept": {string(types.OCIImageIndex)}}, maxListPage, allowed)
		var answer *statusError
		if errors.As(err, &answer) && answer.Status == http.StatusNotFound && answer.Code != "NAME_UNKNOWN" {
			return nil, ErrNoReferrers
		}
		if err != nil {
			return nil, err
		}
		entries, err := parseReferrers(text)
		if err != nil {
			return nil, fmt.Errorf("reading the list of referrers: %w", err)
		}
		for _, each := range entries {
			if each.ArtifactType == artifactType || each.ArtifactType == "" || each.ArtifactType == emptyMediaType {
				result = append(result, each)
			}
		}
		if next, err = r.nextPage(next, header); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// parseReferrers reads a page of the list. An entry that is no descriptor is left out: it names no referrer.
func parseReferrers(page []byte) ([]descriptor, error) {
	var list struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(page, &list); err != nil {
		return nil, err
	}
	entries := make([]descriptor, 0, len(list.Manifests))
	for _, text := range list.Manifests {
		var entry descriptor
		if json.Unmarshal(text, &entry) == nil {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// nextPage reads the address of the next page from the header Link; "" if there is none. Another host is an error.
// Source: RFC 8288, section 3.
func (r *repository) nextPage(current string, header http.Header) (string, error) {
	for _, link := range header.Values("Link") {
		target, parameters, found := strings.Cut(link, ">")
		target, opened := strings.CutPrefix(strings.TrimSpace(target), "<")
		if !found || !opened || !strings.Contains(strings.ReplaceAll(parameters, `"`, ""), "rel=next") {
			continue
		}
		base, err := url.Parse(current)
		if err != nil {
			return "", err
		}
		resolved, err := base.Parse(target)
		if err != nil {
			return "", fmt.Errorf("reading the next page's address: %w", err)
		}
		if !r.session.isRegistry(resolved) {
			return "", &blockedError{from: base.Host, to: resolved.Host, why: "another host"}
		}
		resolved.Scheme, resolved.Host, resolved.User = base.Scheme, base.Host, nil
		return resolved.String(), nil
	}
	return "", nil
}
