package ecr

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/release"
)

// maxDescribed is the most images of one request. Source: Amazon ECR API Reference, DescribeImages, "imageIds".
const maxDescribed = 100

// PushedAt returns when ECR received each of the manifests, by ECR's clock (DescribeImages). A manifest that does not exist is an
// error.
func (c *Client) PushedAt(ctx context.Context, repo release.Repository, digests []release.Digest) (map[release.Digest]time.Time, error) {
	pushed := make(map[release.Digest]time.Time, len(digests))
	for some := range slices.Chunk(digests, maxDescribed) {
		if err := c.describe(ctx, repo, some, pushed); err != nil {
			return nil, fault(err, fmt.Sprintf("asking when records in %q were pushed", repo), "ecr:DescribeImages")
		}
	}
	return pushed, nil
}

// describe adds the push times of at most one request's digests to pushed (DescribeImages).
func (c *Client) describe(ctx context.Context, repo release.Repository, digests []release.Digest, pushed map[release.Digest]time.Time) error {
	api, err := c.api(c.locate(repo.Host()))
	if err != nil {
		return err
	}
	ids := make([]types.ImageIdentifier, 0, len(digests))
	for _, digest := range digests {
		ids = append(ids, types.ImageIdentifier{ImageDigest: aws.String(digest.String())})
	}
	response, err := api.DescribeImages(ctx, &ecr.DescribeImagesInput{RegistryId: accountOf(repo), RepositoryName: aws.String(repo.Path()), ImageIds: ids})
	if err != nil {
		return err
	}
	for _, each := range response.ImageDetails {
		digest, err := release.ParseDigest(aws.ToString(each.ImageDigest))
		if err != nil {
			return err
		}
		pushed[digest] = aws.ToTime(each.ImagePushedAt)
	}
	return nil
}
