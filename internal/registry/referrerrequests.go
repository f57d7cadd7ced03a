package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
)

// referrer reads a candidate; false unless its own manifest has the subject, the artifact type and the annotations, since the
// list is only a hint.
func (l *ReferrerList) referrer(ctx context.Context, of candidate, want referrerFilter) (Referrer, bool, error) {
	if of.skipped != nil {
		return Referrer{}, false, of.skipped
	}
	read, err := l.manifest(of)
	if err != nil {
		return Referrer{}, false, err
	}
	if !slices.Contains(want.ArtifactTypes, read.ArtifactType) || read.Subject == nil || read.Subject.Digest != want.image.String() ||
		!want.matches(read.Annotations, true) {
		return Referrer{}, false, nil
	}
	of.annotations = read.Annotations
	content, err := l.content(ctx, of, read.Layers)
	if err != nil {
		return Referrer{}, false, err
	}
	return Referrer{Digest: of.digest, Annotations: read.Annotations, PushedAt: of.pushed, MediaType: read.Layers[0].MediaType, Content: content}, true, nil
}

// referrerManifest reads the manifest of a referrer, and checks its digest.
func (r *repository) referrerManifest(ctx context.Context, digest release.Digest, allowed *allowance) (manifestContent, error) {
	text, header, err := r.getAllowed(ctx, r.url("manifests", digest.String()), http.Header{"Accept": {accepted}}, maxManifest, allowed)
	if err != nil {
		return manifestContent{}, err
	}
	return parseReferrer(text, digest, header.Get("Content-Type"))
}

// parseReferrer parses a manifest that must have the digest.
func parseReferrer(text []byte, digest release.Digest, mediaType string) (manifestContent, error) {
	if got := release.DigestOf(text); got != digest {
		return manifestContent{}, &mismatchError{wanted: digest, got: got}
	}
	named, err := newManifest(text, mediaType)
	if err != nil {
		return manifestContent{}, &malformedError{err}
	}
	read, err := named.parse()
	if err != nil {
		return manifestContent{}, &malformedError{err}
	}
	return read, nil
}

// referrerContent reads the only layer of a referrer.
func (r *repository) referrerContent(ctx context.Context, layers []release.Descriptor, allowed *allowance) ([]byte, error) {
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
	if embedded := layers[0].Data; len(embedded) > 0 && release.DigestOf(embedded) == digest {
		return embedded, nil // within the limit of a manifest
	}
	content, _, err := r.getAllowed(ctx, r.url("blobs", digest.String()), nil, maxAttached, allowed)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", digest.Short(), err)
	}
	if got := release.DigestOf(content); got != digest {
		return nil, &mismatchError{wanted: digest, got: got}
	}
	return content, nil
}

// getAllowed reads a response within two limits: most bytes, and the remaining allowance.
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

// malformedError reports that a referrer cannot be parsed.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return e.err.Error() }
func (e *malformedError) Unwrap() error { return e.err }

// asSkipped makes an error about only this referrer a *SkippedReferrerError, and returns any other error unchanged. A referrer
// that lacks a part proves nothing; if the registry does not answer, the part may exist.
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
		return &SkippedReferrerError{Digest: of.digest.String(), Annotations: of.annotations, PushedAt: of.pushed, Err: err}
	}
	return err
}

// asSkippedContent does what asSkipped does for the content of a referrer whose manifest was read, and also for errors that mean lost
// content: a storage that a registry redirects to answers 403 for a missing object if the URL's signer may not list the bucket (Amazon
// S3 API, GetObject), and a registry answers 5xx or truncates the content if its own storage lost it. Refused credentials and a limit
// of requests are errors of all referrers.
func (r *repository) asSkippedContent(ctx context.Context, of candidate, err error) error {
	var answer *statusError
	lost, unavailable := false, errors.Is(err, io.ErrUnexpectedEOF)
	if errors.As(err, &answer) {
		unavailable = httpx.IsUnavailable(answer.Status)
		lost = answer.Status != http.StatusUnauthorized && answer.Status != http.StatusTooManyRequests && !answer.isRepositoryMissing() &&
			(answer.Status != http.StatusForbidden || answer.from != nil && !r.session.isRegistry(answer.from))
	}
	if ctx.Err() != nil || !lost && !unavailable {
		return asSkipped(of, err)
	}
	return &SkippedReferrerError{Digest: of.digest.String(), Annotations: of.annotations, PushedAt: of.pushed, Unavailable: unavailable, Err: err}
}

// listReferrers reads the list of an image's referrers: by the registry's own API, by the distribution protocol, or else the list under the image's
// referrers tag. It returns the registry's own API if that was used.
func (r *repository) listReferrers(ctx context.Context, image release.Digest, artifactTypes []string, allowed *allowance) ([]release.Descriptor, NativeReferrers, error) {
	native, err := r.session.login.options.Native(ctx, r.name.Host())
	if err != nil {
		return nil, nil, err
	}
	if native != nil {
		listed, err := listNatively(ctx, native, r.name.At(image), artifactTypes, allowed)
		if !errors.Is(err, ErrNotNative) {
			return listed, native, err
		}
	}
	listed, err := r.listByAPI(ctx, image, artifactTypes, allowed)
	if !errors.Is(err, errNoAPI) {
		return listed, nil, err
	}
	list, err := r.readReferrersTag(ctx, image, allowed)
	if err != nil {
		return nil, nil, err
	}
	return keepTypes(descriptorsOf(list.Manifests), artifactTypes), nil, nil
}

// referrersTag returns the tag that lists an image's referrers in a registry without the referrers API.
// Source: OCI distribution-spec, "Referrers Tag Schema".
func referrersTag(image release.Digest) release.Tag {
	return release.Tag(strings.Replace(image.String(), ":", "-", 1))
}

// referrersList is the index under a referrers tag. Entries keep the fields of their writers.
type referrersList struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []json.RawMessage `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// lacks returns the entries that the list does not have, by their digests.
func (l referrersList) lacks(entries []json.RawMessage) (missing []json.RawMessage) {
	listed := descriptorsOf(l.Manifests)
	for _, entry := range entries {
		for _, wanted := range descriptorsOf([]json.RawMessage{entry}) {
			if !slices.ContainsFunc(listed, func(each release.Descriptor) bool { return each.Digest == wanted.Digest }) {
				missing = append(missing, entry)
			}
		}
	}
	return missing
}

// entriesOf returns the entries of a list that name one of the manifests.
func entriesOf(list []json.RawMessage, manifests []release.Digest) []json.RawMessage {
	return slices.DeleteFunc(slices.Clone(list), func(entry json.RawMessage) bool { return !namesOneOf(entry, manifests) })
}

func namesOneOf(entry json.RawMessage, manifests []release.Digest) bool {
	for _, named := range descriptorsOf([]json.RawMessage{entry}) {
		if slices.ContainsFunc(manifests, func(digest release.Digest) bool { return named.Digest == digest.String() }) {
			return true
		}
	}
	return false
}

// readReferrersTag reads the list under an image's referrers tag; an empty one if there is no such tag. A tag that names something else is an error.
func (r *repository) readReferrersTag(ctx context.Context, image release.Digest, allowed *allowance) (referrersList, error) {
	empty := referrersList{SchemaVersion: 2, MediaType: string(types.OCIImageIndex), Manifests: []json.RawMessage{}}
	text, header, err := r.getAllowed(ctx, r.url("manifests", referrersTag(image).String()), http.Header{"Accept": {accepted}}, maxManifest, allowed)
	var answer *statusError
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound && !answer.isRepositoryMissing() {
		return empty, nil
	}
	if err != nil {
		return empty, err
	}
	named, err := newManifest(text, header.Get("Content-Type"))
	if err != nil || named.mediaType != empty.MediaType {
		return empty, fmt.Errorf("the tag %s is not a list of referrers", referrersTag(image))
	}
	list := empty
	if err := json.Unmarshal(text, &list); err != nil {
		return empty, fmt.Errorf("reading the list of referrers under the tag %s: %w", referrersTag(image), err)
	}
	list.SchemaVersion, list.MediaType = empty.SchemaVersion, empty.MediaType
	return list, nil
}

// errNoAPI says that a registry has no referrers API.
var errNoAPI = errors.New("no referrers API")

// listByAPI reads the registry's list of referrers page by page, and keeps the entries that may have one of the artifact types: a
// registry filters by one type at most and need not, and one that predates artifactType lists the config's type. No digest covers the
// pages, so their entries are checked when they are read.
// Source: OCI distribution-spec, "Listing Referrers".
func (r *repository) listByAPI(ctx context.Context, image release.Digest, artifactTypes []string, allowed *allowance) ([]release.Descriptor, error) {
	var result []release.Descriptor
	next := r.url("referrers", image.String())
	if len(artifactTypes) == 1 {
		next += "?artifactType=" + url.QueryEscape(artifactTypes[0])
	}
	for visited := map[string]bool{}; next != ""; {
		if visited[next] {
			return nil, errors.New("reading the list of referrers: its pages lead in a circle")
		}
		visited[next] = true
		text, header, err := r.getAllowed(ctx, next, http.Header{"Accept": {string(types.OCIImageIndex)}}, maxListPage, allowed)
		var answer *statusError
		if errors.As(err, &answer) && answer.Code == "NAME_UNKNOWN" && !answer.isRepositoryMissing() {
			return nil, nil // nothing was pushed to the repository yet
		}
		if errors.As(err, &answer) && (answer.Status == http.StatusNotFound || answer.Status == http.StatusMethodNotAllowed) && answer.Code != "NAME_UNKNOWN" {
			return nil, errNoAPI
		}
		if err != nil {
			return nil, err
		}
		entries, err := parseReferrers(text)
		if err != nil {
			return nil, fmt.Errorf("reading the list of referrers: %w", err)
		}
		result = append(result, keepTypes(entries, artifactTypes)...)
		if next, err = r.nextPage(next, header); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// keepTypes returns the entries that may have one of the artifact types.
func keepTypes(entries []release.Descriptor, artifactTypes []string) []release.Descriptor {
	return slices.DeleteFunc(entries, func(each release.Descriptor) bool {
		return !slices.Contains(artifactTypes, each.ArtifactType) && each.ArtifactType != "" && each.ArtifactType != emptyMediaType
	})
}

// parseReferrers parses a page of the list. It drops entries that are not descriptors.
func parseReferrers(page []byte) ([]release.Descriptor, error) {
	var list struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(page, &list); err != nil {
		return nil, err
	}
	return descriptorsOf(list.Manifests), nil
}

// descriptorsOf decodes entries of a list, and drops those that are no descriptors.
func descriptorsOf(list []json.RawMessage) []release.Descriptor {
	entries := make([]release.Descriptor, 0, len(list))
	for _, text := range list {
		var entry release.Descriptor
		if json.Unmarshal(text, &entry) == nil {
			entries = append(entries, entry)
		}
	}
	return entries
}

// nextPage returns the address of the next page from the header Link; "" if there is none. An address on another host is an
// error.
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
