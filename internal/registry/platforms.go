package registry

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// Platforms lists the images of a digest: the image itself, or for an index its children, also those of nested indexes, without
// attestations and other artifacts, so that an artifact has none. It returns false if the repository does not have the digest. It reads every child's manifest.
func (c *Client) Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error) {
	r, err := c.open(sideRegistry, image.Repository, false)
	if err != nil {
		return nil, false, err
	}
	root, exists, err := r.getManifest(ctx, image.Digest.String())
	if err == nil && exists {
		var images []release.PlatformImage
		if images, err = r.platforms(ctx, root, release.Platform{}, new(int)); err == nil {
			return images, true, nil
		}
	}
	if err != nil {
		err = r.fault(err, fmt.Sprintf("reading the platforms of %q", image))
	}
	return nil, false, err
}

// platforms lists the images below a manifest whose descriptor names the platform; read counts the manifests. A child that the
// repository lacks is skipped: nothing can have pulled it from there. So is what is no image, because no node can run it.
func (r *repository) platforms(ctx context.Context, m manifest, platform release.Platform, read *int) ([]release.PlatformImage, error) {
	if *read++; *read > maxManifests {
		return nil, fmt.Errorf("reading index %s: it has more than %d manifests", m.digest.Short(), maxManifests)
	}
	content, err := m.parse()
	if err != nil {
		return nil, err
	}
	if !m.isIndex() {
		if !release.IsConfigOfImage(content.Config.MediaType) {
			return nil, nil
		}
		config, _ := release.ParseDigest(content.Config.Digest) // zero if it is of another algorithm: then only the manifest's digest counts
		if platform == (release.Platform{}) {
			platform = r.configPlatform(ctx, content.Config)
		}
		return []release.PlatformImage{{Platform: platform, Manifest: m.digest, Config: config}}, nil
	}
	var images []release.PlatformImage
	for _, child := range content.Manifests {
		digest, err := release.ParseDigest(child.Digest)
		if err != nil || !child.IsImage() {
			continue
		}
		below, exists, err := r.getManifest(ctx, digest.String())
		if err != nil {
			return nil, err
		}
		if !exists {
			continue
		}
		of := release.Platform{}
		if child.Platform != nil {
			of = release.Platform{OS: child.Platform.OS, Architecture: child.Platform.Architecture}
		}
		found, err := r.platforms(ctx, below, of, read)
		if err != nil {
			return nil, err
		}
		images = append(images, found...)
	}
	return images, nil
}

// configPlatform reads the platform from an image's config, as for a manifest that no index describes; zero if the config says none or
// cannot be read. Source: OCI image-spec, config.md, "architecture" and "os".
func (r *repository) configPlatform(ctx context.Context, config release.Descriptor) release.Platform {
	digest, err := release.ParseDigest(config.Digest)
	if err != nil {
		return release.Platform{}
	}
	text, err := r.getBlob(ctx, digest, maxManifest)
	if err != nil {
		return release.Platform{}
	}
	var image struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	}
	if json.Unmarshal(text, &image) != nil || image.OS == "" || image.Architecture == "" {
		return release.Platform{}
	}
	return release.Platform{OS: image.OS, Architecture: image.Architecture}
}
