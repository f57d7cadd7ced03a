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

// read takes the one entry of a layout, after every blob that it reaches was found there and right.
func read(dir string) (release.Layout, error) {
	content, err := bounded(filepath.Join(dir, "index.json"))
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

// verify holds a descriptor's blob, and all that the blob names, to digest and size. An index nests at most twice.
func verify(dir string, descriptor v1.Descriptor, depth int) error {
	digest, err := release.ParseDigest(descriptor.Digest.String())
	if err != nil {
		return err
	}
	blob := filepath.Join(dir, "blobs", "sha256", descriptor.Digest.Hex)
	if err := hashed(blob, descriptor); err != nil {
		return fmt.Errorf("blob %s: %w", digest.Short(), err)
	}
	var below []v1.Descriptor
	switch descriptor.MediaType {
	case types.OCIImageIndex, types.DockerManifestList:
		if depth == 2 {
			return fmt.Errorf("index %s lies too deep", digest.Short())
		}
		var index v1.IndexManifest
		if err := decode(blob, &index); err != nil {
			return fmt.Errorf("index %s: %w", digest.Short(), err)
		}
		below = index.Manifests
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		var manifest v1.Manifest
		if err := decode(blob, &manifest); err != nil {
			return fmt.Errorf("manifest %s: %w", digest.Short(), err)
		}
		below = append([]v1.Descriptor{manifest.Config}, manifest.Layers...)
	default:
		if depth == 0 {
			return fmt.Errorf("%s is %q, neither an image nor an index", digest.Short(), descriptor.MediaType)
		}
	}
	for _, next := range below {
		if err := verify(dir, next, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func hashed(blob string, descriptor v1.Descriptor) error {
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
		return fmt.Errorf("has other content than its digest says")
	}
	return nil
}

func decode(blob string, into any) error {
	content, err := bounded(blob)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

func bounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("%q has %d bytes, limit %d", filepath.Base(path), info.Size(), maxManifest)
	}
	return os.ReadFile(path) // #nosec G304 -- in our own layout
}
