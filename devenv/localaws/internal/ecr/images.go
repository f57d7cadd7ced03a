package ecr

import (
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

// maxBatch is the most images that one call may name.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html (imageIds)
const maxBatch = 100

func checkBatch(ids []store.ImageID) *awsapi.Error {
	if len(ids) < 1 || len(ids) > maxBatch {
		return awsapi.InvalidParameter("imageIds", fmt.Sprintf("Member must have length between 1 and %d", maxBatch))
	}
	return nil
}

type imageMembers struct {
	RegistryID             string        `json:"registryId"`
	RepositoryName         string        `json:"repositoryName"`
	ImageID                store.ImageID `json:"imageId"`
	ImageManifest          string        `json:"imageManifest"`
	ImageManifestMediaType string        `json:"imageManifestMediaType"`
}

// imageMembers returns an image in the form of the API's answers.
func (a *API) imageMembers(repository string, found *store.Manifest, tag string) imageMembers {
	return imageMembers{
		RegistryID: a.account, RepositoryName: repository,
		ImageID:       store.ImageID{ImageDigest: found.Digest.String(), ImageTag: tag},
		ImageManifest: string(found.Body), ImageManifestMediaType: string(found.MediaType),
	}
}

type batchGetImageInput struct {
	inRepository
	ImageIDs           []store.ImageID `json:"imageIds"`
	AcceptedMediaTypes []string        `json:"acceptedMediaTypes"`
}

// batchGetImage returns manifests. A manifest of a media type that is not accepted counts as not found: this server does not convert
// between Docker's and OCI's types, as ECR does.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html
func (a *API) batchGetImage(_ string, in batchGetImageInput) (any, error) {
	found, refusal := a.repository(in.inRepository)
	if refusal == nil {
		refusal = checkBatch(in.ImageIDs)
	}
	if refusal != nil {
		return nil, refusal
	}
	images, failures := []imageMembers{}, []store.ImageFailure{}
	for _, id := range in.ImageIDs {
		image, failure := found.Resolve(id)
		if failure == nil && (!image.Archived.IsZero() || len(in.AcceptedMediaTypes) > 0 &&
			!slices.Contains(in.AcceptedMediaTypes, string(image.MediaType))) {
			failure = &store.ImageFailure{ImageID: id, FailureCode: "ImageNotFound", FailureReason: "Requested image not found"}
		}
		if failure != nil {
			failures = append(failures, *failure)
			continue
		}
		images = append(images, a.imageMembers(in.RepositoryName, image.Manifest, id.ImageTag))
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
func (a *API) putImage(_ string, in putImageInput) (any, error) {
	if _, refusal := a.repository(in.inRepository); refusal != nil {
		return nil, refusal
	}
	if in.ImageManifest == "" || len(in.ImageManifest) > store.MaxManifest {
		return nil, awsapi.InvalidParameter("imageManifest", fmt.Sprintf("Member must have length between 1 and %d", store.MaxManifest))
	}
	pushed, err := store.ParseManifest([]byte(in.ImageManifest), in.ImageManifestMediaType)
	if err != nil {
		return nil, awsapi.InvalidParameter("imageManifest", err.Error())
	}
	if in.ImageDigest != "" && in.ImageDigest != pushed.Digest.String() {
		return nil, awsapi.BadRequest("ImageDigestDoesNotMatchException", "%s", store.DigestMismatchText(in.ImageDigest, in.RepositoryName, a.account))
	}
	var tag release.Tag
	if in.ImageTag != "" {
		if tag, err = release.ParseTag(in.ImageTag); err != nil {
			return nil, awsapi.InvalidParameter("imageTag", err.Error())
		}
	}
	if err := a.store.Put(in.RepositoryName, pushed, tag, store.RepeatedRefused); err != nil {
		return nil, refusalError(err)
	}
	return map[string]any{"image": a.imageMembers(in.RepositoryName, pushed, in.ImageTag)}, nil
}

type batchDeleteImageInput struct {
	inRepository
	ImageIDs []store.ImageID `json:"imageIds"`
}

// batchDeleteImage deletes tags, and images with all their tags. Deleting an image's last tag deletes the image; an image that an
// index refers to stays.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
func (a *API) batchDeleteImage(_ string, in batchDeleteImageInput) (any, error) {
	_, refusal := a.repository(in.inRepository)
	if refusal == nil {
		refusal = checkBatch(in.ImageIDs)
	}
	if refusal != nil {
		return nil, refusal
	}
	deleted, failures, err := a.store.DeleteImages(in.RepositoryName, in.ImageIDs)
	if err != nil {
		return nil, refusalError(err)
	}
	return map[string]any{"imageIds": deleted, "failures": failures}, nil
}
