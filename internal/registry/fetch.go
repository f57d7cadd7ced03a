package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"
)

const settingBase = "base"

// Fetch downloads an image for several platforms into dir as an OCI layout, whose index names one image for each of them, by that
// platform. An image that the repository does not have, or that has none for a platform, is a *release.InputError, and nothing is
// downloaded.
func (c *Client) Fetch(ctx context.Context, image release.Image, platforms []release.Platform, dir string) (release.Layout, error) {
	r, err := c.open(sideBase, image.Repository, false)
	if err != nil {
		return release.Layout{}, err
	}
	err = r.fetch(ctx, image, platforms, dir)
	var input *release.InputError
	if err != nil && !errors.As(err, &input) {
		err = r.fault(err, fmt.Sprintf("fetching %q", image))
	}
	return release.Layout{Dir: dir, Digest: image.Digest}, err
}

// fetch downloads the image of each platform and writes the layout.
func (r *repository) fetch(ctx context.Context, image release.Image, platforms []release.Platform, dir string) error {
	root, found, err := r.getManifest(ctx, image.Digest.String())
	if err != nil {
		return err
	}
	if !found {
		return release.BadSetting(settingBase, fmt.Sprintf("%q is not in its repository", image), "correct its digest or its repository")
	}
	var blobs []release.Descriptor
	into, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("writing an OCI layout to %q: %w", dir, err)
	}
	for _, platform := range platforms {
		m, err := r.forPlatform(ctx, image, root, platform)
		if err != nil {
			return err
		}
		parts, err := blobsOf(image, m)
		if err != nil {
			return err
		}
		blobs = append(blobs, parts...)
		if err := writeManifest(into, m, platform); err != nil {
			return fmt.Errorf("writing manifest %s to %q: %w", m.digest.Short(), dir, err)
		}
	}
	return r.download(ctx, blobs, into)
}

// forPlatform returns the image for a platform: the image itself, or the one of the index whose variant is the highest that the
// platform runs.
func (r *repository) forPlatform(ctx context.Context, image release.Image, root manifest, platform release.Platform) (manifest, error) {
	read, err := root.parse()
	if err != nil {
		return manifest{}, err
	}
	if !root.isIndex() {
		offered, err := r.platformOf(ctx, read.Config)
		if err == nil && !runs(platform, offered) {
			err = lacksPlatform(image, platform, offered.String())
		}
		return root, err
	}
	var (
		offers []string
		best   release.Platform
		chosen string
	)
	for _, child := range read.Manifests {
		if child.Platform == nil || child.Platform.Architecture == "unknown" {
			continue // an attestation of buildx
		}
		offered := release.Platform{OS: child.Platform.OS, Architecture: child.Platform.Architecture, Variant: child.Platform.Variant}
		offers = append(offers, sanitize(offered.String()))
		if runs(platform, offered) && (chosen == "" || variantOf(offered) > variantOf(best)) {
			best, chosen = offered, child.Digest
		}
	}
	if chosen == "" {
		return manifest{}, lacksPlatform(image, platform, strings.Join(offers, ", "))
	}
	digest, err := release.ParseDigest(chosen)
	if err != nil {
		return manifest{}, fmt.Errorf("reading index %s: %w", image.Digest.Short(), err)
	}
	m, err := r.fetchManifest(ctx, digest)
	if err == nil && m.isIndex() {
		err = fmt.Errorf("reading index %s: %s for %q is an index too", image.Digest.Short(), digest.Short(), platform)
	}
	return m, err
}

func lacksPlatform(image release.Image, platform release.Platform, offers string) error {
	return release.BadSetting(settingBase, fmt.Sprintf("%q has no image for %q, only for %s", image, platform, offers), "choose a base that has every platform of the build")
}

// platformOf reads the platform that an image's config names.
func (r *repository) platformOf(ctx context.Context, config release.Descriptor) (release.Platform, error) {
	digest, err := release.ParseDigest(config.Digest)
	if err != nil {
		return release.Platform{}, fmt.Errorf("reading config %q: %w", sanitize(config.Digest), err)
	}
	text, err := r.getBlob(ctx, digest, maxManifest)
	if err != nil {
		return release.Platform{}, fmt.Errorf("reading config %s: %w", digest.Short(), err)
	}
	var named struct{ OS, Architecture, Variant string }
	if err := json.Unmarshal(text, &named); err != nil {
		return release.Platform{}, fmt.Errorf("reading config %s: %w", digest.Short(), err)
	}
	return release.Platform{OS: sanitize(named.OS), Architecture: sanitize(named.Architecture), Variant: sanitize(named.Variant)}, nil
}

// defaultVariants are the variants that an architecture without one means. Source: containerd's platforms package, "Normalize".
var defaultVariants = map[string]string{"amd64": "v1", "arm": "v7", "arm64": "v8"}

func variantOf(platform release.Platform) string {
	if platform.Variant == "" {
		return defaultVariants[platform.Architecture]
	}
	return platform.Variant
}

// runs reports whether a platform runs what is built for another: the same system and architecture, and no higher variant.
func runs(platform, offered release.Platform) bool {
	return platform.OS == offered.OS && platform.Architecture == offered.Architecture && variantOf(offered) <= variantOf(platform)
}

// blobsOf returns the descriptors of an image's config and layers.
func blobsOf(image release.Image, m manifest) ([]release.Descriptor, error) {
	read, err := m.parse()
	if err != nil {
		return nil, err
	}
	blobs := append([]release.Descriptor{read.Config}, read.Layers...)
	for _, blob := range blobs {
		if _, err := release.ParseDigest(blob.Digest); err != nil || blob.Size < 0 {
			return nil, fmt.Errorf("reading manifest %s: blob %q of %d bytes", m.digest.Short(), sanitize(blob.Digest), blob.Size)
		}
		// Source: OCI image-spec, layer.md, "Non-Distributable Layers".
		if !types.MediaType(blob.MediaType).IsDistributable() {
			return nil, release.BadSetting(settingBase, fmt.Sprintf("%q has a layer that must not be copied (%q)", image, sanitize(blob.MediaType)), "choose another base")
		}
	}
	if len(blobs) > maxBlobs {
		return nil, fmt.Errorf("reading manifest %s: it has more than %d blobs", m.digest.Short(), maxBlobs)
	}
	return blobs, nil
}

// writeManifest adds an image to a layout, under a platform.
func writeManifest(into layout.Path, m manifest, platform release.Platform) error {
	hash, err := v1.NewHash(m.digest.String())
	if err != nil {
		return err
	}
	if err := into.WriteBlob(hash, io.NopCloser(bytes.NewReader(m.bytes))); err != nil {
		return err
	}
	return into.AppendDescriptor(v1.Descriptor{
		MediaType: types.MediaType(m.mediaType), Digest: hash, Size: int64(len(m.bytes)),
		Platform: &v1.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant},
	})
}

// download writes blobs into a layout, several at once, each again from its start if the connection breaks.
func (r *repository) download(ctx context.Context, blobs []release.Descriptor, into layout.Path) error {
	slices.SortFunc(blobs, func(a, b release.Descriptor) int { return strings.Compare(a.Digest, b.Digest) })
	blobs = slices.CompactFunc(blobs, func(a, b release.Descriptor) bool { return a.Digest == b.Digest })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallelBlobs)
	for _, blob := range blobs {
		group.Go(func() error {
			hash, err := v1.NewHash(blob.Digest)
			if err != nil {
				return err
			}
			return retry.Do(ctx, httpx.Backoff(3), func(context.Context) error {
				content, err := r.openVerified(ctx, blob)
				if err == nil {
					err = into.WriteBlob(hash, content)
				}
				if err == nil {
					return nil
				}
				_ = into.RemoveBlob(hash) // WriteBlob takes a part of a blob for the whole
				if isTransient(err) {
					return retry.RetryableError(err)
				}
				return fmt.Errorf("fetching blob %s: %w", blob.Digest, err)
			})
		})
	}
	return group.Wait()
}
