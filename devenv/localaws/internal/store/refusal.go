package store

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Refusal says why ECR does not store a manifest or move a tag. The API and the registry report it with codes of their own and
// the same text.
type Refusal struct {
	Kind RefusalKind

	account, repository string
	tag                 release.Tag
	digest              release.Digest   // of the manifest
	missing             []release.Digest // blobs or children
}

// RefusalKind is the kind of a refusal.
type RefusalKind int

// The kinds of a refusal.
const (
	RepositoryNotFound RefusalKind = iota
	LayersNotFound
	ReferencedImagesNotFound
	TagImmutable
	ImageUnchanged // the image exists under that tag, or exists and no tag was given
	TooManyTags
)

// APIName returns the API's name for the refusal.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html, "Errors"
func (k RefusalKind) APIName() string {
	return map[RefusalKind]string{
		RepositoryNotFound:       "RepositoryNotFoundException",
		LayersNotFound:           "LayersNotFoundException",
		ReferencedImagesNotFound: "ReferencedImagesNotFoundException",
		TagImmutable:             "ImageTagAlreadyExistsException",
		ImageUnchanged:           "ImageAlreadyExistsException",
		TooManyTags:              "LimitExceededException",
	}[k]
}

func (s *Store) refuse(kind RefusalKind, repository string) *Refusal {
	return &Refusal{Kind: kind, account: s.account, repository: repository}
}

// Error returns ECR's message.
func (r *Refusal) Error() string {
	switch r.Kind {
	case RepositoryNotFound:
		return RepositoryNotFoundText(r.repository, r.account)
	case LayersNotFound:
		return fmt.Sprintf("Layers with digests '[%s]' required for pushing image into repository with name '%s' in the "+
			"registry with id '%s' do not exist", join(r.missing), r.repository, r.account)
	case ReferencedImagesNotFound:
		return fmt.Sprintf("Images with digests '[%s]' required for pushing image into repository with name '%s' in the "+
			"registry with id '%s' do not exist", join(r.missing), r.repository, r.account)
	case TagImmutable:
		return fmt.Sprintf("The image tag '%s' already exists in the '%s' repository and cannot be overwritten because "+
			"the tag is immutable.", r.tag, r.repository)
	case ImageUnchanged:
		if r.tag == "" {
			return fmt.Sprintf("Image with digest '%s' already exists in the repository with name '%s' in registry with "+
				"id '%s'", r.digest, r.repository, r.account)
		}
		return fmt.Sprintf("Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in "+
			"registry with id '%s'", r.digest, r.tag, r.repository, r.account)
	default:
		return fmt.Sprintf("The image with digest '%s' in the repository with name '%s' has %d tags, the most an image "+
			"can have", r.digest, r.repository, maxTags)
	}
}

// RepositoryNotFoundText is ECR's message for a repository that does not exist.
func RepositoryNotFoundText(name, account string) string {
	return fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", name, account)
}

// DigestMismatchText is ECR's message for a manifest that does not match the digest in the request.
func DigestMismatchText(claimed, repository, account string) string {
	return fmt.Sprintf("The image with digest '%s' in repository '%s' and registry ID '%s' does not match the image digest "+
		"that Amazon ECR has calculated.", claimed, repository, account)
}

func join(digests []release.Digest) string {
	texts := make([]string, len(digests))
	for i, digest := range digests {
		texts[i] = digest.String()
	}
	return strings.Join(texts, ", ")
}
