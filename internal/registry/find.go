package registry

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// Find returns the digest that a tag names and what its image was built from; false if the tag does not exist.
//
// It takes one request for an image with its revision in an annotation, two for one with its revision in a label of its
// config. An index without such an annotation takes as many for each of its images, because their commits can differ.
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

// Describe returns the commit that an image was built from; false if the image does not exist. It takes as many requests as
// Find does.
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

// find reads the image that a tag or a digest names.
func (r *repository) find(ctx context.Context, reference string) (release.ImageInfo, bool, error) {
	named, found, err := r.getManifest(ctx, reference)
	if err != nil || !found {
		return release.ImageInfo{}, false, err
	}
	labels, err := r.labels(ctx, named)
	return release.ImageInfo{Digest: named.digest, Artifact: release.ArtifactOf(named.bytes), Revision: labels[release.AnnotationRevision], Recipe: labels[release.AnnotationRecipe], Inputs: labels[release.AnnotationInputs],
		Created: createdAt(labels)}, err == nil, err
}

// configLabels reads the labels of an image's config.
func (r *repository) configLabels(ctx context.Context, config release.Descriptor) (map[string]string, error) {
	digest, err := release.ParseDigest(config.Digest)
	if err != nil {
		return nil, nil
	}
	text, err := r.getBlob(ctx, digest, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("reading config %s: %w", digest.Short(), err)
	}
	var image struct {
		Config struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := json.Unmarshal(text, &image); err != nil {
		return nil, fmt.Errorf("reading config %s: %w", digest.Short(), err)
	}
	return image.Config.Labels, nil
}
