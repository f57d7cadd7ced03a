package helm

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// createNamespace makes the namespace with the restricted Pod Security Standard enforced; one that exists is left as it is.
// Source: kubernetes.io, "Pod Security Admission", labels for namespaces.
func (s *session) createNamespace(ctx context.Context, deployment release.Deployment) error {
	client, err := kubernetes.NewForConfig(s.config)
	if err != nil {
		return fault(err, "preparing the requests to %q", s.config.Host)
	}
	_, err = client.CoreV1().Namespaces().Get(ctx, deployment.Namespace, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		// Whoever may not read namespaces may still deploy into this one, if it exists. Whatever else is wrong, the
		// next request tells.
		return nil
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: deployment.Namespace,
		Labels: map[string]string{
			"pod-security.kubernetes.io/enforce": "restricted",
			"pod-security.kubernetes.io/warn":    "restricted",
			release.LabelEnvironment:             deployment.Environment.String(),
		},
	}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return sorted(ctx, err, "creating namespace %q", deployment.Namespace)
	}
	return nil
}
