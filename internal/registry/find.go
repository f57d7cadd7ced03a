package registry

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// Find says what a repository holds under a tag; false if nothing.
//
// An image that carries its revision as an annotation costs one request, one that carries it as a label of its config
// two, an index of such images three.
func (c *Client) Find(ctx context.Context, repo release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	r, err := c.open(sideRegistry, repo, false)
	if err != nil {
		return release.ImageInfo{}, false, err
	}
	tagged, found, err := r.find(ctx, tag.String())
	if err != nil {
		return release.ImageInfo{}, false, r.fault(err, fmt.Sprintf("reading tag %q of %q", tag, repo))
	}
	return tagged, found, nil
}

// Describe says what an image was built from, in as many requests as Find; false if the repository does not hold it.
func (c *Client) Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error) {
	r, err := c.open(sideRegistry, image.Repository, false)
	if err != nil {
		return release.ImageInfo{}, false, err
	}
	tagged, found, err := r.find(ctx, image.Digest.String())
	if err != nil {
		return release.ImageInfo{}, false, r.fault(err, fmt.Sprintf("reading %q", image))
	}
	return tagged, found, nil
}

func (r *repository) find(ctx context.Context, reference string) (release.ImageInfo, bool, error) {
	named, found, err := r.getManifest(ctx, reference)
	if err != nil || !found {
		return release.ImageInfo{}, false, err
	}
	revision, err := r.revision(ctx, named)
	return release.ImageInfo{Digest: named.digest, Revision: revision}, err == nil, err
}

// revision is what an image says it was built from: in its annotations, else in those of an index's first image, else
// in its config's labels; "" if nowhere.
func (r *repository) revision(ctx context.Context, m manifest) (string, error) {
	read, err := m.read()
	if err != nil {
		return "", err
	}
	if revision := read.Annotations[release.AnnotationRevision]; revision != "" {
		return revision, nil
	}
	if !m.isIndex() {
		return r.labelled(ctx, read.Config)
	}
	first, found := firstImage(read.Manifests)
	if !found {
		return "", nil
	}
	if revision := first.Annotations[release.AnnotationRevision]; revision != "" {
		return revision, nil
	}
	child, found, err := r.getManifest(ctx, first.Digest)
	if err != nil || !found || child.isIndex() {
		return "", err
	}
	return r.revision(ctx, child)
}

// firstImage skips the attestations that buildx puts into an index, whose platform is unknown/unknown.
func firstImage(manifests []descriptor) (descriptor, bool) {
	for _, m := range manifests {
		if _, err := release.ParseDigest(m.Digest); err != nil {
			continue
		}
		if m.Platform == nil || m.Platform.Architecture != "unknown" {
			return m, true
		}
	}
	return descriptor{}, false
}

func (r *repository) labelled(ctx context.Context, config descriptor) (string, error) {
	digest, err := release.ParseDigest(config.Digest)
	if err != nil {
		return "", nil
	}
	text, err := r.getBlob(ctx, digest, maxManifest)
	if err != nil {
		return "", fmt.Errorf("reading config %s: %w", digest.Short(), err)
	}
	var image struct {
		Config struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := json.Unmarshal(text, &image); err != nil {
		return "", fmt.Errorf("reading config %s: %w", digest.Short(), err)
	}
	return image.Config.Labels[release.AnnotationRevision], nil
}
