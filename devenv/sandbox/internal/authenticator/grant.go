package authenticator

import (
	"context"
	"fmt"

	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Deployers is the group of users who may deploy: they have Kubernetes' role "admin" in every namespace, like EKS's
// AmazonEKSAdminPolicy, and may create namespaces.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
const Deployers = "onedigest:deployers"

// Grant gives the group Deployers its roles.
func Grant(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.RbacV1().ClusterRoles().Create(ctx, &rbac.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: Deployers},
		Rules:      []rbac.PolicyRule{{Verbs: []string{"create"}, APIGroups: []string{""}, Resources: []string{"namespaces"}}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("granting %q its role: %w", Deployers, err)
	}
	for binding, role := range map[string]string{Deployers: Deployers, Deployers + ":admin": "admin"} {
		_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbac.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: binding},
			RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbac.Subject{{APIGroup: rbac.GroupName, Kind: rbac.GroupKind, Name: Deployers}},
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("binding %q to role %q: %w", Deployers, role, err)
		}
	}
	return nil
}
