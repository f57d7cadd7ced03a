package helm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// unchanged renders what would be applied and holds it against the last revision, if that one is deployed and all of it
// still stands: what someone deleted, scaled or gave another image by hand is to come back.
func (s *session) unchanged(ctx context.Context, deployment release.Deployment, read *prepared, base footing) (bool, error) {
	last := base.last()
	if last == nil || last.Info.Status != helmrelease.StatusDeployed {
		return false, nil
	}
	planned, err := s.draft(deployment, read, base)
	if err != nil {
		return false, sorted(ctx, err, "planning the upgrade of release %q in namespace %q", deployment.Name, deployment.Namespace)
	}
	same, err := planned.same(last)
	if err != nil || !same {
		return false, err
	}
	return s.standing(ctx, last)
}

// same tells whether a draft is what a revision was, run and actor aside.
func (d *draft) same(last *helmrelease.Release) (bool, error) {
	before, err := neutral(last.Manifest)
	if err != nil {
		return false, err
	}
	after, err := neutral(d.manifest)
	if err != nil {
		return false, err
	}
	return before == after && sameHooks(last.Hooks, d.hooks), nil
}

// standing tells whether every object of a revision is in the cluster, with the images and the replicas that it asks for.
func (s *session) standing(ctx context.Context, last *helmrelease.Release) (bool, error) {
	objects, err := s.helm.KubeClient.Build(strings.NewReader(last.Manifest), false)
	if err != nil {
		return false, sorted(ctx, err, "reading the objects of release %q in namespace %q", last.Name, last.Namespace)
	}
	stands := make([]bool, len(objects))
	err = each(len(objects), func(i int) error {
		current, err := live(objects[i])
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return sorted(ctx, err, "reading %s %q of release %q", objects[i].Mapping.GroupVersionKind.Kind, objects[i].Name, last.Name)
		}
		stands[i] = !drifted(fieldsOf(objects[i].Object), fieldsOf(current.Object))
		return nil
	})
	return err == nil && !slices.Contains(stands, false), err
}

func fieldsOf(object runtime.Object) map[string]any {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil
	}
	return fields
}

// drifted tells whether a workload runs other images or another number of replicas than it was asked to. Replicas that
// nobody asks for are an autoscaler's.
func drifted(wanted, live map[string]any) bool {
	if replicas, asked, _ := unstructured.NestedFieldNoCopy(wanted, "spec", "replicas"); asked {
		now, _, _ := unstructured.NestedFieldNoCopy(live, "spec", "replicas")
		if fmt.Sprint(replicas) != fmt.Sprint(now) {
			return true
		}
	}
	running := images([]map[string]any{live})
	for _, image := range images([]map[string]any{wanted}) {
		if !slices.Contains(running, image) {
			return true
		}
	}
	return false
}
