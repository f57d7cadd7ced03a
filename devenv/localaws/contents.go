package localaws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/onedigest/onedigest/internal/release"
)

// contents holds blobs by digest, each once however many repositories it belongs to.
type contents interface {
	open(release.Digest) (io.ReadCloser, error)
	// write keeps what it reads; the reader fails at its end if the bytes are not the digest's.
	write(release.Digest, io.Reader) (int64, error)
}

type memoryContents struct {
	mu    sync.RWMutex
	blobs map[release.Digest][]byte
}

func newMemoryContents() *memoryContents {
	return &memoryContents{blobs: map[release.Digest][]byte{}}
}

// seekable is a reader of bytes in memory that can be asked for a range.
type seekable struct {
	*bytes.Reader
	io.Closer
}

func (m *memoryContents) open(digest release.Digest) (io.ReadCloser, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	blob, found := m.blobs[digest]
	if !found {
		return nil, registry.ErrNotFound
	}
	return seekable{bytes.NewReader(blob), io.NopCloser(nil)}, nil
}

func (m *memoryContents) write(digest release.Digest, from io.Reader) (int64, error) {
	blob, err := io.ReadAll(from)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[digest] = blob
	return int64(len(blob)), nil
}

// diskContents keeps each blob in a file named by its hex digits.
type diskContents struct{ dir string }

func (d *diskContents) open(digest release.Digest) (io.ReadCloser, error) {
	file, err := os.Open(filepath.Join(d.dir, hexOf(digest)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, registry.ErrNotFound
	}
	return file, err
}

func (d *diskContents) write(digest release.Digest, from io.Reader) (int64, error) {
	file, err := os.CreateTemp(d.dir, ".writing-*")
	if err != nil {
		return 0, err
	}
	size, err := io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), filepath.Join(d.dir, hexOf(digest)))
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(file.Name()))
	}
	return size, nil
}

// blobKeeper gives go-containerregistry's registry the store's blobs, each in the repositories it belongs to only:
// ECR has a layer in a repository or has it not.
type blobKeeper struct{ store *store }

var (
	_ registry.BlobHandler     = blobKeeper{}
	_ registry.BlobStatHandler = blobKeeper{}
	_ registry.BlobPutHandler  = blobKeeper{}
)

func (b blobKeeper) Get(_ context.Context, repository string, hash v1.Hash) (io.ReadCloser, error) {
	digest, _, err := b.find(repository, hash)
	if err != nil {
		return nil, err
	}
	return b.store.contents.open(digest)
}

func (b blobKeeper) Stat(_ context.Context, repository string, hash v1.Hash) (int64, error) {
	_, size, err := b.find(repository, hash)
	return size, err
}

func (b blobKeeper) find(name string, hash v1.Hash) (release.Digest, int64, error) {
	found, ok := b.store.view(name)
	digest, err := release.ParseDigest(hash.String())
	if !ok || err != nil {
		return release.Digest{}, 0, registry.ErrNotFound
	}
	size, ok := found.blobs[digest]
	if !ok {
		return release.Digest{}, 0, registry.ErrNotFound
	}
	return digest, size, nil
}

func (b blobKeeper) Put(_ context.Context, repository string, hash v1.Hash, from io.ReadCloser) error {
	digest, err := release.ParseDigest(hash.String())
	if err != nil {
		return err
	}
	size, err := b.store.contents.write(digest, from)
	if err != nil {
		return fmt.Errorf("keeping blob %s: %w", digest, err)
	}
	return b.store.addBlob(repository, digest, size)
}

// addBlob makes a blob part of a repository.
func (s *store) addBlob(name string, digest release.Digest, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return fmt.Errorf("repository %q is gone", name)
	}
	if _, there := found.blobs[digest]; there {
		return nil
	}
	return s.change(found, func(r *repository) error {
		r.blobs[digest] = size
		return nil
	})
}

// mount makes a blob of one repository part of another; from "" takes it from any. It is false if it is not there.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html (the account setting BLOB_MOUNTING is
// taken to be on)
func (s *store) mount(from, to string, digest release.Digest) (bool, error) {
	size, found := s.blobSize(from, digest)
	if !found {
		return false, nil
	}
	return true, s.addBlob(to, digest, size)
}

func (s *store) blobSize(from string, digest release.Digest) (int64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, repository := range s.repositories {
		if size, found := repository.blobs[digest]; found && (from == "" || from == name) {
			return size, true
		}
	}
	return 0, false
}
