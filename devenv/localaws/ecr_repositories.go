package localaws

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
)

// invalidParameter words a bad member as ECR does.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html (InvalidParameterException)
func invalidParameter(member, why string) *apiError {
	return badRequest("InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", member, why)
}

func (s *Server) repositoryNotFound(name string) string {
	return fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", name, s.options.Account)
}

// inRepository are the members that name a repository; registryId may only be the server's own account.
type inRepository struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
}

// checkName holds a repository's name to the API's grammar.
func checkName(name string) *apiError {
	switch {
	case len(name) < minName || len(name) > maxName:
		return invalidParameter("repositoryName", fmt.Sprintf("Member must have length between %d and %d", minName, maxName))
	case !namePattern.MatchString(name):
		return invalidParameter("repositoryName", "Member must satisfy regular expression pattern: "+namePattern.String())
	}
	return nil
}

// repository finds the repository a call is about.
func (s *Server) repository(in inRepository) (*repository, *apiError) {
	if refusal := checkName(in.RepositoryName); refusal != nil {
		return nil, refusal
	}
	if in.RegistryID != "" && in.RegistryID != s.options.Account {
		return nil, badRequest("RepositoryNotFoundException",
			"The repository with name '%s' does not exist in the registry with id '%s'", in.RepositoryName, in.RegistryID)
	}
	found, ok := s.store.view(in.RepositoryName)
	if !ok {
		return nil, badRequest("RepositoryNotFoundException", "%s", s.repositoryNotFound(in.RepositoryName))
	}
	return found, nil
}

// getAuthorizationToken issues a token for the registry.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
func (s *Server) getAuthorizationToken(host string, _ struct{}) (any, error) {
	password, expires := s.tokens.issue()
	return map[string]any{"authorizationData": []map[string]any{{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:" + password)),
		"expiresAt":          epoch(expires),
		"proxyEndpoint":      "http://" + host,
	}}}, nil
}

type repositoryMembers struct {
	RepositoryArn  string            `json:"repositoryArn"`
	RegistryID     string            `json:"registryId"`
	RepositoryName string            `json:"repositoryName"`
	RepositoryURI  string            `json:"repositoryUri"`
	CreatedAt      float64           `json:"createdAt"`
	Mutability     Mutability        `json:"imageTagMutability"`
	Filters        []exclusionFilter `json:"imageTagMutabilityExclusionFilters,omitempty"`
}

func (s *Server) describe(host string, r *repository) repositoryMembers {
	return repositoryMembers{
		RepositoryArn: fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", s.options.Region, s.options.Account, r.name),
		RegistryID:    s.options.Account, RepositoryName: r.name, RepositoryURI: host + "/" + r.name,
		CreatedAt: epoch(r.created), Mutability: r.rule.Mutability, Filters: exclusionFilters(r.rule),
	}
}

type createRepositoryInput struct {
	inRepository
	tagRuleMembers
	Encryption *struct {
		Type string `json:"encryptionType"`
	} `json:"encryptionConfiguration"`
}

// createRepository makes a repository. Encryption by KMS is refused: nothing here would encrypt.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
func (s *Server) createRepository(host string, in createRepositoryInput) (any, error) {
	if refusal := checkName(in.RepositoryName); refusal != nil {
		return nil, refusal
	}
	rule, refusal := in.rule()
	switch {
	case refusal != nil:
		return nil, refusal
	case in.Encryption != nil && in.Encryption.Type != "AES256":
		return nil, invalidParameter("encryptionConfiguration.encryptionType", "This server has no KMS; use AES256")
	}
	created, err := s.store.create(in.RepositoryName, rule)
	if err != nil {
		return nil, err
	}
	if !created {
		return nil, badRequest("RepositoryAlreadyExistsException",
			"The repository with name '%s' already exists in the registry with id '%s'", in.RepositoryName, s.options.Account)
	}
	made, refusal := s.repository(in.inRepository)
	if refusal != nil {
		return nil, refusal
	}
	return map[string]any{"repository": s.describe(host, made)}, nil
}

type describeRepositoriesInput struct {
	RegistryID      string   `json:"registryId"`
	RepositoryNames []string `json:"repositoryNames"`
	paging
}

// describeRepositories tells about the repositories asked for, or about all by name.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html
func (s *Server) describeRepositories(host string, in describeRepositoriesInput) (any, error) {
	described := []repositoryMembers{}
	for _, name := range in.RepositoryNames {
		found, refusal := s.repository(inRepository{in.RegistryID, name})
		if refusal != nil {
			return nil, refusal
		}
		described = append(described, s.describe(host, found))
	}
	if len(in.RepositoryNames) > 0 {
		return map[string]any{"repositories": described}, nil
	}
	page, next, refusal := cut(in.paging, s.store.names())
	if refusal != nil {
		return nil, refusal
	}
	for _, name := range page {
		if found, ok := s.store.view(name); ok {
			described = append(described, s.describe(host, found))
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
func (s *Server) deleteRepository(host string, in deleteRepositoryInput) (any, error) {
	found, refusal := s.repository(in.inRepository)
	if refusal != nil {
		return nil, refusal
	}
	deleted, err := s.store.remove(in.RepositoryName, in.Force)
	if err != nil {
		return nil, err
	}
	if !deleted {
		return nil, badRequest("RepositoryNotEmptyException",
			"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images",
			in.RepositoryName, s.options.Account)
	}
	return map[string]any{"repository": s.describe(host, found)}, nil
}

type putImageTagMutabilityInput struct {
	inRepository
	tagRuleMembers
}

// putImageTagMutability sets which tags may move from now on.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html
func (s *Server) putImageTagMutability(_ string, in putImageTagMutabilityInput) (any, error) {
	if _, refusal := s.repository(in.inRepository); refusal != nil {
		return nil, refusal
	}
	if in.Mutability == "" {
		return nil, invalidParameter("imageTagMutability", "Member must not be null")
	}
	rule, refusal := in.rule()
	if refusal != nil {
		return nil, refusal
	}
	if err := s.store.setRule(in.RepositoryName, rule); err != nil {
		return nil, err
	}
	out := map[string]any{
		"registryId": s.options.Account, "repositoryName": in.RepositoryName, "imageTagMutability": rule.Mutability,
	}
	if len(rule.Exclude) > 0 {
		out["imageTagMutabilityExclusionFilters"] = exclusionFilters(rule)
	}
	return out, nil
}

// names lists the repositories, sorted.
func (s *store) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.repositories))
}

// remove deletes a repository; it is false for one that holds images, unless forced.
func (s *store) remove(name string, force bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil || len(found.images) > 0 && !force {
		return false, nil
	}
	if err := s.keep.forget(name); err != nil {
		return false, err
	}
	delete(s.repositories, name)
	return true, nil
}

func (s *store) setRule(name string, rule TagRule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return &putRefusal{kind: noRepository}
	}
	return s.change(found, func(r *repository) error {
		r.rule = rule
		return nil
	})
}
