package store

import (
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
)

// ImageID identifies an image by tag, digest or both.
type ImageID struct {
	ImageDigest string `json:"imageDigest,omitempty"`
	ImageTag    string `json:"imageTag,omitempty"`
}

// String formats the id as in ECR's messages.
func (i ImageID) String() string {
	return fmt.Sprintf("{imageDigest:'%s', imageTag:'%s'}", orNull(i.ImageDigest), orNull(i.ImageTag))
}

func orNull(text string) string {
	if text == "" {
		return "null"
	}
	return text
}

// ImageFailure says why a call failed for one of several images.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html
type ImageFailure struct {
	ImageID       ImageID `json:"imageId"`
	FailureCode   string  `json:"failureCode"`
	FailureReason string  `json:"failureReason"`
}

// Resolve finds the image with an id, or returns ECR's reason why it cannot.
func (r *Repository) Resolve(id ImageID) (*Image, *ImageFailure) {
	failed := func(code, reason string) (*Image, *ImageFailure) {
		return nil, &ImageFailure{ImageID: id, FailureCode: code, FailureReason: reason}
	}
	if id.ImageDigest == "" && id.ImageTag == "" {
		return failed("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null")
	}
	var found *Image
	if id.ImageDigest != "" {
		digest, err := release.ParseDigest(id.ImageDigest)
		if err != nil {
			return failed("InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex "+
				"'[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'")
		}
		if found = r.Images[digest]; found == nil {
			return failed("ImageNotFound", "Requested image not found")
		}
	}
	if id.ImageTag != "" {
		tagged := r.Images[r.Tags[release.Tag(id.ImageTag)]]
		switch {
		case tagged == nil:
			return failed("ImageNotFound", "Requested image not found")
		case found != nil && found != tagged:
			return failed("ImageTagDoesNotMatchDigest", "Requested image digest does not match the digest of the tag")
		}
		found = tagged
	}
	return found, nil
}

// DeleteImages deletes tags, and images with all their tags. Deleting an image's last tag deletes the image; an image that an index
// refers to stays.
func (s *Store) DeleteImages(name string, ids []ImageID) (deleted []ImageID, failures []ImageFailure, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return nil, nil, s.refuse(RepositoryNotFound, name)
	}
	deleted, failures = []ImageID{}, []ImageFailure{}
	err = s.change(found, func(r *Repository) error {
		for _, id := range ids {
			removed, failure := r.deleteImage(id)
			deleted = append(deleted, removed...)
			if failure != nil {
				failures = append(failures, *failure)
			}
		}
		return nil
	})
	return deleted, failures, err
}

// deleteImage deletes one tag, or an image with all its tags, and returns what was deleted.
func (r *Repository) deleteImage(id ImageID) ([]ImageID, *ImageFailure) {
	found, failure := r.Resolve(id)
	if failure != nil {
		return nil, failure
	}
	tags := r.TagsOf(found.Digest)
	if id.ImageTag != "" && len(tags) > 1 {
		delete(r.Tags, release.Tag(id.ImageTag))
		return []ImageID{{ImageDigest: found.Digest.String(), ImageTag: id.ImageTag}}, nil
	}
	for _, other := range r.Images {
		if slices.Contains(other.Children, found.Digest) {
			return nil, &ImageFailure{id, "ImageReferencedByManifestList", fmt.Sprintf(
				"Requested image referenced by manifest list: [%s]", other.Digest)}
		}
	}
	delete(r.Images, found.Digest)
	if len(tags) == 0 {
		return []ImageID{{ImageDigest: found.Digest.String()}}, nil
	}
	var removed []ImageID
	for _, tag := range tags {
		delete(r.Tags, tag)
		removed = append(removed, ImageID{ImageDigest: found.Digest.String(), ImageTag: string(tag)})
	}
	return removed, nil
}
