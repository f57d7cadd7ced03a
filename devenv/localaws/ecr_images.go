package localaws

import (
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
)

// imageID names an image by tag, digest or both.
type imageID struct {
	ImageDigest string `json:"imageDigest,omitempty"`
	ImageTag    string `json:"imageTag,omitempty"`
}

func (i imageID) String() string {
	return fmt.Sprintf("{imageDigest:'%s', imageTag:'%s'}", orNull(i.ImageDigest), orNull(i.ImageTag))
}

func orNull(text string) string {
	if text == "" {
		return "null"
	}
	return text
}

// imageFailure is why one of several images could not be had.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html
type imageFailure struct {
	ImageID       imageID `json:"imageId"`
	FailureCode   string  `json:"failureCode"`
	FailureReason string  `json:"failureReason"`
}

// resolve finds the image that an id names.
func (r *repository) resolve(id imageID) (*image, *imageFailure) {
	failed := func(code, reason string) (*image, *imageFailure) {
		return nil, &imageFailure{ImageID: id, FailureCode: code, FailureReason: reason}
	}
	if id.ImageDigest == "" && id.ImageTag == "" {
		return failed("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null")
	}
	var found *image
	if id.ImageDigest != "" {
		digest, err := release.ParseDigest(id.ImageDigest)
		if err != nil {
			return failed("InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex "+
				"'[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'")
		}
		if found = r.images[digest]; found == nil {
			return failed("ImageNotFound", "Requested image not found")
		}
	}
	if id.ImageTag != "" {
		tagged := r.images[r.tags[release.Tag(id.ImageTag)]]
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

// maxBatch is how many images one call may name.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html (imageIds)
const maxBatch = 100

func checkBatch(ids []imageID) *apiError {
	if len(ids) < 1 || len(ids) > maxBatch {
		return invalidParameter("imageIds", fmt.Sprintf("Member must have length between 1 and %d", maxBatch))
	}
	return nil
}

type imageMembers struct {
	RegistryID             string  `json:"registryId"`
	RepositoryName         string  `json:"repositoryName"`
	ImageID                imageID `json:"imageId"`
	ImageManifest          string  `json:"imageManifest"`
	ImageManifestMediaType string  `json:"imageManifestMediaType"`
}

func (s *Server) imageMembers(repository string, found *manifest, tag string) imageMembers {
	return imageMembers{
		RegistryID: s.options.Account, RepositoryName: repository,
		ImageID:       imageID{ImageDigest: found.digest.String(), ImageTag: tag},
		ImageManifest: string(found.body), ImageManifestMediaType: string(found.mediaType),
	}
}

type batchGetImageInput struct {
	inRepository
	ImageIDs           []imageID `json:"imageIds"`
	AcceptedMediaTypes []string  `json:"acceptedMediaTypes"`
}

// batchGetImage gives manifests. A manifest of a type that is not accepted counts as not found: this server translates
// none, though ECR does between Docker's and OCI's.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html
func (s *Server) batchGetImage(_ string, in batchGetImageInput) (any, error) {
	found, refusal := s.repository(in.inRepository)
	if refusal == nil {
		refusal = checkBatch(in.ImageIDs)
	}
	if refusal != nil {
		return nil, refusal
	}
	images, failures := []imageMembers{}, []imageFailure{}
	for _, id := range in.ImageIDs {
		image, failure := found.resolve(id)
		if failure == nil && len(in.AcceptedMediaTypes) > 0 &&
			!slices.Contains(in.AcceptedMediaTypes, string(image.mediaType)) {
			failure = &imageFailure{id, "ImageNotFound", "Requested image not found"}
		}
		if failure != nil {
			failures = append(failures, *failure)
			continue
		}
		images = append(images, s.imageMembers(in.RepositoryName, image.manifest, id.ImageTag))
	}
	return map[string]any{"images": images, "failures": failures}, nil
}

type putImageInput struct {
	inRepository
	ImageManifest          string `json:"imageManifest"`
	ImageManifestMediaType string `json:"imageManifestMediaType"`
	ImageTag               string `json:"imageTag"`
	ImageDigest            string `json:"imageDigest"`
}

// putImage stores a manifest and moves a tag to it.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html
func (s *Server) putImage(_ string, in putImageInput) (any, error) {
	if _, refusal := s.repository(in.inRepository); refusal != nil {
		return nil, refusal
	}
	if in.ImageManifest == "" || len(in.ImageManifest) > maxManifest {
		return nil, invalidParameter("imageManifest", fmt.Sprintf("Member must have length between 1 and %d", maxManifest))
	}
	pushed, err := parseManifest([]byte(in.ImageManifest), in.ImageManifestMediaType)
	if err != nil {
		return nil, invalidParameter("imageManifest", err.Error())
	}
	if in.ImageDigest != "" && in.ImageDigest != pushed.digest.String() {
		return nil, badRequest("ImageDigestDoesNotMatchException", "%s", s.digestMismatch(in.ImageDigest, in.RepositoryName))
	}
	var tag release.Tag
	if in.ImageTag != "" {
		if tag, err = release.ParseTag(in.ImageTag); err != nil {
			return nil, invalidParameter("imageTag", err.Error())
		}
	}
	if err := s.store.put(in.RepositoryName, pushed, tag, true); err != nil {
		return nil, s.wordAPIRefusal(err, in.RepositoryName, tag)
	}
	return map[string]any{"image": s.imageMembers(in.RepositoryName, pushed, in.ImageTag)}, nil
}

func (s *Server) digestMismatch(claimed, repository string) string {
	return fmt.Sprintf("The image with digest '%s' in repository '%s' and registry ID '%s' does not match the image digest "+
		"that Amazon ECR has calculated.", claimed, repository, s.options.Account)
}
