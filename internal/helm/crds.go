package helm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/helm/plan"
	"github.com/onedigest/onedigest/internal/release"
	helmchart "helm.sh/helm/v3/pkg/chart"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"
)

// establishTimeout is how long the apiserver may take to serve a new kind.
const establishTimeout = time.Minute

// applyCRDs applies the chart's crds directory if the deployment asks for it, and otherwise logs the CRDs that differ from
// the cluster's. It first sends each as a dry run: if the cluster refuses one, or if something would be removed, it changes none.
// It reports whether it has changed any.
func (s *session) applyCRDs(ctx context.Context, deployment release.Deployment, crds []helmchart.CRD, install bool) (changed bool, err error) {
	list, err := plan.ChangedCRDs(s.kube.Cluster, crds)
	if err != nil || len(list) == 0 {
		return false, err
	}
	if !deployment.ApplyCRDs {
		for _, one := range list {
			if note := one.Note(install); note != "" {
				s.client.log(note)
			}
		}
		return false, nil
	}
	var problems []string
	for _, one := range list {
		_, refused, err := one.DryRun()
		if err != nil {
			return false, err
		}
		problems = append(problems, refused...)
	}
	if len(problems) > 0 {
		return false, &release.Failure{What: "the chart's crds directory cannot be applied:\n  " + strings.Join(problems, "\n  ")}
	}
	applied := make([]*resource.Info, len(list))
	for i, one := range list {
		applied[i] = one.Info
		helper, id := resource.NewHelper(one.Info.Client, one.Info.Mapping).WithFieldManager(manifest.FieldManager), objects.ID(one.Info)
		if one.Absent {
			_, err = helper.Create(one.Info.Namespace, true, one.Info.Object)
		} else {
			_, err = helper.Patch(one.Info.Namespace, one.Info.Name, types.MergePatchType, one.Patch, nil)
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return false, fmt.Errorf("applying %s: %w", id, err)
		}
		s.client.log(fmt.Sprintf("%s of the chart's crds directory is applied", id))
	}
	s.kube.redefined = definedKinds(applied)
	return true, s.awaitEstablished(ctx, applied)
}

// definedKinds returns the groups and kinds that CRDs define.
func definedKinds(definitions []*resource.Info) map[schema.GroupKind]bool {
	kinds := map[schema.GroupKind]bool{}
	for _, info := range definitions {
		fields := manifest.Fields(info.Object)
		group, _ := manifest.ValueAt(fields, "spec.group", "").(string)
		kind, _ := manifest.ValueAt(fields, "spec.names.kind", "").(string)
		kinds[schema.GroupKind{Group: group, Kind: kind}] = true
	}
	return kinds
}

// schemaTimeout is how long an apiserver may take until it uses a changed CRD.
const schemaTimeout = 5 * time.Second

// awaitSchema waits, for at most schemaTimeout, until the API server serves the schema of a CRD that was just changed: before that it
// prunes the new fields of a custom resource. It probes with a dry run of the object. A timeout is no error, because the API server
// warns of each field that it prunes.
func (k *kubeClient) awaitSchema(info *resource.Info) {
	wanted := manifest.Fields(info.Object)
	patch, err := json.Marshal(info.Object)
	if err != nil {
		return
	}
	helper := resource.NewHelper(info.Client, info.Mapping).DryRun(true).WithFieldManager(manifest.FieldManager)
	for deadline := time.Now().Add(schemaTimeout); time.Now().Before(deadline); {
		kept, err := helper.Patch(info.Namespace, info.Name, types.MergePatchType, patch, nil)
		if apierrors.IsNotFound(err) {
			kept, err = helper.Create(info.Namespace, true, info.Object.DeepCopyObject())
		}
		if err != nil || plan.Contains(manifest.Fields(kept), wanted) || !k.session.sleep(100*time.Millisecond) {
			return
		}
	}
}

// installCRDs creates the objects of a chart's crds directory, and returns when their kinds are served. Like Helm, it does not
// change existing ones.
func (s *session) installCRDs(ctx context.Context, crds []helmchart.CRD) error {
	var created []*resource.Info
	for _, crd := range crds {
		list, err := s.kube.Build(bytes.NewReader(crd.File.Data), false)
		if err != nil {
			return fmt.Errorf("reading %s of the chart: %w", crd.Name, err)
		}
		for _, info := range list {
			_, readErr := objects.Get(info)
			if readErr == nil {
				continue
			}
			_, err := resource.NewHelper(info.Client, info.Mapping).WithFieldManager(manifest.FieldManager).Create(info.Namespace, true, info.Object)
			switch {
			case apierrors.IsAlreadyExists(err):
			case apierrors.IsForbidden(readErr) && apierrors.IsForbidden(err): // if it is absent, objects of its kind are refused before any is applied
				s.client.log(fmt.Sprintf("WARNING: %s %q of the chart may neither be read nor created, and is assumed to exist", info.Mapping.GroupVersionKind.Kind, info.Name))
			case err != nil:
				return fmt.Errorf("creating %s %q: %w", info.Mapping.GroupVersionKind.Kind, info.Name, err)
			default:
				created = append(created, info)
			}
		}
	}
	return s.awaitEstablished(ctx, created)
}

// awaitEstablished waits until every CustomResourceDefinition in created is Established, at most establishTimeout, and then
// refreshes the session's API discovery so that the new kinds are known. Other objects are not waited for; with none created it
// does nothing.
func (s *session) awaitEstablished(ctx context.Context, created []*resource.Info) error {
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
		if fields, ok := condition.(map[string]any); ok && fields["type"] == "Established" && fields["status"] == "True" {
			return true
		}
	}
	return false
}
