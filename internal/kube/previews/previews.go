// Package previews creates, finds and deletes the namespaces of previews. It touches no namespace that it has not created: one without the label, or with another
// name than its label and annotations make, is none of a preview.
package previews

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Namespaces are the namespaces of one cluster. It may be used by several goroutines.
type Namespaces struct {
	client typed.CoreV1Interface
	host   string
	pause  time.Duration // between two questions whether something has happened
}

// New returns the namespaces of the cluster at host, which appears in error messages only.
func New(client typed.CoreV1Interface, host string) *Namespaces {
	return &Namespaces{client: client, host: host, pause: 200 * time.Millisecond}
}

// NewForConfig is New with a client of its own; it sends nothing and does not change the configuration.
func NewForConfig(config *rest.Config) (*Namespaces, error) {
	client, err := typed.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", config.Host, err)
	}
	return New(client, config.Host), nil
}

// Find returns the preview in a namespace; nil if the namespace is none of a preview, which exists then nevertheless.
func (n *Namespaces) Find(ctx context.Context, namespace string) (preview *release.Preview, exists bool, err error) {
	found, err := n.client.Namespaces().Get(ctx, namespace, meta.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, false, nil
	case err != nil:
		return nil, false, apierror.Fault(ctx, n.host, err, "reading namespace %q", namespace)
	}
	return previewOf(found), true, nil
}

// previewOf returns the preview in a namespace, nil if it is none.
func previewOf(namespace *core.Namespace) *release.Preview {
	pull, err := strconv.Atoi(namespace.Labels[release.LabelPreview])
	preview := &release.Preview{Repository: namespace.Annotations[release.AnnotationPreviewOf], PullRequest: pull, Release: namespace.Labels[release.LabelRelease],
		UID: string(namespace.UID), Version: namespace.ResourceVersion, Deleting: namespace.DeletionTimestamp != nil}
	if err != nil || pull < 1 || preview.Repository == "" || preview.Namespace() != namespace.Name {
		return nil
	}
	if expires, err := time.Parse(time.RFC3339, namespace.Annotations[release.AnnotationExpires]); err == nil {
		preview.Expires = expires
	}
	return preview
}

// Create creates the namespace of a preview, which enforces a Pod Security Standard, and returns it with its UID. A namespace of this name is an error.
func (n *Namespaces) Create(ctx context.Context, preview release.Preview, environment release.Environment, security release.PodSecurity) (release.Preview, error) {
	labels := security.NamespaceLabels(environment)
	labels[release.LabelPreview], labels[release.LabelRelease] = strconv.Itoa(preview.PullRequest), preview.Release
	created, err := n.client.Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: preview.Namespace(), Labels: labels,
		Annotations: map[string]string{release.AnnotationPreviewOf: preview.Repository, release.AnnotationExpires: preview.Expires.UTC().Format(time.RFC3339)}}}, meta.CreateOptions{})
	if err != nil {
		return preview, apierror.Fault(ctx, n.host, err, "creating namespace %q", preview.Namespace())
	}
	preview.UID, preview.Version = string(created.UID), created.ResourceVersion
	return preview, nil
}

// Extend writes when a preview expires, and returns the preview as it is then: the cluster may be deleting it. It fails if the namespace is gone, or another one.
func (n *Namespaces) Extend(ctx context.Context, preview release.Preview) (release.Preview, error) {
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, preview.UID, release.AnnotationExpires, preview.Expires.UTC().Format(time.RFC3339))
	patched, err := n.client.Namespaces().Patch(ctx, preview.Namespace(), types.MergePatchType, []byte(patch), meta.PatchOptions{})
	if err != nil {
		return preview, apierror.Fault(ctx, n.host, err, "writing into namespace %q when the preview expires", preview.Namespace())
	}
	preview.Version, preview.Deleting = patched.ResourceVersion, patched.DeletionTimestamp != nil
	return preview, nil
}

// limitName is the name of the objects that limit a preview.
const limitName = "onedigest-preview"

// What a preview may use: enough for a service with its database, and not enough to fill a cluster. A quota of requests refuses pods that name none, so that the
// LimitRange gives them some.
var (
	hard = core.ResourceList{
		core.ResourcePods: resource.MustParse("20"), core.ResourceRequestsCPU: resource.MustParse("2"), core.ResourceRequestsMemory: resource.MustParse("4Gi"),
		core.ResourcePersistentVolumeClaims: resource.MustParse("5"), core.ResourceRequestsStorage: resource.MustParse("20Gi"), core.ResourceServicesLoadBalancers: resource.MustParse("2"),
	}
	requests = core.ResourceList{core.ResourceCPU: resource.MustParse("50m"), core.ResourceMemory: resource.MustParse("64Mi")}
)

// Limit bounds what a preview may use, and returns when the cluster counts it, because it refuses every pod before. What is there already stays as it is.
// Source: kubernetes.io, "Resource Quotas" and "Limit Ranges".
func (n *Namespaces) Limit(ctx context.Context, namespace string) error {
	name := meta.ObjectMeta{Name: limitName, Labels: map[string]string{"app.kubernetes.io/managed-by": "onedigest"}}
	_, err := n.client.LimitRanges(namespace).Create(ctx, &core.LimitRange{ObjectMeta: name,
		Spec: core.LimitRangeSpec{Limits: []core.LimitRangeItem{{Type: core.LimitTypeContainer, DefaultRequest: maps.Clone(requests)}}}}, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return apierror.Fault(ctx, n.host, err, "limiting namespace %q", namespace)
	}
	_, err = n.client.ResourceQuotas(namespace).Create(ctx, &core.ResourceQuota{ObjectMeta: name, Spec: core.ResourceQuotaSpec{Hard: maps.Clone(hard)}}, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return apierror.Fault(ctx, n.host, err, "limiting namespace %q", namespace)
	}
	return n.until(ctx, "waiting until the quota of namespace %q is counted", namespace, func() (bool, error) {
		quota, err := n.client.ResourceQuotas(namespace).Get(ctx, limitName, meta.GetOptions{})
		return err == nil && len(quota.Status.Hard) > 0, err
	})
}

// List returns the previews of a repository on GitHub, those that the cluster is deleting too.
func (n *Namespaces) List(ctx context.Context, repository string) ([]release.Preview, error) {
	found, err := n.client.Namespaces().List(ctx, meta.ListOptions{LabelSelector: release.LabelPreview})
	if err != nil {
		return nil, apierror.Fault(ctx, n.host, err, "listing the namespaces of previews")
	}
	var all []release.Preview
	for i := range found.Items {
		if preview := previewOf(&found.Items[i]); preview != nil && preview.Repository == repository {
			all = append(all, *preview)
		}
	}
	return all, nil
}

// Delete makes the cluster delete the namespace of a preview, and does not wait until it is gone. It fails if the namespace is another one of the same name, or was
// changed after the preview's version. One that is gone is no error.
func (n *Namespaces) Delete(ctx context.Context, preview release.Preview) error {
	namespace, uid := preview.Namespace(), types.UID(preview.UID)
	only := &meta.Preconditions{UID: &uid}
	if preview.Version != "" {
		only.ResourceVersion = &preview.Version
	}
	if err := n.client.Namespaces().Delete(ctx, namespace, meta.DeleteOptions{Preconditions: only}); err != nil && !apierrors.IsNotFound(err) {
		return apierror.Fault(ctx, n.host, err, "deleting namespace %q", namespace)
	}
	return nil
}

// Gone returns when the namespace of a preview is gone, or another one of the same name.
func (n *Namespaces) Gone(ctx context.Context, preview release.Preview) error {
	namespace, uid := preview.Namespace(), types.UID(preview.UID)
	return n.until(ctx, "waiting until namespace %q is gone", namespace, func() (bool, error) {
		found, err := n.client.Namespaces().Get(ctx, namespace, meta.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return err == nil && found.UID != uid, err
	})
}

// until asks until something is so, or the context ends.
func (n *Namespaces) until(ctx context.Context, doing, namespace string, isSo func() (bool, error)) error {
	for {
		done, err := isSo()
		if err != nil {
			return apierror.Fault(ctx, n.host, err, doing, namespace)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return apierror.Fault(ctx, n.host, context.Cause(ctx), doing, namespace)
		case <-time.After(n.pause):
		}
	}
}
