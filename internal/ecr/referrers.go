package ecr

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
)

// MaxManifests is the most manifests of one request. Source: Amazon ECR API Reference, BatchGetImage, "imageIds".
const MaxManifests = 100

// maxReferrers is the most referrers of a page. Source: Amazon ECR API Reference, ListImageReferrers, "maxResults".
const maxReferrers = 50

// Referrers lists the manifests that are attached to an image and have one of the artifact types, page by page, with those that are archived
// (ListImageReferrers). An error is the last, and a *release.Fault.
func (c *Client) Referrers(ctx context.Context, image release.Image, artifactTypes []string) iter.Seq2[[]release.Descriptor, error] {
	return func(yield func([]release.Descriptor, error) bool) {
		api, err := c.api(c.locate(image.Repository.Host()))
		input := &ecr.ListImageReferrersInput{
			RegistryId:     accountOf(image.Repository),
			RepositoryName: aws.String(image.Repository.Path()),
			SubjectId:      &types.SubjectIdentifier{ImageDigest: aws.String(image.Digest.String())},
			Filter:         &types.ListImageReferrersFilter{ArtifactStatus: types.ArtifactStatusFilterAny, ArtifactTypes: artifactTypes},
			MaxResults:     aws.Int32(maxReferrers),
		}
		for more := true; more; {
			var page *ecr.ListImageReferrersOutput
			if err == nil {
				page, err = api.ListImageReferrers(ctx, input)
			}
			if err != nil {
				yield(nil, fault(err, fmt.Sprintf("listing what is attached to %q", image), "ecr:BatchGetImage"))
				return
			}
			if !yield(referrersOf(page.Referrers), nil) {
				return
			}
			input.NextToken, more = page.NextToken, aws.ToString(page.NextToken) != ""
		}
	}
}

func referrersOf(page []types.ImageReferrer) []release.Descriptor {
	listed := make([]release.Descriptor, 0, len(page))
	for _, each := range page {
		listed = append(listed, release.Descriptor{Digest: aws.ToString(each.Digest), MediaType: aws.ToString(each.MediaType), ArtifactType: aws.ToString(each.ArtifactType),
			Size: aws.ToInt64(each.Size), Annotations: each.Annotations})
	}
	return listed
}

// CannotList reports whether an error of Referrers means that ECR does not list referrers by its own API here: an endpoint that does not know the
// operation or its parameters, or a role that may not call it.
func CannotList(err error) bool {
	switch awsx.Code(err) {
	case "UnknownOperationException", "InvalidAction", "ValidationException", "InvalidParameterException", "ImageNotFoundException":
		return true
	}
	return awsx.IsDenied(err)
}

// LacksImage reports whether an error of Referrers means that the repository does not have the image.
func LacksImage(err error) bool { return awsx.Code(err) == "ImageNotFoundException" }

// Manifests reads at most MaxManifests manifests of a repository in one request (BatchGetImage). Those that it does not have, or has
// archived, are left out. Their bytes are not checked.
func (c *Client) Manifests(ctx context.Context, repo release.Repository, digests []release.Digest) (map[release.Digest][]byte, error) {
	ids := make([]types.ImageIdentifier, 0, len(digests))
	for _, digest := range digests {
		ids = append(ids, types.ImageIdentifier{ImageDigest: aws.String(digest.String())})
	}
	response, err := c.batchGetImage(ctx, repo, ids...)
	if err == nil {
		err = failureOf(slices.DeleteFunc(response.Failures, func(each types.ImageFailure) bool { return each.FailureCode == types.ImageFailureCodeImageInaccessible })) // archived
	}
	if err != nil {
		return nil, fault(err, fmt.Sprintf("reading %d manifests of %q", len(digests), repo), "ecr:BatchGetImage")
	}
	manifests := make(map[release.Digest][]byte, len(response.Images))
	for _, each := range response.Images {
		if digest, err := digestOf(each); err == nil {
			manifests[digest] = []byte(aws.ToString(each.ImageManifest))
		}
	}
	return manifests, nil
}

// Delete deletes manifests of a repository by their digests (BatchDeleteImage), with all tags that they have. Those that the repository does not have are
// left out. The error is a *release.Fault; what was deleted before it stays deleted.
func (c *Client) Delete(ctx context.Context, repo release.Repository, digests []release.Digest) error {
	for some := range slices.Chunk(digests, MaxManifests) {
		if err := c.delete(ctx, repo, some); err != nil {
			return fault(err, fmt.Sprintf("deleting %d manifests of %q", len(some), repo), "ecr:BatchDeleteImage")
		}
	}
	return nil
}

// delete deletes at most MaxManifests manifests in one request.
func (c *Client) delete(ctx context.Context, repo release.Repository, digests []release.Digest) error {
	api, err := c.api(c.locate(repo.Host()))
	if err != nil {
		return err
	}
	ids := make([]types.ImageIdentifier, 0, len(digests))
	for _, digest := range digests {
		ids = append(ids, types.ImageIdentifier{ImageDigest: aws.String(digest.String())})
	}
	response, err := api.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RegistryId: accountOf(repo), RepositoryName: aws.String(repo.Path()), ImageIds: ids})
	if err != nil {
		return err
	}
	return failureOf(response.Failures)
}
