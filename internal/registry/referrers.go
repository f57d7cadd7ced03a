package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/sethvargo/go-retry"
)

// Limits of what is read of the referrers of one image.
const (
	maxReferrers   = 50      // whose content is read, the newest first
	maxListed      = 5000    // entries of the registry's lists
	maxPages       = 20      // of these lists
	maxAttached    = 1 << 20 // bytes of one content
	emptyMediaType = "application/vnd.oci.empty.v1+json"
	createdFormat  = "2006-01-02T15:04:05.000000Z" // RFC 3339 that sorts as text
)

// emptyConfig is the config of a manifest that is not an image. Source: OCI image-spec, manifest.md, "Guidance for an
// Empty Descriptor".
var emptyConfig = []byte("{}")

// Referrer is content attached to an image.
type Referrer struct {
	Digest      release.Digest // of its manifest
	Annotations map[string]string
	MediaType   string // of the content
	Content     []byte
}

// Attach stores content of at most 1 MiB as a referrer of an image, that is, as a manifest with the image as its subject. The
// image and its tags do not change. It returns the digest of that manifest, whose annotations get the present time as the time
// of creation unless they have one.
//
// A registry without the referrers API (OCI distribution-spec 1.1) is a *release.Fault: the fallback of the specification
// rewrites a tag, which immutable repositories refuse and concurrent writers overwrite.
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
	describe := func(kind string, text []byte) descriptor {
		digest := digestOf(text).String()
		blobs[digest] = text
		return descriptor{MediaType: kind, Digest: digest, Size: int64(len(text))}
	}
	config, layer := describe(emptyMediaType, emptyConfig), describe(mediaType, content)
	text, err := json.Marshal(struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		ArtifactType  string            `json:"artifactType"`
		Config        descriptor        `json:"config"`
		Layers        []descriptor      `json:"layers"`
		Subject       descriptor        `json:"subject"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}{
		2, string(types.OCIManifestSchema1), artifactType, config, []descriptor{layer},
		descriptor{MediaType: subject.mediaType, Digest: image.String(), Size: subject.size}, annotations,
	})
	if err != nil {
		return release.Digest{}, err
	}
	if err := r.upload(ctx, []descriptor{config, layer}, blobsInMemory(blobs), nil, newMeter(0, nil)); err != nil {
		return release.Digest{}, err
	}
	attached := manifest{bytes: text, mediaType: string(types.OCIManifestSchema1), digest: digestOf(text)}
	header, err := r.putManifest(ctx, attached, "")
	if err != nil {
		return release.Digest{}, err
	}
	return attached.digest, r.confirmListed(ctx, header, image, attached.digest, artifactType)
}

// confirmListed checks that the registry lists the referrer: it says so in the header OCI-Subject, or the referrer appears in
// its list, perhaps a little later. Source: OCI distribution-spec, "Pushing Manifests with Subject".
func (r *repository) confirmListed(ctx context.Context, header http.Header, image, attached release.Digest, artifactType string) error {
	if header.Get("OCI-Subject") == image.String() {
		return nil
	}
	backoff := httpx.Backoff(4)
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		listed, err := r.listReferrers(ctx, image, artifactType)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(listed, func(each descriptor) bool { return each.Digest == attached.String() }) {
			return nil
		}
		return retry.RetryableError(errNotListed)
	})
}

var (
	errNoReferrers = errors.New("the registry has no referrers API (OCI distribution-spec 1.1), which evidence needs")
	errNotListed   = errors.New("the registry stored it, but does not list it as a referrer of the image")
)

// Referrers reads the referrers of an image with an artifact type: the newest 50 by their creation annotation, each of at most
// 1 MiB. An image that does not exist has none.
func (c *Client) Referrers(ctx context.Context, image release.Image, artifactType string) ([]Referrer, error) {
	r, err := c.open(sideRegistry, image.Repository, false)
	if err != nil {
		return nil, err
	}
	result, err := r.referrers(ctx, image.Digest, artifactType)
	if err != nil {
		return nil, r.fault(err, fmt.Sprintf("reading what is attached to %q", image))
	}
	return result, nil
}

func (r *repository) referrers(ctx context.Context, image release.Digest, artifactType string) ([]Referrer, error) {
	listed, err := r.listReferrers(ctx, image, artifactType)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(listed, func(a, b descriptor) int {
		return strings.Compare(b.Annotations[release.AnnotationCreated], a.Annotations[release.AnnotationCreated])
	})
	var result []Referrer
	for _, each := range listed[:min(len(listed), maxReferrers)] {
		referrer, ours, err := r.referrer(ctx, each, image, artifactType)
		if err != nil {
			return nil, err
		}
		if ours {
			result = append(result, referrer)
		}
	}
	return result, nil
}

// referrer reads an entry of the list; false unless its own manifest has the subject and the artifact type, since the list is
// only a hint.
func (r *repository) referrer(ctx context.Context, listed descriptor, image release.Digest, artifactType string) (Referrer, bool, error) {
	digest, err := release.ParseDigest(listed.Digest)
	if err != nil {
		return Referrer{}, false, err
	}
	m, found, err := r.getManifest(ctx, digest.String())
	if err != nil || !found {
		return Referrer{}, false, err
	}
	read, err := m.parse()
	if err != nil {
		return Referrer{}, false, err
	}
	if read.ArtifactType != artifactType || read.Subject == nil || read.Subject.Digest != image.String() || len(read.Layers) != 1 {
		return Referrer{}, false, nil
	}
	layer, err := release.ParseDigest(read.Layers[0].Digest)
	if err != nil {
		return Referrer{}, false, fmt.Errorf("reading manifest %s: %w", digest.Short(), err)
	}
	content, err := r.getBlob(ctx, layer, maxAttached)
	if err != nil {
		return Referrer{}, false, fmt.Errorf("reading blob %s: %w", layer.Short(), err)
	}
	return Referrer{Digest: digest, Annotations: read.Annotations, MediaType: read.Layers[0].MediaType, Content: content}, true, nil
}

// listReferrers reads the registry's list of referrers page by page, and keeps the entries that may have the artifact type: a
// registry need not filter, and one that predates artifactType lists the config's type. No digest covers the pages, so their
// entries are checked when they are read.
// Source: OCI distribution-spec, "Listing Referrers".
func (r *repository) listReferrers(ctx context.Context, image release.Digest, artifactType string) ([]descriptor, error) {
	var result []descriptor
	next := r.url("referrers", image.String()) + "?artifactType=" + url.QueryEscape(artifactType)
	listed := 0
	for range maxPages {
		text, header, err := r.get(ctx, next, http.Header{"Accept": {string(types.OCIImageIndex)}}, maxManifest)
		var answer *statusError
		if errors.As(err, &answer) && answer.Status == http.StatusNotFound && answer.Code != "NAME_UNKNOWN" {
			return nil, errNoReferrers
		}
		if err != nil {
			return nil, err
		}
		var page manifestContent
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, fmt.Errorf("reading the list of referrers: %w", err)
		}
		for _, each := range page.Manifests {
			if each.ArtifactType == artifactType || each.ArtifactType == "" || each.ArtifactType == emptyMediaType {
				result = append(result, each)
			}
		}
		if listed += len(page.Manifests); listed > maxListed {
			return nil, fmt.Errorf("reading the list of referrers: it names more than %d", maxListed)
		}
		if next, err = r.nextPage(next, header); err != nil || next == "" {
			return result, err
		}
	}
	return nil, fmt.Errorf("reading the list of referrers: it has more than %d pages", maxPages)
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
		if resolved.Host != base.Host {
			return "", &blockedError{from: base.Host, to: resolved.Host, why: "another host"}
		}
		return resolved.String(), nil
	}
	return "", nil
}
