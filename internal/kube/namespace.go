package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// How a namespace says that this pipeline created it. Source: kubernetes.io, "Recommended Labels".
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedByUs    = "onedigest"
)

// NamespaceUse says who created a namespace, and what is in it besides a release.
type NamespaceUse struct {
	UID    string   // "" if the namespace does not exist
	IsOurs bool     // CreateNamespace created it
	Others []string // other releases, of Helm or of this pipeline, sorted; with the Lease or the kind of record, if they have no record of Helm in a Secret
}

// EnvironmentOf reads the environment of a namespace from its label, which CreateNamespace or the namespace's owner has set. It is "" if there is no such
// label, or the namespace does not exist or may not be read. Other errors are a *release.Fault.
func (c *Client) EnvironmentOf(ctx context.Context, namespace string) (release.Environment, error) {
	found, err := c.namespaces().Get(ctx, namespace, meta.GetOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", c.Fault(ctx, err, "reading namespace %q", namespace)
	}
	environment, err := release.ParseEnvironment(found.Labels[release.LabelEnvironment])
	if err != nil {
		return "", nil //nolint:nilerr // a label that names none says nothing
	}
	return environment, nil
}

// UseOfNamespace reads who created a namespace, and which releases other than the given one are in it. The errors are a *release.Fault.
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
	known := map[string]bool{"": true, name: true}
	other := func(release, by string) {
		if !known[release] {
			known[release] = true
			use.Others = append(use.Others, text.Line(release, maxOther)+by)
		}
	}
	for i := range records.Items {
		other(records.Items[i].Labels[recordName], "")
	}
	records, err = c.metadata.Resource(core.SchemeGroupVersion.WithResource("configmaps")).Namespace(namespace).List(ctx, meta.ListOptions{LabelSelector: recordOwner + "=helm"})
	switch {
	case err == nil:
		for i := range records.Items {
			other(records.Items[i].Labels[recordName], " (recorded in ConfigMaps)")
		}
	case !apierrors.IsForbidden(err):
		return use, c.Fault(ctx, err, "reading the releases in ConfigMaps of namespace %q", namespace)
	}
	leases, err := c.Dynamic.Resource(coordination.SchemeGroupVersion.WithResource("leases")).Namespace(namespace).List(ctx, meta.ListOptions{LabelSelector: labelManagedBy + "=" + managedByUs})
	if err != nil {
		return use, c.Fault(ctx, err, "reading the Leases in namespace %q", namespace)
	}
	for i := range leases.Items {
		lease := new(coordination.Lease)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(leases.Items[i].Object, lease); err != nil {
			return use, fmt.Errorf("reading Lease/%s in namespace %q: %w", leases.Items[i].GetName(), namespace, err)
		}
		if why := leaseInUse(lease, time.Now()); why != "" {
			other(strings.TrimPrefix(lease.Name, leasePrefix), fmt.Sprintf(" (Lease %s %s)", text.Line(lease.Name, maxOther), why))
		}
	}
	slices.Sort(use.Others)
	return use, nil
}

// How a Lease says of which release it is, and that the release is kept at a commit. The pin is written by the package lease, which this one does not use.
const (
	leasePrefix        = "onedigest-"
	annotationPinOfAny = "onedigest.dev/pin-"
	maxOther           = 253              // bytes of a name
	clockSkew          = 10 * time.Minute // by which this machine's clock may differ from a holder's
)

// leaseInUse says why a Lease stands for a release; "" if it does not. A Lease outlives its release: an uninstall leaves it without holder, pin and commit. One that a deploy
// held last names the commit: the release may be one that a GitOps controller applies, of which Helm has no record.
func leaseInUse(lease *coordination.Lease, now time.Time) string {
	for key, value := range lease.Annotations {
		if strings.HasPrefix(key, annotationPinOfAny) && value != "" {
			return "is pinned"
		}
	}
	if lease.Annotations[release.LabelCommit] != "" {
		return "names the commit of a deploy"
	}
	if !isHeld(lease, now) {
		return ""
	}
	return "is held"
}

// isHeld reports whether a run holds a Lease. One whose time is up by more than this machine's clock may be wrong is a killed run's.
func isHeld(lease *coordination.Lease, now time.Time) bool {
	spec := lease.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" {
		return false
	}
	return spec.RenewTime == nil || spec.LeaseDurationSeconds == nil || !spec.RenewTime.Add(leaseDuration(lease)+clockSkew).Before(now)
}

// leaseDuration returns how long a Lease is held after a heartbeat, 0 if it does not say.
func leaseDuration(lease *coordination.Lease) time.Duration {
	if lease.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
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
	labels := security.NamespaceLabels(environment)
	labels[labelManagedBy] = managedByUs
	_, err = c.namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{
		Name: namespace, Labels: labels,
	}}, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return false, c.Fault(ctx, err, "creating namespace %q", namespace)
	}
	return err == nil, nil
}
