package helm

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"helm.sh/helm/v3/pkg/chart"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
)

// establishing bounds how long the apiserver may take to serve a new kind.
const establishing = time.Minute

// installCRDs makes the kinds that a chart brings in its crds directory, and returns when they are served. Kinds that are there
// already are left as they are, as Helm does.
func (s *session) installCRDs(ctx context.Context, crds []chart.CRD) error {
	var made []*resource.Info
	for _, crd := range crds {
		list, err := s.kube.Build(bytes.NewReader(crd.File.Data), false)
		if err != nil {
			return fmt.Errorf("reading %s of the chart: %w", crd.Name, err)
		}
		for _, info := range list {
			_, err := resource.NewHelper(info.Client, info.Mapping).WithFieldManager(fieldManager).Create(info.Namespace, true, info.Object)
			switch {
			case apierrors.IsAlreadyExists(err):
			case err != nil:
				return fmt.Errorf("making %s %q: %w", info.Mapping.GroupVersionKind.Kind, info.Name, err)
			default:
				made = append(made, info)
			}
		}
	}
	if len(made) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, establishing)
	defer cancel()
	pause := pausing(ctx)
	for _, info := range made {
		for wait := 20 * time.Millisecond; !established(info); wait = min(2*wait, time.Second) {
			if !pause(wait) {
				return fmt.Errorf("waiting for the cluster to serve %s %q: %w", info.Mapping.GroupVersionKind.Kind, info.Name, ctx.Err())
			}
		}
	}
	return s.refresh()
}

// established tells whether a CustomResourceDefinition is served. What is none is served at once.
// Source: kubernetes.io, apiextensions.k8s.io/v1, CustomResourceDefinitionStatus, condition Established.
func established(info *resource.Info) bool {
	if info.Mapping.GroupVersionKind.Kind != "CustomResourceDefinition" {
		return true
	}
	current, err := live(info)
	if err != nil {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(fieldsOf(current.Object), "status", "conditions")
	for _, condition := range conditions {
		if fields, is := condition.(map[string]any); is && fields["type"] == "Established" && fields["status"] == "True" {
			return true
		}
	}
	return false
}

// each does something n times, side by side within bounds; the first error ends it.
func each(n int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(appliedAtOnce)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}
