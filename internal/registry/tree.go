package registry

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/release"
)

// Limits of one image or index, far above real ones: loops over a registry's answers must end.
const (
	maxManifests     = 200
	maxBlobs         = 2000
	maxManifestBytes = 32 << 20 // of all manifests together, which are kept in memory
)

// tree is all manifests and blobs of an image or an index.
type tree struct {
	manifests []manifest // children before the index that names them, the root last
	blobs     []release.Descriptor
}

func (t tree) root() manifest { return t.manifests[len(t.manifests)-1] }

func (t tree) size() (total int64) {
	for _, blob := range t.blobs {
		total += blob.Size
	}
	return total
}

// readTree reads the tree below a digest, each manifest by fetch, which checks that the bytes are the digest's.
func readTree(ctx context.Context, root release.Digest, fetch func(context.Context, release.Digest) (manifest, error)) (tree, error) {
	var result tree
	seen := map[string]bool{}
	manifestBytes := 0
	addBlob := func(blob release.Descriptor, of release.Digest) error {
		if _, err := release.ParseDigest(blob.Digest); err != nil {
			return fmt.Errorf("reading manifest %s: %w", of.Short(), err)
		}
		if blob.Size < 0 {
			return fmt.Errorf("reading manifest %s: blob %q has %d bytes", of.Short(), blob.Digest, blob.Size)
		}
		// Layers that their licence forbids to distribute are not copied. Source: OCI image-spec, layer.md, "Non-Distributable Layers".
		if !seen[blob.Digest] && types.MediaType(blob.MediaType).IsDistributable() {
			seen[blob.Digest] = true
			result.blobs = append(result.blobs, blob)
		}
		return nil
	}
	var visit func(digest release.Digest) error
	visit = func(digest release.Digest) error {
		if seen[digest.String()] {
			return nil
		}
		seen[digest.String()] = true
		if len(seen) > maxManifests+maxBlobs {
			return fmt.Errorf("reading %s: it has more than %d parts", root.Short(), maxManifests+maxBlobs)
		}
		m, err := fetch(ctx, digest)
		if err != nil {
			return err
		}
		read, err := m.parse()
		if err != nil {
			return err
		}
		if m.isIndex() {
			for _, child := range read.Manifests {
				if !isManifest(child) {
					if err := addBlob(child, digest); err != nil {
						return err
					}
					continue
				}
				childDigest, err := release.ParseDigest(child.Digest)
				if err != nil {
					return fmt.Errorf("reading index %s: %w", digest.Short(), err)
				}
				if err := visit(childDigest); err != nil {
					return err
				}
			}
		} else {
			for _, blob := range append([]release.Descriptor{read.Config}, read.Layers...) {
				if err := addBlob(blob, digest); err != nil {
					return err
				}
			}
		}
		result.manifests = append(result.manifests, m)
		manifestBytes += len(m.bytes)
		if len(result.manifests) > maxManifests || len(result.blobs) > maxBlobs || manifestBytes > maxManifestBytes {
			return fmt.Errorf("reading %s: it has more than %d manifests, %d bytes of them or %d blobs",
				root.Short(), maxManifests, maxManifestBytes, maxBlobs)
		}
		return nil
	}
	return result, visit(root)
}
