package ecr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/release"
)

// dirtyDays is how long images of uncommitted work are kept in a repository that Create makes.
const dirtyDays = 14

// CreateRepository creates a repository unless it exists, and reports whether it did: with immutable tags, scans of what is pushed, and a
// lifecycle policy that expires images of uncommitted work after 14 days and nothing else. An image that is live may have no other tag than
// its commit's, and evidence has none, so nothing else may expire. A repository that exists is not changed.
func (c *Client) CreateRepository(ctx context.Context, repo release.Repository) (bool, error) {
	api, err := c.api(c.locate(repo.Host()))
	if err != nil {
		return false, fault(err, fmt.Sprintf("creating repository %q", repo), "")
	}
	_, err = api.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RegistryId: accountOf(repo), RepositoryNames: []string{repo.Path()}})
	var absent *types.RepositoryNotFoundException
	switch {
	case err == nil:
		return false, nil
	case !errors.As(err, &absent):
		return false, fault(err, fmt.Sprintf("looking for repository %q", repo), "ecr:DescribeRepositories")
	}
	_, err = api.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RegistryId: accountOf(repo), RepositoryName: aws.String(repo.Path()), ImageTagMutability: types.ImageTagMutabilityImmutable,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
	})
	var exists *types.RepositoryAlreadyExistsException
	switch {
	case errors.As(err, &exists): // by another run, meanwhile
		return false, nil
	case err != nil:
		return false, fault(err, fmt.Sprintf("creating repository %q", repo), "ecr:CreateRepository")
	}
	return true, c.PutLifecyclePolicy(ctx, repo, lifecyclePolicy())
}

// PutLifecyclePolicy sets the lifecycle policy of a repository.
func (c *Client) PutLifecyclePolicy(ctx context.Context, repo release.Repository, policy string) error {
	api, err := c.api(c.locate(repo.Host()))
	if err == nil {
		_, err = api.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RegistryId: accountOf(repo), RepositoryName: aws.String(repo.Path()), LifecyclePolicyText: aws.String(policy)})
	}
	if err != nil {
		return fault(err, fmt.Sprintf("setting the lifecycle policy of repository %q", repo), "ecr:PutLifecyclePolicy")
	}
	return nil
}

// HasLifecyclePolicy reports whether a repository has a lifecycle policy.
func (c *Client) HasLifecyclePolicy(ctx context.Context, repo release.Repository) (bool, error) {
	policy, err := c.lifecyclePolicyOf(ctx, repo)
	if err != nil {
		return false, fault(err, fmt.Sprintf("reading the lifecycle policy of repository %q", repo), "ecr:GetLifecyclePolicy")
	}
	return policy != "", nil
}

// lifecyclePolicy is the policy of a new repository.
// Source: Amazon ECR User Guide, "Lifecycle policy parameters in Amazon ECR".
func lifecyclePolicy() string {
	text, _ := json.Marshal(map[string]any{"rules": []any{map[string]any{ // cannot fail
		"rulePriority": 1, "description": "Uncommitted work",
		"selection": map[string]any{"tagStatus": "tagged", "tagPatternList": []string{"*" + release.DirtyMark + "*"}, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": dirtyDays},
		"action":    map[string]any{"type": "expire"},
	}}})
	return string(text)
}
