package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
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

// maxRevisions is how many images of an index are named that were built from different commits.
const maxRevisions = 5

// labels reads what an image says about itself at the first place that names its commit: its annotations, those that an index gives its
// images, the labels of their configs. If no place names one, the result is that of the last place. Of an index whose images name different commits, it is
// only a revision that names them all.
func (r *repository) labels(ctx context.Context, m manifest) (map[string]string, error) {
	read, err := m.parse()
	if err != nil || read.Annotations[release.AnnotationRevision] != "" {
		return read.Annotations, err
	}
	if !m.isIndex() {
		return r.configLabels(ctx, read.Config)
	}
	images, err := r.labelsOfImages(ctx, m, read, new(atomic.Int64))
	if err != nil || len(images) == 0 {
		return nil, err
	}
	return agreed(images), nil
}

// imageLabels is what one image of an index says about itself.
type imageLabels struct {
	name   string // its platform, or its digest if the index names none
	labels map[string]string
}

// agreed returns the labels of the first image that names its commit, or of the first image if none does. If the images name different commits, it is
// only a revision with all of them.
func agreed(images []imageLabels) map[string]string {
	first, differ := images[0].labels, false
	var named []string
	for _, image := range images {
		revision := image.labels[release.AnnotationRevision]
		if revision == "" {
			continue
		}
		if len(named) == 0 {
			first = image.labels
		}
		differ = differ || revision != first[release.AnnotationRevision]
		named = append(named, fmt.Sprintf("%s (%s)", sanitize(revision), sanitize(image.name)))
	}
	if !differ {
		return first
	}
	if more := len(named) - maxRevisions; more > 0 {
		named = append(named[:maxRevisions], fmt.Sprintf("%d more", more))
	}
	return map[string]string{release.AnnotationRevision: strings.Join(named, ", ")}
}

// atOnce is how many images of an index are read at the same time.
const atOnce = 4

// labelsOfImages reads what the images of an index say about themselves, also those of nested indexes, in the order of the index; read counts the
// manifests. An image that the repository lacks says nothing, because no node can pull it from there.
func (r *repository) labelsOfImages(ctx context.Context, m manifest, index manifestContent, read *atomic.Int64) ([]imageLabels, error) {
	children := slices.DeleteFunc(slices.Clone(index.Manifests), func(child release.Descriptor) bool { return !child.IsImage() })
	found := make([][]imageLabels, len(children))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, child := range children {
		group.Go(func() (err error) {
			if read.Add(1) > maxManifests {
				return fmt.Errorf("reading index %s: it has more than %d manifests", m.digest.Short(), maxManifests)
			}
			found[i], err = r.labelsOfChild(ctx, child, read)
			return err
		})
	}
	err := group.Wait()
	return slices.Concat(found...), err
}

// labelsOfChild reads what a child of an index says about itself, or its images if it is an index.
func (r *repository) labelsOfChild(ctx context.Context, child release.Descriptor, read *atomic.Int64) ([]imageLabels, error) {
	digest, err := release.ParseDigest(child.Digest)
	if err != nil {
		return nil, nil //nolint:nilerr // of an algorithm that is not read
	}
	image := imageLabels{name: digest.Short(), labels: child.Annotations}
	if child.Platform != nil && child.Platform.OS != "" {
		image.name = release.Platform{OS: child.Platform.OS, Architecture: child.Platform.Architecture, Variant: child.Platform.Variant}.String()
	}
	if image.labels[release.AnnotationRevision] != "" {
		return []imageLabels{image}, nil
	}
	m, exists, err := r.getManifest(ctx, digest.String())
	if err != nil || !exists {
		return nil, err
	}
	content, err := m.parse()
	switch {
	case err != nil:
		return nil, err
	case content.Annotations[release.AnnotationRevision] != "":
		image.labels = content.Annotations
	case m.isIndex():
		return r.labelsOfImages(ctx, m, content, read)
	case !release.IsConfigOfImage(content.Config.MediaType):
		return nil, nil
	default:
		if image.labels, err = r.configLabels(ctx, content.Config); err != nil {
			return nil, err
		}
	}
	return []imageLabels{image}, nil
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
