package kube

import (
	"context"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How a namespace says that this pipeline created it. Source: kubernetes.io, "Recommended Labels".
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedByUs    = "onedigest"
)

// NamespaceUse says who made a namespace, and what is in it besides a release.
type NamespaceUse struct {
	UID    string   // "" if the namespace does not exist
	IsOurs bool     // CreateNamespace made it
	Others []string // other releases, of Helm or of this pipeline, sorted
}

// UseOfNamespace reads who made a namespace, and which releases it has besides one. The errors are a *release.Fault.
func (c *Client) UseOfNamespace(ctx context.Context, namespace, name string) (NamespaceUse, error) {
	found, err := c.namespaces().Get(ctx, namespace, meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return NamespaceUse{}, nil
	}
	if err != nil {
		return NamespaceUse{}, c.Fault(ctx, err, "reading namespace %q", namespace)
	}
	use := NamespaceUse{UID: string(found.UID), IsOurs: found.Labels[labelManagedBy] == managedByUs}
	records, err := c.records(namespace).List(ctx, meta.ListOptions{LabelSelector: recordOwner + "=helm"})
	if err != nil {
		return use, c.Fault(ctx, err, "reading the releases in namespace %q", namespace)
	}
	for i := range records.Items {
		use.Others = append(use.Others, records.Items[i].Labels[recordName])
	}
	leases, err := c.metadata.Resource(coordination.SchemeGroupVersion.WithResource("leases")).Namespace(namespace).List(ctx, meta.ListOptions{LabelSelector: labelManagedBy + "=" + managedByUs})
	if err != nil {
		return use, c.Fault(ctx, err, "reading the Leases in namespace %q", namespace)
	}
	for i := range leases.Items {
		use.Others = append(use.Others, strings.TrimPrefix(leases.Items[i].Name, "onedigest-"))
	}
	slices.Sort(use.Others)
	use.Others = slices.DeleteFunc(slices.Compact(use.Others), func(other string) bool { return other == name || other == "" })
	return use, nil
}

// DeleteNamespace deletes a namespace with everything in it, unless it was made again since its UID was read. It does not wait until all is gone; one that does not
// exist is no error.
func (c *Client) DeleteNamespace(ctx context.Context, namespace, uid string) error {
	id := types.UID(uid)
	err := c.namespaces().Delete(ctx, namespace, meta.DeleteOptions{Preconditions: &meta.Preconditions{UID: &id}})
	if err != nil && !apierrors.IsNotFound(err) {
		return c.Fault(ctx, err, "deleting namespace %q", namespace)
	}
	return nil
}

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
	labels := map[string]string{release.LabelEnvironment: environment.String(), labelManagedBy: managedByUs}
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
