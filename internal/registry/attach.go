package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/sethvargo/go-retry"
)

const (
	maxAttached    = 1 << 20  // bytes of one content
	maxEmbedded    = 32 << 10 // bytes of a content that the manifest holds too
	emptyMediaType = "application/vnd.oci.empty.v1+json"
	createdFormat  = "2006-01-02T15:04:05.000000Z" // RFC 3339 that sorts as text
)

// emptyConfig is the config of a manifest that is not an image. Source: OCI image-spec, manifest.md, "Guidance for an
// Empty Descriptor".
var emptyConfig = []byte("{}")

// Attach stores content of at most 1 MiB as a referrer of an image, that is, as a manifest with the image as its subject. The
// image and its tags do not change. It returns the digest of that manifest, whose annotations get the present time as the time
// of creation unless they have one.
//
// Content of at most 32 KiB is in the manifest too, so that a reader needs one request less. Source: OCI image-spec, descriptor.md, "data".
//
// In a registry without the referrers API (OCI distribution-spec 1.1), the list of referrers is an index under a tag of the image. If that
// tag cannot be changed, the error is a *release.Fault with ErrNoReferrers.
func (c *Client) Attach(ctx context.Context, image release.Image, artifactType, mediaType string, content []byte, annotations map[string]string) (release.Digest, error) {
	r, err := c.open(sideRegistry, image.Repository, true)
	if err != nil {
		return release.Digest{}, err
	}
	dated := map[string]string{release.AnnotationCreated: time.Now().UTC().Format(createdFormat)}
	maps.Copy(dated, annotations)
	digest, err := r.attach(ctx, image.Digest, artifactType, mediaType, content, dated)
	if err != nil {
		return release.Digest{}, r.fault(err, fmt.Sprintf("attaching to %q", image))
	}
	return digest, nil
}

// attach uploads the content and its manifest, and checks that the registry lists it as a referrer.
func (r *repository) attach(ctx context.Context, image release.Digest, artifactType, mediaType string, content []byte, annotations map[string]string) (release.Digest, error) {
	if len(content) > maxAttached {
		return release.Digest{}, fmt.Errorf("the content is %d bytes long, limit %d", len(content), maxAttached)
	}
	subject, found, err := r.headManifest(ctx, image.String())
	switch {
	case err != nil:
		return release.Digest{}, err
	case !found:
		return release.Digest{}, errors.New("the image is not in the repository")
	case subject.digest != image:
		return release.Digest{}, &mismatchError{wanted: image, got: subject.digest}
	}
	blobs := map[string][]byte{}
	describe := func(kind string, text []byte) release.Descriptor {
		digest := release.DigestOf(text).String()
		blobs[digest] = text
		return release.Descriptor{MediaType: kind, Digest: digest, Size: int64(len(text))}
	}
	config, layer := describe(emptyMediaType, emptyConfig), describe(mediaType, content)
	embedded := layer
	if len(content) <= maxEmbedded {
		embedded.Data = content // so that readers need no request for the blob
	}
	text, err := json.Marshal(struct {
		SchemaVersion int                  `json:"schemaVersion"`
		MediaType     string               `json:"mediaType"`
		ArtifactType  string               `json:"artifactType"`
		Config        release.Descriptor   `json:"config"`
		Layers        []release.Descriptor `json:"layers"`
		Subject       release.Descriptor   `json:"subject"`
		Annotations   map[string]string    `json:"annotations,omitempty"`
	}{
		2, string(types.OCIManifestSchema1), artifactType, config, []release.Descriptor{embedded},
		release.Descriptor{MediaType: subject.mediaType, Digest: image.String(), Size: subject.size}, annotations,
	})
	if err != nil {
		return release.Digest{}, err
	}
	if err := r.upload(ctx, []release.Descriptor{config, layer}, blobsInMemory(blobs), "", newMeter(0, nil)); err != nil {
		return release.Digest{}, err
	}
	attached := manifest{bytes: text, mediaType: string(types.OCIManifestSchema1), digest: release.DigestOf(text)}
	header, err := r.putManifest(ctx, attached, "")
	if err != nil {
		return release.Digest{}, err
	}
	return attached.digest, r.confirmListed(ctx, header, image, release.Descriptor{MediaType: attached.mediaType, Digest: attached.digest.String(),
		Size: int64(len(text)), ArtifactType: artifactType, Annotations: annotations})
}

// confirmListed checks that the registry lists the referrer: it says so in the header OCI-Subject, or the referrer appears in
// its list, perhaps a little later. Without the referrers API, the list is a tag, to which the referrer is added.
// Source: OCI distribution-spec, "Pushing Manifests with Subject".
func (r *repository) confirmListed(ctx context.Context, header http.Header, image release.Digest, attached release.Descriptor) error {
	if header.Get("OCI-Subject") == image.String() {
		return nil
	}
	backoff := httpx.Backoff(4)
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		listed, err := r.listByAPI(ctx, image, []string{attached.ArtifactType}, newAllowance())
		switch {
		case errors.Is(err, errNoAPI):
			return r.addToReferrersTag(ctx, image, attached)
		case err != nil:
			return err
		case slices.ContainsFunc(listed, func(each release.Descriptor) bool { return each.Digest == attached.Digest }):
			return nil
		}
		return retry.RetryableError(errNotListed)
	})
}

const (
	maxTagWrites = 8                      // writes of the list for one change
	tagSettle    = 300 * time.Millisecond // in which another writer that read the list earlier overwrites it
)

// addToReferrersTag adds a referrer to the list under the image's referrers tag. Registries have no compare-and-swap for a tag, so two
// writers may overwrite each other's list: updateReferrersTag reads the list again until two reads in a row lack nothing, and adds what is missing.
// Source: OCI distribution-spec, "Referrers Tag Schema".
func (r *repository) addToReferrersTag(ctx context.Context, image release.Digest, attached release.Descriptor) error {
	added, err := json.Marshal(attached)
	if err != nil {
		return err
	}
	return r.updateReferrersTag(ctx, image, []json.RawMessage{added}, nil)
}

// updateReferrersTag adds entries to the list under the image's referrers tag, or removes the entries of deleted manifests, and retries as
// addToReferrersTag describes. It keeps what other writers add meanwhile.
func (r *repository) updateReferrersTag(ctx context.Context, image release.Digest, known []json.RawMessage, gone []release.Digest) error {
	confirmed := 0
	for range maxTagWrites {
		list, err := r.readReferrersTag(ctx, image, newAllowance())
		if err != nil {
			return err
		}
		missing := list.lacks(known)
		kept := slices.DeleteFunc(slices.Clone(list.Manifests), func(entry json.RawMessage) bool { return namesOneOf(entry, gone) })
		changed := len(missing) > 0 || len(kept) < len(list.Manifests)
		known = slices.Concat(kept, missing)
		if !changed {
			if confirmed++; confirmed == 2 {
				return nil
			}
		} else {
			confirmed = 0
			list.Manifests = known
			if err := r.writeReferrersTag(ctx, image, list); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tagSettle/2 + rand.N(tagSettle)): // #nosec G404 -- a pause
		}
	}
	return fmt.Errorf("other writers replaced the list of referrers %d times", maxTagWrites)
}

// writeReferrersTag writes the list of an image's referrers.
func (r *repository) writeReferrersTag(ctx context.Context, image release.Digest, list referrersList) error {
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	_, err = r.putManifest(ctx, manifest{bytes: text, mediaType: list.MediaType, digest: release.DigestOf(text)}, referrersTag(image))
	var taken *release.TagTakenError
	if errors.As(err, &taken) || isTagTaken(err) {
		return fmt.Errorf("%w: the repository refuses to change the tag %s; make an exception for tags sha256-*, or use a registry with the API: %w", ErrNoReferrers, referrersTag(image), err)
	}
	return err
}

// Detach deletes manifests with one of the artifact types that are attached to an image. What is attached to another image, or is something else, is
// refused before anything changes. Without the referrers API, the list under the image's referrers tag is corrected first, so that it never names what is not
// there; what the registry then refuses to delete is listed again. A manifest that is gone already is no error. The error is a *release.Refusal if the registry
// does not delete, or not for these credentials, and otherwise a *release.Fault.
// Source: OCI distribution-spec, "Deleting Manifests".
func (c *Client) Detach(ctx context.Context, image release.Image, attached []release.Digest, artifactTypes []string) error {
	r, err := c.openFor(sideRegistry, image.Repository, "delete,push,pull")
	if err != nil {
		return err
	}
	err = r.detach(ctx, image, attached, artifactTypes)
	if refused := new(release.Refusal); err == nil || errors.As(err, &refused) {
		return err
	}
	return r.fault(err, fmt.Sprintf("deleting %d manifests that are attached to %q", len(attached), image))
}

func (r *repository) detach(ctx context.Context, image release.Image, attached []release.Digest, artifactTypes []string) error {
	for _, digest := range attached {
		read, err := r.referrerManifest(ctx, digest, newAllowance())
		var answer *statusError
		switch {
		case errors.As(err, &answer) && answer.Status == http.StatusNotFound && !answer.isRepositoryMissing():
		case err != nil:
			return err
		case read.Subject == nil || read.Subject.Digest != image.Digest.String() || !slices.Contains(artifactTypes, read.ArtifactType):
			return fmt.Errorf("%s is no record that is attached to %s", digest, image.Digest)
		}
	}
	listed, err := r.listedUnderTag(ctx, image.Digest, attached)
	if err != nil {
		return err
	}
	if len(listed) > 0 {
		if err := r.updateReferrersTag(ctx, image.Digest, nil, attached); err != nil {
			return err
		}
	}
	for at, digest := range attached {
		if err := r.deleteManifest(ctx, digest); err != nil {
			if kept := entriesOf(listed, attached[at:]); len(kept) > 0 {
				return errors.Join(err, r.updateReferrersTag(ctx, image.Digest, kept, nil))
			}
			return err
		}
	}
	if len(listed) > 0 {
		return r.updateReferrersTag(ctx, image.Digest, nil, attached) // a writer that read the list before may have completed it by what it lacked
	}
	return nil
}

// listedUnderTag returns the entries of the list under the image's referrers tag that name attached manifests; none if the registry has the referrers API.
func (r *repository) listedUnderTag(ctx context.Context, image release.Digest, attached []release.Digest) ([]json.RawMessage, error) {
	_, err := r.listByAPI(ctx, image, nil, newAllowance())
	if !errors.Is(err, errNoAPI) {
		return nil, err
	}
	list, err := r.readReferrersTag(ctx, image, newAllowance())
	return entriesOf(list.Manifests, attached), err
}

// deleteManifest deletes a manifest by its digest.
func (r *repository) deleteManifest(ctx context.Context, digest release.Digest) error {
	response, err := r.do(ctx, http.MethodDelete, r.url("manifests", digest.String()), nil, nil) //nolint:bodyclose // httpx.Drain and readStatusError close it
	if err != nil {
		return err
	}
	if response.StatusCode/100 == 2 {
		httpx.Drain(response)
		return nil
	}
	answer := readStatusError(response)
	switch {
	case answer.Status == http.StatusNotFound && !answer.isRepositoryMissing():
		return nil
	case answer.Status == http.StatusMethodNotAllowed || answer.Code == "UNSUPPORTED" || answer.Status == http.StatusForbidden || answer.Status == http.StatusUnauthorized:
		return &release.Refusal{Why: fmt.Sprintf("%q deletes no manifests for these credentials: %v", r.name, answer),
			Do: "allow it (distribution: storage.delete.enabled), or delete them with credentials that may"}
	}
	return answer
}

// ErrNoReferrers is in the Fault of a registry that has no referrers API, and refuses to change the tag that lists referrers instead.
var ErrNoReferrers = errors.New("the registry has no referrers API (OCI distribution-spec 1.1)")

var errNotListed = errors.New("the registry stored it, but does not list it as a referrer of the image")
