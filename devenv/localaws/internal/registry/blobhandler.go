package registry

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

// blobHandler gives go-containerregistry's registry the store's blobs, each only in the repositories that it belongs to, as in ECR.
type blobHandler struct{ store *store.Store }

var (
	_ registry.BlobHandler     = blobHandler{}
	_ registry.BlobStatHandler = blobHandler{}
	_ registry.BlobPutHandler  = blobHandler{}
)

func (b blobHandler) Get(_ context.Context, repository string, hash v1.Hash) (io.ReadCloser, error) {
	digest, _, err := b.find(repository, hash)
	if err != nil {
		return nil, err
	}
	blob, err := b.store.OpenBlob(digest)
	if errors.Is(err, os.ErrNotExist) {
		return nil, registry.ErrNotFound
	}
	return blob, err
}

func (b blobHandler) Stat(_ context.Context, repository string, hash v1.Hash) (int64, error) {
	_, size, err := b.find(repository, hash)
	return size, err
}

// find returns the digest and the size of a blob of a repository; registry.ErrNotFound if the repository does not have it.
func (b blobHandler) find(name string, hash v1.Hash) (release.Digest, int64, error) {
	found, ok := b.store.View(name)
	digest, err := release.ParseDigest(hash.String())
	if !ok || err != nil {
		return release.Digest{}, 0, registry.ErrNotFound
	}
	size, ok := found.Blobs[digest]
	if !ok {
		return release.Digest{}, 0, registry.ErrNotFound
	}
	return digest, size, nil
}

func (b blobHandler) Put(_ context.Context, repository string, hash v1.Hash, from io.ReadCloser) error {
	digest, err := release.ParseDigest(hash.String())
	if err != nil {
		return err
	}
	return b.store.WriteBlob(repository, digest, from)
}
