package ecr

import (
	"encoding/base64"
	"fmt"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
)

// inRepository holds the members that name a repository; registryId may only be the server's own account.
type inRepository struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
}

// repository returns the repository of a call.
func (a *API) repository(in inRepository) (*store.Repository, *awsapi.Error) {
	if refusal := store.CheckName(in.RepositoryName); refusal != nil {
		return nil, refusal
	}
	if in.RegistryID != "" && in.RegistryID != a.account {
		return nil, awsapi.BadRequest("RepositoryNotFoundException",
			"The repository with name '%s' does not exist in the registry with id '%s'", in.RepositoryName, in.RegistryID)
	}
	found, ok := a.store.View(in.RepositoryName)
	if !ok {
		return nil, awsapi.BadRequest("RepositoryNotFoundException", "%s", store.RepositoryNotFoundText(in.RepositoryName, a.account))
	}
	return found, nil
}

// getAuthorizationToken issues a token for the registry.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
func (a *API) getAuthorizationToken(host string, _ struct{}) (any, error) {
	password, expires := a.issueToken()
	return map[string]any{"authorizationData": []map[string]any{{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:" + password)),
		"expiresAt":          awsapi.Epoch(expires),
		"proxyEndpoint":      "http://" + host,
	}}}, nil
}

type repositoryMembers struct {
	RepositoryArn  string            `json:"repositoryArn"`
	RegistryID     string            `json:"registryId"`
	RepositoryName string            `json:"repositoryName"`
	RepositoryURI  string            `json:"repositoryUri"`
	CreatedAt      float64           `json:"createdAt"`
	Mutability     store.Mutability  `json:"imageTagMutability"`
	Filters        []exclusionFilter `json:"imageTagMutabilityExclusionFilters,omitempty"`
	Scanning       scanning          `json:"imageScanningConfiguration"`
}

type scanning struct {
	OnPush bool `json:"scanOnPush"`
}

// describe describes a repository in the form of the API's answers.
func (a *API) describe(host string, r *store.Repository) repositoryMembers {
	a.mu.Lock()
	defer a.mu.Unlock()
	return repositoryMembers{
		RepositoryArn: fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", a.region, a.account, r.Name),
		RegistryID:    a.account, RepositoryName: r.Name, RepositoryURI: host + "/" + r.Name,
		CreatedAt: awsapi.Epoch(r.Created), Mutability: r.Rule.Mutability, Filters: exclusionFilters(r.Rule), Scanning: scanning{a.scanned[r.Name]},
	}
}

type createRepositoryInput struct {
	inRepository
	tagRuleMembers
	Scanning   scanning `json:"imageScanningConfiguration"`
	Encryption *struct {
		Type string `json:"encryptionType"`
	} `json:"encryptionConfiguration"`
}

// createRepository makes a repository. Encryption by KMS is refused, because this server encrypts nothing.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
func (a *API) createRepository(host string, in createRepositoryInput) (any, error) {
	if refusal := store.CheckName(in.RepositoryName); refusal != nil {
		return nil, refusal
	}
	rule, refusal := in.rule()
	switch {
	case refusal != nil:
		return nil, refusal
	case in.Encryption != nil && in.Encryption.Type != "AES256":
		return nil, awsapi.InvalidParameter("encryptionConfiguration.encryptionType", "This server has no KMS; use AES256")
	}
	created, err := a.store.Create(in.RepositoryName, rule)
	if err != nil {
		return nil, err
	}
	if !created {
		return nil, awsapi.BadRequest("RepositoryAlreadyExistsException",
			"The repository with name '%s' already exists in the registry with id '%s'", in.RepositoryName, a.account)
	}
	a.mu.Lock()
	a.scanned[in.RepositoryName] = in.Scanning.OnPush
	a.mu.Unlock()
	made, refusal := a.repository(in.inRepository)
	if refusal != nil {
		return nil, refusal
	}
	return map[string]any{"repository": a.describe(host, made)}, nil
}

type describeRepositoriesInput struct {
	RegistryID      string   `json:"registryId"`
	RepositoryNames []string `json:"repositoryNames"`
	paging
}

// describeRepositories describes the repositories in the request, or all of them, sorted by name.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html
func (a *API) describeRepositories(host string, in describeRepositoriesInput) (any, error) {
	described := []repositoryMembers{}
	for _, name := range in.RepositoryNames {
		found, refusal := a.repository(inRepository{in.RegistryID, name})
		if refusal != nil {
			return nil, refusal
		}
		described = append(described, a.describe(host, found))
	}
	if len(in.RepositoryNames) > 0 {
		return map[string]any{"repositories": described}, nil
	}
	page, next, refusal := takePage(in.paging, a.store.Names())
	if refusal != nil {
		return nil, refusal
	}
	for _, name := range page {
		if found, ok := a.store.View(name); ok {
			described = append(described, a.describe(host, found))
		}
	}
	return withNext(map[string]any{"repositories": described}, next), nil
}

type deleteRepositoryInput struct {
	inRepository
	Force bool `json:"force"`
}

// deleteRepository deletes a repository: an empty one, or any with force.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeleteRepository.html
func (a *API) deleteRepository(host string, in deleteRepositoryInput) (any, error) {
	found, refusal := a.repository(in.inRepository)
	if refusal != nil {
		return nil, refusal
	}
	deleted, err := a.store.Remove(in.RepositoryName, in.Force)
	if err != nil {
		return nil, err
	}
	if !deleted {
		return nil, awsapi.BadRequest("RepositoryNotEmptyException",
			"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images",
			in.RepositoryName, a.account)
	}
	return map[string]any{"repository": a.describe(host, found)}, nil
}

type putImageTagMutabilityInput struct {
	inRepository
	tagRuleMembers
}

// putImageTagMutability sets which tags may move from now on.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html
func (a *API) putImageTagMutability(_ string, in putImageTagMutabilityInput) (any, error) {
	if _, refusal := a.repository(in.inRepository); refusal != nil {
		return nil, refusal
	}
	if in.Mutability == "" {
		return nil, awsapi.InvalidParameter("imageTagMutability", "Member must not be null")
	}
	rule, refusal := in.rule()
	if refusal != nil {
		return nil, refusal
	}
	if err := a.store.SetRule(in.RepositoryName, rule); err != nil {
		return nil, err
	}
	out := map[string]any{
		"registryId": a.account, "repositoryName": in.RepositoryName, "imageTagMutability": rule.Mutability,
	}
	if len(rule.Exclude) > 0 {
		out["imageTagMutabilityExclusionFilters"] = exclusionFilters(rule)
	}
	return out, nil
}

type exclusionFilter struct {
	FilterType string `json:"filterType"`
	Filter     string `json:"filter"`
}

type tagRuleMembers struct {
	Mutability store.Mutability  `json:"imageTagMutability"`
	Filters    []exclusionFilter `json:"imageTagMutabilityExclusionFilters"`
}

// rule converts the members of a call to a store.TagRule.
func (m tagRuleMembers) rule() (store.TagRule, *awsapi.Error) {
	rule := store.TagRule{Mutability: m.Mutability}
	for _, filter := range m.Filters {
		if filter.FilterType != "WILDCARD" {
			return rule, awsapi.InvalidParameter("imageTagMutabilityExclusionFilters.member.filterType",
				"Member must satisfy enum value set: [WILDCARD]")
		}
		rule.Exclude = append(rule.Exclude, filter.Filter)
	}
	return rule.Check()
}

func exclusionFilters(rule store.TagRule) []exclusionFilter {
	var filters []exclusionFilter
	for _, filter := range rule.Exclude {
		filters = append(filters, exclusionFilter{FilterType: "WILDCARD", Filter: filter})
	}
	return filters
}
