package localaws

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// putRefusal is why a put is refused; the API and the registry each word them in their own way.
type putRefusal struct {
	kind   refusalKind
	digest release.Digest   // of the manifest
	absent []release.Digest // blobs or children
}

type refusalKind int

const (
	noRepository refusalKind = iota
	blobsAbsent
	childrenAbsent
	tagImmutable
	imageUnchanged // the image is there under that tag, or there and no tag was given
	tooManyTags
)

func (r *putRefusal) Error() string { return refusalNames[r.kind] }

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

// wordRegistryRefusal gives a refused put the registry's code and ECR's words.
func (s *Server) wordRegistryRefusal(err error, repository string, tag release.Tag) *registryError {
	var refusal *putRefusal
	if !errors.As(err, &refusal) {
		return internalError(err)
	}
	text := s.refusalText(refusal, repository, tag)
	switch refusal.kind {
	case noRepository:
		return s.nameUnknown(repository)
	case blobsAbsent, childrenAbsent:
		return &registryError{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", text}
	case tagImmutable:
		return &registryError{http.StatusBadRequest, "TAG_INVALID", text}
	default:
		return &registryError{http.StatusBadRequest, "DENIED", text}
	}
}
