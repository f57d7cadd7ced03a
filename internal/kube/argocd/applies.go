package argocd

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// trackingID is the annotation of what an Application applies: APPLICATION:GROUP/KIND:NAMESPACE/NAME. Argo CD before 3.0 writes it only if it is told to, and otherwise
// nothing that tells an Application from another tool. Source: argo-cd.readthedocs.io, "Resource Tracking".
const trackingID = "argocd.argoproj.io/tracking-id"

// Release reads which workloads of a release, as the label app.kubernetes.io/instance says it, Argo CD applies. Kinds that this user may not list are named. The error is a *release.Fault.
func Release(ctx context.Context, client *kube.Client, namespace, name string) (found release.ByArgoCD, err error) {
	for _, resource := range []string{"deployments", "statefulsets", "daemonsets"} {
		list, err := client.Dynamic.Resource(apps.SchemeGroupVersion.WithResource(resource)).Namespace(namespace).List(ctx, meta.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + name})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case apierrors.IsForbidden(err):
			found.Unread = append(found.Unread, resource)
			continue
		case err != nil:
			return found, client.Fault(ctx, err, "listing the workloads of release %q in namespace %q", name, namespace)
		}
		for i := range list.Items {
			if err := addWorkload(&found, &list.Items[i]); err != nil {
				return found, client.Fault(ctx, err, "reading the workloads of release %q in namespace %q", name, namespace)
			}
		}
	}
	slices.Sort(found.References)
	found.References = slices.Compact(found.References)
	return found, nil
}

// addWorkload adds a workload that Argo CD applies.
func addWorkload(found *release.ByArgoCD, object *unstructured.Unstructured) error {
	tracked := text.Line(object.GetAnnotations()[trackingID], maxMessage)
	application, _, is := strings.Cut(tracked, ":")
	if !is || application == "" {
		return nil
	}
	var workload struct {
		Spec struct {
			Template core.PodTemplateSpec `json:"template"`
		} `json:"spec"`
		Status struct {
			Conditions []apps.DeploymentCondition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &workload); err != nil {
		return err
	}
	found.Application = strings.Replace(application, "_", "/", 1) // NAMESPACE_NAME outside of Argo CD's own namespace
	found.Workloads = append(found.Workloads, objectOf("apps", "v1", object.GetKind(), object.GetNamespace(), object.GetName()))
	for _, container := range workload.Spec.Template.Spec.Containers {
		found.References = append(found.References, text.Line(container.Image, maxMessage))
	}
	for _, condition := range workload.Status.Conditions {
		// Source: kubernetes.io, "Deployments", Complete Deployment.
		if condition.Type == apps.DeploymentProgressing && condition.Reason == "NewReplicaSetAvailable" && condition.LastUpdateTime.After(found.Since) {
			found.Since = condition.LastUpdateTime.UTC().Truncate(time.Second)
		}
	}
	return nil
}
