package manifest

import "strings"

// The annotation of a resource policy, and the only value that Helm knows. Source: helm.sh/helm/v3/pkg/kube, resource_policy.go.
const (
	resourcePolicy = "helm.sh/resource-policy"
	policyKeep     = "keep"
)

// IsKept reports whether annotations say helm.sh/resource-policy: keep, in any case and with any space around it, as Helm compares it in an uninstall
// (helm.sh/helm/v3/pkg/action/resource_policy.go).
func IsKept(annotations map[string]string) bool {
	return strings.ToLower(strings.TrimSpace(annotations[resourcePolicy])) == policyKeep
}

// UnknownPolicy returns the value of helm.sh/resource-policy if it is another one than keep; false if there is none. Helm's uninstall leaves such an object without a word, and an upgrade of a chart that no longer
// has it deletes it (action/resource_policy.go, filterManifestsToKeep; pkg/kube/client.go, Update).
func UnknownPolicy(annotations map[string]string) (value string, found bool) {
	value, found = annotations[resourcePolicy]
	return value, found && !IsKept(annotations)
}
