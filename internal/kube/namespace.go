package kube

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CreateNamespace creates a namespace, enforcing the restricted Pod Security Standard. It does not change an existing namespace.
// If the namespace cannot be read, it neither creates it nor returns an error: if the namespace is missing, the next request in
// it fails.
// Source: kubernetes.io, "Pod Security Admission", labels for namespaces.
func (c *Client) CreateNamespace(ctx context.Context, namespace string, environment release.Environment) error {
	_, err := c.namespaces().Get(ctx, namespace, meta.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return nil
	}
	_, err = c.namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{
		Name: namespace,
		Labels: map[string]string{
			"pod-security.kubernetes.io/enforce": "restricted",
			"pod-security.kubernetes.io/warn":    "restricted",
			release.LabelEnvironment:             environment.String(),
		},
	}}, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return c.Fault(ctx, err, "creating namespace %q", namespace)
	}
	return nil
}
