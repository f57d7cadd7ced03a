package kube

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CreateNamespace makes the namespace with the restricted Pod Security Standard enforced; one that exists is left as it is,
// and so is one that we may not read: whatever else is wrong with it, the next request tells.
// Source: kubernetes.io, "Pod Security Admission", labels for namespaces.
func (c *Client) CreateNamespace(ctx context.Context, namespace string, environment release.Environment) error {
	_, err := c.Kube.CoreV1().Namespaces().Get(ctx, namespace, meta.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return nil
	}
	_, err = c.Kube.CoreV1().Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{
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
