package ecr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/ecr/lifecycle"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	maxListed      = 1000 // images of a page. Source: Amazon ECR API Reference, DescribeImages, "maxResults".
	maxListedPages = 20   // a policy over more images is not evaluated
)

// Expiring returns what the lifecycle policy of a repository does, until a time, with an image once it has a tag, and with others that have a tag with the
// prefix, which may be ""; and which of these are archived. The newest are first. Images that pushes of other images will make one of too many are not
// among them.
//
// The policy is evaluated here by the rules of ECR's preview, because ECR's own (StartLifecyclePolicyPreview) needs a permission to write, takes
// minutes and knows today only. Without a policy it takes two requests, with one also a request for each thousand images.
func (c *Client) Expiring(ctx context.Context, image release.Image, tag release.Tag, prefix string, now, until time.Time) ([]release.Expiry, error) {
	text, err := c.lifecyclePolicyOf(ctx, image.Repository)
	if err != nil {
		return nil, fault(err, fmt.Sprintf("reading the lifecycle policy of repository %q", image.Repository), "ecr:GetLifecyclePolicy")
	}
	policy := lifecycle.Policy{}
	if text != "" {
		if policy, err = lifecycle.Parse(text); err != nil {
			return nil, fault(err, fmt.Sprintf("reading the lifecycle policy of repository %q", image.Repository), "")
		}
	}
	images, err := c.list(ctx, image, text == "")
	if err != nil {
		return nil, fault(err, fmt.Sprintf("listing the images of repository %q", image.Repository), "ecr:DescribeImages")
	}
	for i := range images {
		if images[i].Digest == image.Digest.String() && !slices.Contains(images[i].Tags, tag.String()) {
			images[i].Tags = append(images[i].Tags, tag.String())
		}
	}
	effects := policy.Effects(images, now, until)
	var expiries []release.Expiry
	for _, each := range images {
		released := prefix != "" && slices.ContainsFunc(each.Tags, func(tag string) bool { return strings.HasPrefix(tag, prefix) })
		effect, affected := effects[each.Digest]
		digest, err := release.ParseDigest(each.Digest)
		if err != nil || !affected && !each.Archived || digest != image.Digest && !released {
			continue
		}
		expiries = append(expiries, release.Expiry{Image: image.Repository.At(digest), PushedAt: each.Pushed, Archived: each.Archived, Rule: effect.Rule, Archives: effect.Archives, At: effect.At})
	}
	slices.SortStableFunc(expiries, func(a, b release.Expiry) int { return b.PushedAt.Compare(a.PushedAt) })
	return expiries, nil
}

// lifecyclePolicyOf returns a repository's lifecycle policy, "" if it has none.
func (c *Client) lifecyclePolicyOf(ctx context.Context, repo release.Repository) (string, error) {
	api, err := c.api(c.locate(repo.Host()))
	if err != nil {
		return "", err
	}
	policy, err := api.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RegistryId: accountOf(repo), RepositoryName: aws.String(repo.Path())})
	var none *types.LifecyclePolicyNotFoundException
	switch {
	case errors.As(err, &none):
		return "", nil
	case err != nil:
		return "", err
	}
	return aws.ToString(policy.LifecyclePolicyText), nil
}

// list lists the images of a repository, archived ones too, without what is attached to others; if only is set, it lists the one image.
func (c *Client) list(ctx context.Context, image release.Image, only bool) ([]lifecycle.Image, error) {
	api, err := c.api(c.locate(image.Repository.Host()))
	if err != nil {
		return nil, err
	}
	input := &ecr.DescribeImagesInput{RegistryId: accountOf(image.Repository), RepositoryName: aws.String(image.Repository.Path())}
	if only {
		input.ImageIds = []types.ImageIdentifier{{ImageDigest: aws.String(image.Digest.String())}}
	} else {
		input.MaxResults = aws.Int32(maxListed)
		input.Filter = &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny}
	}
	var images []lifecycle.Image
	for range maxListedPages {
		page, err := api.DescribeImages(ctx, input)
		if err != nil {
			return nil, err
		}
		for _, each := range page.ImageDetails {
			if each.SubjectManifestDigest != nil {
				continue // it goes with its subject
			}
			images = append(images, lifecycle.Image{
				Digest: aws.ToString(each.ImageDigest), Tags: each.ImageTags, Pushed: aws.ToTime(each.ImagePushedAt), Pulled: aws.ToTime(each.LastRecordedPullTime),
				Transitioned: aws.ToTime(each.LastArchivedAt), Archived: each.ImageStatus == types.ImageStatusArchived,
			})
		}
		if input.NextToken = page.NextToken; input.NextToken == nil || only {
			return images, nil
		}
	}
	return nil, fmt.Errorf("the repository has more than %d images", maxListed*maxListedPages)
}
