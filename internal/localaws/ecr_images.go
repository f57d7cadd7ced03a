package localaws

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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

// refusalNames are the API's names for a refused put.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html, "Errors"
var refusalNames = map[refusalKind]string{
	noRepository:   "RepositoryNotFoundException",
	blobsAbsent:    "LayersNotFoundException",
	childrenAbsent: "ReferencedImagesNotFoundException",
	tagImmutable:   "ImageTagAlreadyExistsException",
	imageUnchanged: "ImageAlreadyExistsException",
	tooManyTags:    "LimitExceededException",
}

func (s *Server) wordAPIRefusal(err error, repository string, tag release.Tag) error {
	var refusal *putRefusal
	if !errors.As(err, &refusal) {
		return err
	}
	return badRequest(refusalNames[refusal.kind], "%s", s.refusalText(refusal, repository, tag))
}

// refusalText words a refused put; the API and the registry both say it so.
func (s *Server) refusalText(refusal *putRefusal, repository string, tag release.Tag) string {
	account := s.options.Account
	switch refusal.kind {
	case noRepository:
		return s.repositoryNotFound(repository)
	case blobsAbsent:
		return fmt.Sprintf("Layers with digests '[%s]' required for pushing image into repository with name '%s' in the "+
			"registry with id '%s' do not exist", join(refusal.absent), repository, account)
	case childrenAbsent:
		return fmt.Sprintf("Images with digests '[%s]' required for pushing image into repository with name '%s' in the "+
			"registry with id '%s' do not exist", join(refusal.absent), repository, account)
	case tagImmutable:
		return fmt.Sprintf("The image tag '%s' already exists in the '%s' repository and cannot be overwritten because "+
			"the tag is immutable.", tag, repository)
	case imageUnchanged:
		if tag == "" {
			return fmt.Sprintf("Image with digest '%s' already exists in the repository with name '%s' in registry with "+
				"id '%s'", refusal.digest, repository, account)
		}
		return fmt.Sprintf("Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in "+
			"registry with id '%s'", refusal.digest, tag, repository, account)
	default:
		return fmt.Sprintf("The image with digest '%s' in the repository with name '%s' has %d tags, the most an image "+
			"can have", refusal.digest, repository, maxTags)
	}
}

func join(digests []release.Digest) string {
	texts := make([]string, len(digests))
	for i, digest := range digests {
		texts[i] = digest.String()
	}
	return strings.Join(texts, ", ")
}

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

// DeleteImage deletes the image that a tag or digest names, with all its tags, without a request: what a lifecycle
// policy does behind a pipeline's back.
func (s *Server) DeleteImage(repository, reference string) error {
	id := imageID{ImageTag: reference}
	if strings.Contains(reference, ":") {
		id = imageID{ImageDigest: reference}
	} else if found, ok := s.store.view(repository); ok {
		id = imageID{ImageDigest: found.tags[release.Tag(reference)].String()}
	}
	_, failures, err := s.store.delete(repository, []imageID{id})
	if err == nil && len(failures) > 0 {
		err = fmt.Errorf("deleting %q of %q: %s", reference, repository, failures[0].FailureReason)
	}
	return err
}
