package ecr

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/release"
)

// PutTag tags an image of the repository in one request (PutImage) with the manifest's unchanged bytes. If the tag points to
// another image, a mutable repository moves it, and an immutable repository returns a *release.TagTakenError. The SDK repeats a
// request whose response was lost; ECR then answers that the image exists, which counts as success.
func (c *Client) PutTag(ctx context.Context, repo release.Repository, manifest []byte, mediaType string, digest release.Digest, tag release.Tag) error {
	err := c.putTag(ctx, repo, manifest, mediaType, digest, tag)
	var taken *release.TagTakenError
	if err == nil || errors.As(err, &taken) {
		return err
	}
	return fault(err, fmt.Sprintf("tagging %s in %q as %q", digest.Short(), repo, tag), "ecr:PutImage")
}

// putTag sends the request of PutTag and handles the errors that mean that the tag or the image exists.
func (c *Client) putTag(ctx context.Context, repo release.Repository, manifest []byte, mediaType string, digest release.Digest, tag release.Tag) error {
	if got := release.DigestOf(manifest); got != digest {
		return &mismatchError{wanted: digest, got: got}
	}
	api, err := c.api(c.locate(repo.Host()))
	if err != nil {
		return err
	}
	input := &ecr.PutImageInput{
		RegistryId:             accountOf(repo),
		RepositoryName:         aws.String(repo.Path()),
		ImageManifest:          aws.String(string(manifest)),
		ImageManifestMediaType: aws.String(mediaType),
		ImageDigest:            aws.String(digest.String()),
		ImageTag:               aws.String(tag.String()),
	}
	var response *ecr.PutImageOutput
	err = c.paced(ctx, c.locate(repo.Host()), func(ctx context.Context) (err error) {
		response, err = api.PutImage(ctx, input, func(o *ecr.Options) { o.Retryer = notThrottled{o.Retryer} })
		return err
	})
	var (
		exists *types.ImageAlreadyExistsException
		taken  *types.ImageTagAlreadyExistsException
	)
	switch {
	case errors.As(err, &exists):
		return nil
	case errors.As(err, &taken):
		return c.checkExistingTag(ctx, repo, digest, tag, err)
	case err != nil:
		return err
	}
	if response.Image != nil {
		if got, err := digestOf(*response.Image); err != nil || got != digest {
			return &mismatchError{wanted: digest, got: got}
		}
	}
	return nil
}

// checkExistingTag finds out which image the existing tag points to: an immutable repository also refuses a tag that already
// points to this digest.
// Source: Amazon ECR User Guide, "Preventing image tags from being overwritten".
func (c *Client) checkExistingTag(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag, cause error) error {
	holds, err := c.tagDigest(ctx, repo, tag)
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
