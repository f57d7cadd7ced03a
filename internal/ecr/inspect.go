package ecr

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// maxManifest is the largest manifest that is accepted, in bytes; ECR's own quota.
const maxManifest = 4 << 20

// maxMessage is the longest text of a failure, in bytes.
const maxMessage = 400

// acceptedMediaTypes are sent with each request. Without them ECR may convert a manifest, which changes its digest.
var acceptedMediaTypes = []string{
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}

// Inspect reads an image's manifest, and the digest that a tag points to, in one request (BatchGetImage). It is no error if the
// image or the tag does not exist.
func (c *Client) Inspect(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	state, err := c.inspect(ctx, repo, digest, tag)
	if err != nil {
		return release.TagState{}, fault(err, fmt.Sprintf("reading %q and tag %q", repo.At(digest), tag), "ecr:BatchGetImage")
	}
	return state, nil
}

// inspect sends the request of Inspect and reads its response.
func (c *Client) inspect(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	response, err := c.batchGetImage(ctx, repo,
		types.ImageIdentifier{ImageDigest: aws.String(digest.String())},
		types.ImageIdentifier{ImageTag: aws.String(tag.String())})
	if err != nil {
		return release.TagState{}, err
	}
	if err := failureOf(response.Failures); err != nil {
		return release.TagState{}, err
	}
	tagged, found, err := findTag(response.Images, tag)
	if err != nil {
		return release.TagState{}, err
	}
	state := release.TagState{TagDigest: tagged}
	if image, found := findDigest(response.Images, digest); found {
		if state, err = tagState(image, digest, tagged); err != nil {
			return release.TagState{}, err
		}
	}
	if !found && !isMissing(response.Failures, tag) {
		// If the digest and the tag are of the same image, ECR may return it once, without the tag.
		state.TagDigest, err = c.tagDigest(ctx, repo, tag)
	}
	return state, err
}

// tagDigest returns the digest that a tag points to, or zero if the tag does not exist.
func (c *Client) tagDigest(ctx context.Context, repo release.Repository, tag release.Tag) (release.Digest, error) {
	response, err := c.batchGetImage(ctx, repo, types.ImageIdentifier{ImageTag: aws.String(tag.String())})
	if err != nil {
		return release.Digest{}, err
	}
	if err := failureOf(response.Failures); err != nil || len(response.Images) == 0 {
		return release.Digest{}, err
	}
	return digestOf(response.Images[0])
}

func (c *Client) batchGetImage(ctx context.Context, repo release.Repository, ids ...types.ImageIdentifier) (*ecr.BatchGetImageOutput, error) {
	api, err := c.api(c.locate(repo.Host()))
	if err != nil {
		return nil, err
	}
	return api.BatchGetImage(ctx, &ecr.BatchGetImageInput{
		RegistryId:         accountOf(repo),
		RepositoryName:     aws.String(repo.Path()),
		ImageIds:           ids,
		AcceptedMediaTypes: acceptedMediaTypes,
	})
}

// failureOf returns the first failure that is not "image or tag not found".
func failureOf(failures []types.ImageFailure) error {
	for _, each := range failures {
		if each.FailureCode != types.ImageFailureCodeImageNotFound {
			return errors.New(text.Line(string(each.FailureCode)+": "+aws.ToString(each.FailureReason), maxMessage))
		}
	}
	return nil
}

// isMissing reports whether ECR answered that the tag does not exist.
func isMissing(failures []types.ImageFailure, tag release.Tag) bool {
	for _, each := range failures {
		if each.ImageId != nil && aws.ToString(each.ImageId.ImageTag) == tag.String() {
			return true
		}
	}
	return false
}

// findTag returns the digest that a tag points to in a response; false if the response does not contain the tag.
func findTag(images []types.Image, tag release.Tag) (digest release.Digest, found bool, err error) {
	for _, each := range images {
		if each.ImageId != nil && aws.ToString(each.ImageId.ImageTag) == tag.String() {
			digest, err = digestOf(each)
			return digest, true, err
		}
	}
	return release.Digest{}, false, nil
}

func digestOf(image types.Image) (release.Digest, error) {
	if image.ImageId == nil {
		return release.Digest{}, errors.New("the response names no digest")
	}
	return release.ParseDigest(aws.ToString(image.ImageId.ImageDigest))
}

// findDigest returns the image with the digest in a response.
func findDigest(images []types.Image, digest release.Digest) (types.Image, bool) {
	for _, each := range images {
		if each.ImageId != nil && aws.ToString(each.ImageId.ImageDigest) == digest.String() {
			return each, true
		}
	}
	return types.Image{}, false
}

// tagState parses the requested image's manifest. It refuses bytes that do not have the image's digest.
func tagState(image types.Image, digest, tagged release.Digest) (release.TagState, error) {
	manifest := []byte(aws.ToString(image.ImageManifest))
	if len(manifest) > maxManifest {
		return release.TagState{}, fmt.Errorf("the manifest is %d bytes long, limit %d", len(manifest), maxManifest)
	}
	if got := release.DigestOf(manifest); got != digest {
		return release.TagState{}, &mismatchError{wanted: digest, got: got}
	}
	var parsed struct {
		MediaType   string            `json:"mediaType"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(manifest, &parsed); err != nil {
		return release.TagState{}, fmt.Errorf("reading the manifest: %w", err)
	}
	return release.TagState{
		Found: true, Manifest: manifest, MediaType: cmp.Or(parsed.MediaType, aws.ToString(image.ImageManifestMediaType)),
		Revision: parsed.Annotations[release.AnnotationRevision], TagDigest: tagged,
	}, nil
}
