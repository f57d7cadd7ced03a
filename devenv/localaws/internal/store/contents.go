package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/onedigest/onedigest/internal/release"
)

// contents holds blobs by digest, each once, for all repositories.
type contents interface {
	// open fails with os.ErrNotExist for an unknown digest.
	open(release.Digest) (io.ReadCloser, error)
	// write stores what it reads; the reader must fail at its end if the bytes do not match the digest.
	write(release.Digest, io.Reader) (int64, error)
}

type memoryContents struct {
	mu    sync.RWMutex
	blobs map[release.Digest][]byte
}

func newMemoryContents() *memoryContents {
	return &memoryContents{blobs: map[release.Digest][]byte{}}
}

// seekable is a reader of bytes in memory; seeking serves a range.
type seekable struct {
	*bytes.Reader
	io.Closer
}

func (m *memoryContents) open(digest release.Digest) (io.ReadCloser, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	blob, found := m.blobs[digest]
	if !found {
		return nil, os.ErrNotExist
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

// diskContents holds each blob in a file named by the hex digits of its digest.
type diskContents struct{ dir string }

func (d *diskContents) open(digest release.Digest) (io.ReadCloser, error) {
	return os.Open(filepath.Join(d.dir, hexOf(digest)))
}

// write writes the bytes to a temporary file, and renames it to the digest's.
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
