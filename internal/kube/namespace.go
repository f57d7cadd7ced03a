package kube

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CreateNamespace creates a namespace that enforces a Pod Security Standard and warns of pods that the restricted one would refuse. It does not
// change an existing namespace. It reports whether it created one.
// If the namespace cannot be read, it neither creates it nor returns an error: if the namespace is missing, the next request in
// it fails.
// Source: kubernetes.io, "Pod Security Admission", labels for namespaces.
func (c *Client) CreateNamespace(ctx context.Context, namespace string, environment release.Environment, security release.PodSecurity) (bool, error) {
	_, err := c.namespaces().Get(ctx, namespace, meta.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return false, nil
	}
	labels := map[string]string{release.LabelEnvironment: environment.String()}
	if security != release.PodSecurityNone {
		labels["pod-security.kubernetes.io/enforce"] = string(security)
		labels["pod-security.kubernetes.io/warn"] = string(release.PodSecurityRestricted)
	}
	_, err = c.namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{
		Name: namespace, Labels: labels,
	}}, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return false, c.Fault(ctx, err, "creating namespace %q", namespace)
	}
	return err == nil, nil
}
