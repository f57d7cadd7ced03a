package store

import "github.com/onedigest/onedigest/internal/release"

// Archive moves an image to the archive, as ECR's UpdateImageStorageClass and lifecycle policies do; false if there is no such image.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UpdateImageStorageClass.html
func (s *Store) Archive(name string, digest release.Digest) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil || found.Images[digest] == nil {
		return false, nil
	}
	return true, s.change(found, func(r *Repository) error {
		archived := *r.Images[digest]
		archived.Archived = s.now().UTC()
		r.Images[digest] = &archived
		return nil
	})
}
