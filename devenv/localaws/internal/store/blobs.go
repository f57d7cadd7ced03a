package store

import (
	"fmt"
	"io"

	"github.com/onedigest/onedigest/internal/release"
)

// OpenBlob returns a blob's bytes; it fails with os.ErrNotExist for an unknown digest. The caller closes it.
func (s *Store) OpenBlob(digest release.Digest) (io.ReadCloser, error) {
	return s.contents.open(digest)
}

// WriteBlob stores a blob and makes it part of a repository. The reader must fail at its end if the bytes do not match the
// digest.
func (s *Store) WriteBlob(repository string, digest release.Digest, from io.Reader) error {
	size, err := s.contents.write(digest, from)
	if err != nil {
		return fmt.Errorf("writing blob %s: %w", digest, err)
	}
	return s.addBlob(repository, digest, size)
}

// addBlob makes a stored blob part of a repository.
func (s *Store) addBlob(name string, digest release.Digest, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return fmt.Errorf("repository %q was deleted", name)
	}
	if _, there := found.Blobs[digest]; there {
		return nil
	}
	return s.change(found, func(r *Repository) error {
		r.Blobs[digest] = size
		return nil
	})
}

// Mount makes a blob of one repository part of another; from "" searches all repositories. It returns false if the blob is not there.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html (as with the account
// setting BLOB_MOUNTING on)
func (s *Store) Mount(from, to string, digest release.Digest) (bool, error) {
	size, found := s.blobSize(from, digest)
	if !found {
		return false, nil
	}
	return true, s.addBlob(to, digest, size)
}

// blobSize returns the size of a blob in the repository from, or in any repository if from is "".
func (s *Store) blobSize(from string, digest release.Digest) (int64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, repository := range s.repositories {
		if size, found := repository.Blobs[digest]; found && (from == "" || from == name) {
			return size, true
		}
	}
	return 0, false
}
