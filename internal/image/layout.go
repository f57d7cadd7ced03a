package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/release"
)

// maxManifest bounds a manifest, in bytes; the OCI distribution-spec asks registries for 4 MiB ("Pushing Manifests").
const maxManifest = 4 << 20

// readLayout returns the only entry of a layout, after verifying every blob below it.
func readLayout(dir string) (release.Layout, error) {
	content, err := readManifest(filepath.Join(dir, "index.json"))
	if err != nil {
		return release.Layout{}, fmt.Errorf("reading the OCI layout %q: %w", dir, err)
	}
	var entries v1.IndexManifest
	if err := json.Unmarshal(content, &entries); err != nil {
		return release.Layout{}, fmt.Errorf("reading the OCI layout %q: %w", dir, err)
	}
	if len(entries.Manifests) != 1 {
		return release.Layout{}, fmt.Errorf("reading the OCI layout %q: it has %d entries, want one", dir, len(entries.Manifests))
	}
	root := entries.Manifests[0]
	if err := verify(dir, root, 0); err != nil {
		return release.Layout{}, fmt.Errorf("verifying the OCI layout %q: %w", dir, err)
	}
	digest, err := release.ParseDigest(root.Digest.String())
	return release.Layout{Dir: dir, Digest: digest}, err
}

// verify compares a descriptor's blob, and all blobs that it refers to, with their digests and sizes. Indexes may be nested
// twice.
func verify(dir string, descriptor v1.Descriptor, depth int) error {
	digest, err := release.ParseDigest(descriptor.Digest.String())
	if err != nil {
		return err
	}
	blob := filepath.Join(dir, "blobs", "sha256", descriptor.Digest.Hex)
	if err := verifyBlob(blob, descriptor); err != nil {
		return fmt.Errorf("blob %s: %w", digest.Short(), err)
	}
	var children []v1.Descriptor
	switch descriptor.MediaType {
	case types.OCIImageIndex, types.DockerManifestList:
		if depth == 2 {
			return fmt.Errorf("index %s is nested too deep", digest.Short())
		}
		var index v1.IndexManifest
		if err := decodeManifest(blob, &index); err != nil {
			return fmt.Errorf("index %s: %w", digest.Short(), err)
		}
		children = index.Manifests
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		var manifest v1.Manifest
		if err := decodeManifest(blob, &manifest); err != nil {
			return fmt.Errorf("manifest %s: %w", digest.Short(), err)
		}
		children = append([]v1.Descriptor{manifest.Config}, manifest.Layers...)
	default:
		if depth == 0 {
			return fmt.Errorf("%s is %q, neither an image nor an index", digest.Short(), descriptor.MediaType)
		}
	}
	for _, child := range children {
		if err := verify(dir, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// verifyBlob checks a blob's size and digest.
func verifyBlob(blob string, descriptor v1.Descriptor) error {
	file, err := os.Open(blob) // #nosec G304 -- named by a digest, in our own layout
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	switch {
	case err != nil:
		return err
	case size != descriptor.Size:
		return fmt.Errorf("has %d bytes, want %d", size, descriptor.Size)
	case hex.EncodeToString(hash.Sum(nil)) != descriptor.Digest.Hex:
		return fmt.Errorf("does not match its digest")
	}
	return nil
}

func decodeManifest(blob string, into any) error {
	content, err := readManifest(blob)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// readManifest reads a manifest of at most maxManifest bytes.
func readManifest(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("%q has %d bytes, limit %d", filepath.Base(path), info.Size(), maxManifest)
	}
	return os.ReadFile(path) // #nosec G304 -- in our own layout
}
