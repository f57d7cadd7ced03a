package helm

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	helmchart "helm.sh/helm/v3/pkg/chart"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
)

// establishTimeout is how long the apiserver may take to serve a new kind.
const establishTimeout = time.Minute

// installCRDs creates the objects of a chart's crds directory, and returns when their kinds are served. As with Helm, existing
// ones are left as they are.
func (s *session) installCRDs(ctx context.Context, crds []helmchart.CRD) error {
	var created []*resource.Info
	for _, crd := range crds {
		list, err := s.kube.Build(bytes.NewReader(crd.File.Data), false)
		if err != nil {
			return fmt.Errorf("reading %s of the chart: %w", crd.Name, err)
		}
		for _, info := range list {
			_, err := resource.NewHelper(info.Client, info.Mapping).WithFieldManager(manifest.FieldManager).Create(info.Namespace, true, info.Object)
			switch {
			case apierrors.IsAlreadyExists(err):
			case err != nil:
				return fmt.Errorf("creating %s %q: %w", info.Mapping.GroupVersionKind.Kind, info.Name, err)
			default:
				created = append(created, info)
			}
		}
	}
	if len(created) == 0 {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	sleep := sleeper(wait)
	for _, info := range created {
		for poll := 20 * time.Millisecond; !isEstablished(info); poll = min(2*poll, time.Second) {
			if !sleep(poll) {
				return fmt.Errorf("waiting for the cluster to serve %s %q: %w", info.Mapping.GroupVersionKind.Kind, info.Name, wait.Err())
			}
		}
	}
	return s.refresh(ctx)
}

// isEstablished reports whether the kind of a CustomResourceDefinition is served. Other objects count as established.
// Source: kubernetes.io, apiextensions.k8s.io/v1, CustomResourceDefinitionStatus, condition Established.
func isEstablished(info *resource.Info) bool {
	if info.Mapping.GroupVersionKind.Kind != "CustomResourceDefinition" {
		return true
	}
	current, err := objects.Get(info)
	if err != nil {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(manifest.Fields(current.Object), "status", "conditions")
	for _, condition := range conditions {
		if fields, is := condition.(map[string]any); is && fields["type"] == "Established" && fields["status"] == "True" {
			return true
		}
	}
	return false
}
