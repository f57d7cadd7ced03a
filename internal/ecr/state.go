package ecr

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/ecr/lifecycle"
	"github.com/onedigest/onedigest/internal/release"
)

// Settings returns the settings of a repository that decide how long an image stays what it is. One that does not exist is no error.
func (c *Client) Settings(ctx context.Context, repo release.Repository) (release.RepositorySettings, error) {
	var settings release.RepositorySettings
	api, err := c.api(c.locate(repo.Host()))
	if err != nil {
		return settings, fault(err, fmt.Sprintf("looking for repository %q", repo), "")
	}
	found, err := api.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RegistryId: accountOf(repo), RepositoryNames: []string{repo.Path()}})
	var absent *types.RepositoryNotFoundException
	switch {
	case errors.As(err, &absent):
		return settings, nil
	case err != nil:
		return settings, fault(err, fmt.Sprintf("looking for repository %q", repo), "ecr:DescribeRepositories")
	case len(found.Repositories) != 1:
		return settings, fault(fmt.Errorf("%d repositories are described", len(found.Repositories)), fmt.Sprintf("looking for repository %q", repo), "")
	}
	settings.Exists = true
	settings.Immutable = found.Repositories[0].ImageTagMutability != types.ImageTagMutabilityMutable && found.Repositories[0].ImageTagMutability != types.ImageTagMutabilityMutableWithExclusion
	for _, filter := range found.Repositories[0].ImageTagMutabilityExclusionFilters {
		settings.Except = append(settings.Except, aws.ToString(filter.Filter))
	}
	return settings, nil
}

// ExpiryRule returns the priority of the rule of a repository's lifecycle policy that removes, some day, images of a commit; 0 if none does. has says whether the
// repository has a policy.
func (c *Client) ExpiryRule(ctx context.Context, repo release.Repository, commit release.Tag) (priority int, has bool, err error) {
	doing := fmt.Sprintf("reading the lifecycle policy of repository %q", repo)
	text, err := c.lifecyclePolicyOf(ctx, repo)
	if err != nil {
		return 0, false, fault(err, doing, "ecr:GetLifecyclePolicy")
	}
	if text == "" {
		return 0, false, nil
	}
	policy, err := lifecycle.Parse(text)
	if err != nil {
		return 0, true, fault(err, doing, "")
	}
	priority, _ = policy.Rule(commit.String())
	return priority, true, nil
}
