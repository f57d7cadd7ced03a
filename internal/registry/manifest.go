package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/sethvargo/go-retry"
)

// maxManifest is the largest manifest or config that is read, in bytes. Registries need accept no more: OCI
// distribution-spec, "Pushing Manifests" (4 MiB); ECR's quota is the same.
const maxManifest = 4 << 20

// accepted are the media types of the manifests that are understood.
var accepted = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

// manifest is the manifest of an image or an index. Its bytes are never re-serialized.
type manifest struct {
	bytes     []byte
	mediaType string
	digest    release.Digest
}

// isManifest reports whether a descriptor in an index points to a manifest. An index may list anything, as a build cache lists
// layers; everything else is stored as a blob. A descriptor without a media type counts as a manifest.
// Source: OCI image-spec, image-index.md, "manifests": implementations must not fail on unknown media types.
func isManifest(d release.Descriptor) bool {
	kind := types.MediaType(d.MediaType)
	return d.MediaType == "" || kind.IsIndex() || kind.IsImage() || kind.IsSchema1()
}

// manifestContent is the part of a manifest or an index that is read. Source: OCI image-spec, manifest.md and image-index.md.
type manifestContent struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        release.Descriptor   `json:"config"`
	Layers        []release.Descriptor `json:"layers"`
	Manifests     []release.Descriptor `json:"manifests"`
	Subject       *release.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

// parse decodes the fields of a manifest that are used here.
func (m manifest) parse() (manifestContent, error) {
	var result manifestContent
	if err := json.Unmarshal(m.bytes, &result); err != nil {
		return manifestContent{}, fmt.Errorf("reading manifest %s: %w", m.digest.Short(), err)
	}
	if result.SchemaVersion != 2 {
		return manifestContent{}, fmt.Errorf("reading manifest %s: schema version %d is not supported, only 2", m.digest.Short(), result.SchemaVersion)
	}
	return result, nil
}

func (m manifest) isIndex() bool { return types.MediaType(m.mediaType).IsIndex() }

// newManifest takes the media type from the content, or if that has none, from the header Content-Type.
func newManifest(text []byte, header string) (manifest, error) {
	result := manifest{bytes: text, digest: release.DigestOf(text)}
	var named struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(text, &named)
	result.mediaType = named.MediaType
	if result.mediaType == "" {
		result.mediaType, _, _ = mime.ParseMediaType(header)
	}
	if kind := types.MediaType(result.mediaType); !kind.IsIndex() && !kind.IsImage() {
		return manifest{}, fmt.Errorf("reading manifest %s: %q is not an image or an index", result.digest.Short(), sanitize(result.mediaType))
	}
	return result, nil
}

// getManifest reads the manifest that a tag or a digest names; false if there is none.
func (r *repository) getManifest(ctx context.Context, reference string) (manifest, bool, error) {
	text, header, err := r.get(ctx, r.url("manifests", reference), http.Header{"Accept": {accepted}}, maxManifest)
	var answer *statusError
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound && !answer.isRepositoryMissing() {
		return manifest{}, false, nil
	}
	if err != nil {
		return manifest{}, false, err
	}
	got := release.DigestOf(text)
	if wanted, err := release.ParseDigest(reference); err == nil && wanted != got {
		return manifest{}, false, &mismatchError{wanted: wanted, got: got}
	}
	if named, err := release.ParseDigest(header.Get("Docker-Content-Digest")); err == nil && named != got {
		return manifest{}, false, &mismatchError{wanted: named, got: got}
	}
	result, err := newManifest(text, header.Get("Content-Type"))
	return result, err == nil, err
}

// isRepositoryMissing reports whether a 404 means that the repository is missing in a registry that creates none on push.
// Other registries answer NAME_UNKNOWN for every repository that nothing was pushed to yet, so ECR is recognized by its
// message: "The repository with name 'x' does not exist in the registry with id '123456789012'".
func (e *statusError) isRepositoryMissing() bool {
	return e.Code == "NAME_UNKNOWN" && strings.Contains(e.Message, "in the registry with id")
}

// manifestInfo describes a manifest that was not read.
type manifestInfo struct {
	digest    release.Digest
	mediaType string
	size      int64
}

// headManifest reads a manifest's digest, media type and size; false if there is none. If the registry's answer to HEAD lacks
// one of them, the manifest itself is read.
func (r *repository) headManifest(ctx context.Context, reference string) (manifestInfo, bool, error) {
	response, err := r.do(ctx, http.MethodHead, r.url("manifests", reference), nil, http.Header{"Accept": {accepted}}) //nolint:bodyclose // httpx.Drain closes it
	if err != nil {
		return manifestInfo{}, false, err
	}
	defer httpx.Drain(response)
	switch {
	case response.StatusCode == http.StatusNotFound:
		return manifestInfo{}, false, nil
	case response.StatusCode != http.StatusOK:
		return manifestInfo{}, false, readStatusError(response)
	}
	digest, err := release.ParseDigest(response.Header.Get("Docker-Content-Digest"))
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err == nil && response.ContentLength >= 0 && mediaType != "" {
		return manifestInfo{digest: digest, mediaType: mediaType, size: response.ContentLength}, true, nil
	}
	got, found, err := r.getManifest(ctx, reference)
	return manifestInfo{digest: got.digest, mediaType: got.mediaType, size: int64(len(got.bytes))}, found, err
}

// putManifest writes a manifest under a tag, or under its digest if the tag is empty. It returns the headers of the response.
//
// After a lost response the manifest may have been written, and an immutable repository refuses even the same digest a second
// time (ECR, "Image tag immutability"). In both cases the manifest that the tag names now decides.
func (r *repository) putManifest(ctx context.Context, m manifest, tag release.Tag) (http.Header, error) {
	reference := m.digest.String()
	if tag != "" {
		reference = tag.String()
	}
	backoff := httpx.Backoff(3)
	return retry.DoValue(ctx, backoff, func(ctx context.Context) (http.Header, error) {
		header, err := r.putManifestOnce(ctx, m, reference)
		if err == nil || !mayHaveWritten(err) {
			return header, err
		}
		held, found, lookErr := r.headManifest(ctx, reference)
		switch {
		case lookErr != nil:
			return nil, errors.Join(err, lookErr)
		case found && held.digest == m.digest:
			return http.Header{}, nil
		case found && tag != "" && isTagTaken(err):
			return nil, &release.TagTakenError{Tag: tag, Holds: held.digest, Wanted: m.digest}
		case isTagTaken(err):
			return nil, err
		}
		return nil, retry.RetryableError(err)
	})
}

// putManifestOnce sends one PUT of a manifest.
func (r *repository) putManifestOnce(ctx context.Context, m manifest, reference string) (http.Header, error) {
	if err := r.session.login.options.Pace(ctx, r.name.Host()); err != nil {
		return nil, err
	}
	response, err := r.do(ctx, http.MethodPut, r.url("manifests", reference), m.bytes, http.Header{"Content-Type": {m.mediaType}}) //nolint:bodyclose // httpx.Drain closes it
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		return nil, readStatusError(response)
	}
	defer httpx.Drain(response)
	if got, err := release.ParseDigest(response.Header.Get("Docker-Content-Digest")); err == nil && got != m.digest {
		return nil, &mismatchError{wanted: m.digest, got: got}
	}
	return response.Header, nil
}

// mayHaveWritten reports whether the manifest may have been written despite the error, or the tag exists.
func mayHaveWritten(err error) bool {
	var answer *statusError
	if errors.As(err, &answer) {
		return httpx.IsUnavailable(answer.Status) || isTagTaken(err)
	}
	return isTransient(err)
}

// isTagTaken reports whether a registry refused to write because the tag exists and is immutable. ECR answers TAG_INVALID, or
// the name of its API's exception.
func isTagTaken(err error) bool {
	var answer *statusError
	if !errors.As(err, &answer) || answer.Status/100 != 4 {
		return false
	}
	return answer.Code == "TAG_INVALID" || strings.Contains(answer.Code, "AlreadyExists") ||
		answer.Status == http.StatusConflict || strings.Contains(answer.Message, "immutable")
}
