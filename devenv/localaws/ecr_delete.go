package localaws

import (
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
)

type batchDeleteImageInput struct {
	inRepository
	ImageIDs []imageID `json:"imageIds"`
}

// batchDeleteImage takes a tag away, or an image with all its tags. The last tag takes its image along; an image that an
// index holds stays.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
func (s *Server) batchDeleteImage(_ string, in batchDeleteImageInput) (any, error) {
	_, refusal := s.repository(in.inRepository)
	if refusal == nil {
		refusal = checkBatch(in.ImageIDs)
	}
	if refusal != nil {
		return nil, refusal
	}
	deleted, failures, err := s.store.delete(in.RepositoryName, in.ImageIDs)
	if err != nil {
		return nil, s.wordAPIRefusal(err, in.RepositoryName, "")
	}
	return map[string]any{"imageIds": deleted, "failures": failures}, nil
}

func (s *store) delete(name string, ids []imageID) (deleted []imageID, failures []imageFailure, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return nil, nil, &putRefusal{kind: noRepository}
	}
	deleted, failures = []imageID{}, []imageFailure{}
	err = s.change(found, func(r *repository) error {
		for _, id := range ids {
			gone, failure := r.delete(id)
			deleted = append(deleted, gone...)
			if failure != nil {
				failures = append(failures, *failure)
			}
		}
		return nil
	})
	return deleted, failures, err
}

func (r *repository) delete(id imageID) ([]imageID, *imageFailure) {
	found, failure := r.resolve(id)
	if failure != nil {
		return nil, failure
	}
	tags := r.tagsOf(found.digest)
	if id.ImageTag != "" && len(tags) > 1 {
		delete(r.tags, release.Tag(id.ImageTag))
		return []imageID{{ImageDigest: found.digest.String(), ImageTag: id.ImageTag}}, nil
	}
	for _, other := range r.images {
		if slices.Contains(other.children, found.digest) {
			return nil, &imageFailure{id, "ImageReferencedByManifestList", fmt.Sprintf(
				"Requested image referenced by manifest list: [%s]", other.digest)}
		}
	}
	delete(r.images, found.digest)
	if len(tags) == 0 {
		return []imageID{{ImageDigest: found.digest.String()}}, nil
	}
	var gone []imageID
	for _, tag := range tags {
		delete(r.tags, tag)
		gone = append(gone, imageID{ImageDigest: found.digest.String(), ImageTag: string(tag)})
	}
	return gone, nil
}
