package ecr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/release"
)

// maxManifest is the largest manifest that is taken, in bytes; ECR's own quota.
const maxManifest = 4 << 20

// acceptedMediaTypes must be named, or ECR answers with a form of its choice, which has another digest.
var acceptedMediaTypes = []string{
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}

// Inspect says in one request (BatchGetImage) whether the image is in its repository, with its bytes, and what the tag
// names.
func (c *Client) Inspect(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	looked, err := c.look(ctx, repo, digest, tag)
	if err != nil {
		return release.TagState{}, fault(err, fmt.Sprintf("reading %q and tag %q", repo.At(digest), tag), "ecr:BatchGetImage")
	}
	return looked, nil
}

func (c *Client) look(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	answer, err := c.batch(ctx, repo,
		types.ImageIdentifier{ImageDigest: aws.String(digest.String())},
		types.ImageIdentifier{ImageTag: aws.String(tag.String())})
	if err != nil {
		return release.TagState{}, err
	}
	if err := failed(answer.Failures); err != nil {
		return release.TagState{}, err
	}
	holds, named, err := heldBy(answer.Images, tag)
	if err != nil {
		return release.TagState{}, err
	}
	looked := release.TagState{TagDigest: holds}
	if image, found := ofDigest(answer.Images, digest); found {
		if looked, err = read(image, digest, holds); err != nil {
			return release.TagState{}, err
		}
	}
	if !named && !missing(answer.Failures, tag) {
		// Asked for one image by two names, ECR may answer once and leave the tag out.
		looked.TagDigest, err = c.holder(ctx, repo, tag)
	}
	return looked, err
}

// holder is what a tag names, zero if nothing.
func (c *Client) holder(ctx context.Context, repo release.Repository, tag release.Tag) (release.Digest, error) {
	answer, err := c.batch(ctx, repo, types.ImageIdentifier{ImageTag: aws.String(tag.String())})
	if err != nil {
		return release.Digest{}, err
	}
	if err := failed(answer.Failures); err != nil || len(answer.Images) == 0 {
		return release.Digest{}, err
	}
	return digestOf(answer.Images[0])
}

func (c *Client) batch(ctx context.Context, repo release.Repository, ids ...types.ImageIdentifier) (*ecr.BatchGetImageOutput, error) {
	api, err := c.api(c.at(repo.Host()))
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

// failed is a failure that is not simply an image or a tag that does not exist.
func failed(failures []types.ImageFailure) error {
	for _, each := range failures {
		if each.FailureCode != types.ImageFailureCodeImageNotFound {
			return fmt.Errorf("%s: %s", safe(string(each.FailureCode)), safe(aws.ToString(each.FailureReason)))
		}
	}
	return nil
}

func missing(failures []types.ImageFailure, tag release.Tag) bool {
	for _, each := range failures {
		if each.ImageId != nil && aws.ToString(each.ImageId.ImageTag) == tag.String() {
			return true
		}
	}
	return false
}

func heldBy(images []types.Image, tag release.Tag) (digest release.Digest, named bool, err error) {
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
		return release.Digest{}, errors.New("the answer names no digest")
	}
	return release.ParseDigest(aws.ToString(image.ImageId.ImageDigest))
}

func ofDigest(images []types.Image, digest release.Digest) (types.Image, bool) {
	for _, each := range images {
		if each.ImageId != nil && aws.ToString(each.ImageId.ImageDigest) == digest.String() {
			return each, true
		}
	}
	return types.Image{}, false
}

func read(image types.Image, digest, holds release.Digest) (release.TagState, error) {
	text := []byte(aws.ToString(image.ImageManifest))
	if len(text) > maxManifest {
		return release.TagState{}, fmt.Errorf("the manifest is %d bytes long, limit %d", len(text), maxManifest)
	}
	if got := hash(text); got != digest {
		return release.TagState{}, &mismatchError{wanted: digest, got: got}
	}
	var named struct {
		MediaType   string            `json:"mediaType"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(text, &named); err != nil {
		return release.TagState{}, fmt.Errorf("reading the manifest: %w", err)
	}
	return release.TagState{
		Found: true, Manifest: text, MediaType: first(named.MediaType, aws.ToString(image.ImageManifestMediaType)),
		Revision: named.Annotations[release.AnnotationRevision], TagDigest: holds,
	}, nil
}

func hash(text []byte) release.Digest {
	sum := sha256.Sum256(text)
	digest, _ := release.ParseDigest("sha256:" + hex.EncodeToString(sum[:]))
	return digest
}

// PutTag names the image by the tag, in one request (PutImage) that carries the manifest's bytes as they are. Where the
// repository's tags are immutable and the tag names another image, that is a *release.TagTakenError; where they are
// not, the tag moves. An answer that was lost is asked for again by the SDK, and then ECR says that the image is there.
func (c *Client) PutTag(ctx context.Context, repo release.Repository, manifest []byte, mediaType string, digest release.Digest, tag release.Tag) error {
	err := c.putTag(ctx, repo, manifest, mediaType, digest, tag)
	var taken *release.TagTakenError
	if err == nil || errors.As(err, &taken) {
		return err
	}
	return fault(err, fmt.Sprintf("tagging %s in %q as %q", digest.Short(), repo, tag), "ecr:PutImage")
}

func (c *Client) putTag(ctx context.Context, repo release.Repository, manifest []byte, mediaType string, digest release.Digest, tag release.Tag) error {
	if got := hash(manifest); got != digest {
		return &mismatchError{wanted: digest, got: got}
	}
	api, err := c.api(c.at(repo.Host()))
	if err != nil {
		return err
	}
	answer, err := api.PutImage(ctx, &ecr.PutImageInput{
		RegistryId:             accountOf(repo),
		RepositoryName:         aws.String(repo.Path()),
		ImageManifest:          aws.String(string(manifest)),
		ImageManifestMediaType: aws.String(mediaType),
		ImageDigest:            aws.String(digest.String()),
		ImageTag:               aws.String(tag.String()),
	})
	var (
		same  *types.ImageAlreadyExistsException
		taken *types.ImageTagAlreadyExistsException
	)
	switch {
	case errors.As(err, &same):
		return nil
	case errors.As(err, &taken):
		return c.settle(ctx, repo, digest, tag, err)
	case err != nil:
		return err
	}
	if answer.Image != nil {
		if got, err := digestOf(*answer.Image); err != nil || got != digest {
			return &mismatchError{wanted: digest, got: got}
		}
	}
	return nil
}

// settle decides what an existing tag means: immutable repositories refuse a tag even for the digest that it names.
// Source: Amazon ECR User Guide, "Preventing image tags from being overwritten".
func (c *Client) settle(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag, cause error) error {
	holds, err := c.holder(ctx, repo, tag)
	switch {
	case err != nil:
		return errors.Join(cause, err)
	case holds == digest:
		return nil
	case holds.IsZero():
		return cause
	}
	return &release.TagTakenError{Tag: tag, Holds: holds, Wanted: digest}
}
