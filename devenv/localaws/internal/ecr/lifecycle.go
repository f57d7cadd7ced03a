package ecr

import (
	"encoding/json"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
)

type putLifecyclePolicyInput struct {
	inRepository
	Text string `json:"lifecyclePolicyText"`
}

// putLifecyclePolicy keeps a repository's policy; nothing ever expires here. Only the form of the policy is checked, and a server forgets
// its policies when it ends.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutLifecyclePolicy.html
func (a *API) putLifecyclePolicy(_ string, in putLifecyclePolicyInput) (any, error) {
	if _, refusal := a.repository(in.inRepository); refusal != nil {
		return nil, refusal
	}
	var policy struct {
		Rules []struct {
			Priority  int            `json:"rulePriority"`
			Selection map[string]any `json:"selection"`
			Action    struct {
				Type string `json:"type"`
			} `json:"action"`
		} `json:"rules"`
	}
	err := json.Unmarshal([]byte(in.Text), &policy)
	valid := err == nil && len(policy.Rules) > 0 && len(in.Text) >= 100 && len(in.Text) <= 30720
	for _, rule := range policy.Rules {
		valid = valid && rule.Priority > 0 && len(rule.Selection) > 0 && rule.Action.Type == "expire"
	}
	if !valid {
		return nil, awsapi.InvalidParameter("LifecyclePolicyText", "Lifecycle policy validation failure")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.policies[in.RepositoryName] = in.Text
	return a.lifecycleAnswer(in.RepositoryName), nil
}

// getLifecyclePolicy returns a repository's policy.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetLifecyclePolicy.html
func (a *API) getLifecyclePolicy(_ string, in inRepository) (any, error) {
	if _, refusal := a.repository(in); refusal != nil {
		return nil, refusal
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.policies[in.RepositoryName] == "" {
		return nil, awsapi.BadRequest("LifecyclePolicyNotFoundException",
			"Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", in.RepositoryName, a.account)
	}
	return a.lifecycleAnswer(in.RepositoryName), nil
}

// lifecycleAnswer is the answer of both calls. The caller holds the lock.
func (a *API) lifecycleAnswer(name string) map[string]any {
	return map[string]any{"registryId": a.account, "repositoryName": name, "lifecyclePolicyText": a.policies[name]}
}
