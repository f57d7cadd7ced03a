package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
)

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
