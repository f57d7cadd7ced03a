package helm

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Removal reports what Uninstall would delete and what it would leave, and changes nothing. Objects that are not in the cluster are left out. The errors
// are those of Uninstall.
func (c *Client) Removal(ctx context.Context, name string) (release.Removal, error) {
	s, err := c.open(ctx)
	if err != nil {
		return release.Removal{}, err
	}
	defer s.close()
	state, err := s.store.State(ctx, name)
	if err != nil || state.Newest() == nil {
		return release.Removal{}, err
	}
	removal, err := s.removal(name, state)
	return removal, failure.Classify(ctx, err, "reading what an uninstall of release %q deletes", name)
}

// removal reports what an uninstall of a release does in the cluster.
func (s *session) removal(name string, state history.State) (release.Removal, error) {
	newest := state.Newest()
	described := history.Describe(newest, state.Entries[0])
	removal := release.Removal{Revision: newest.Version, Status: newest.Info.Status.String(), Commit: described.Commit, Environment: history.EnvironmentOf(newest)}
	if newest.Info.Status != helmrelease.StatusUninstalled { // the history of a complete one may be kept
		removal.Begun = newest.Info.Deleted.Time
	}
	s.beginChange(name, state, nil)
	all, err := manifest.Parse(newest.Manifest)
	if err != nil {
		return removal, err
	}
	var deleted, kept, left []map[string]any
	for _, object := range all {
		annotations := (&unstructured.Unstructured{Object: object}).GetAnnotations()
		_, isUnknown := manifest.UnknownPolicy(annotations)
		switch {
		case manifest.IsKept(annotations):
			kept = append(kept, object)
		case isUnknown:
			left = append(left, object)
		default:
			deleted = append(deleted, object)
		}
	}
	list, err := s.built(deleted)
	if err != nil {
		return removal, err
	}
	leftBehind, err := s.kube.leftBehind(list)
	if err != nil {
		return removal, err
	}
	removal.Deletes = existing(append(list, leftBehind...))
	if list, err = s.built(kept); err != nil {
		return removal, err
	}
	for _, object := range existing(list) {
		removal.Kept = append(removal.Kept, release.KeptObject{Object: object, Why: "it is annotated helm.sh/resource-policy: keep"})
	}
	if list, err = s.built(left); err != nil {
		return removal, err
	}
	for _, object := range existing(list) {
		removal.Kept = append(removal.Kept, release.KeptObject{Object: object, Why: "its annotation helm.sh/resource-policy has a value that Helm does not know, with which an uninstall leaves it"})
	}
	if err := s.addKeptHooks(&removal, newest.Hooks); err != nil {
		return removal, err
	}
	if err := s.addKeptCRDs(&removal, newest); err != nil {
		return removal, err
	}
	for _, object := range deleted {
		removal.Kept = append(removal.Kept, claimsOf(object, s.namespace)...)
	}
	kinds := kindSet{}
	if err := s.addKinds(kinds, deleted, release.UseRemove); err != nil {
		return removal, err
	}
	err = s.addHookKinds(kinds, newest.Hooks, func(event helmrelease.HookEvent) bool {
		return event == helmrelease.HookPreDelete || event == helmrelease.HookPostDelete
	}, release.UseHook)
	removal.Kinds = kinds.list()
	return removal, err
}

// built builds objects that the cluster serves.
func (s *session) built(list []map[string]any) (kube.ResourceList, error) {
	text, err := manifest.Format(list)
	if err != nil {
		return nil, err
	}
	return s.kube.BuildServed(text.String())
}

// existing returns those that are in the cluster. One that may not be read, or whose state is unknown, counts as there.
func existing(list kube.ResourceList) (found []release.Object) {
	gone := make([]bool, len(list))
	_ = objects.Each(len(list), func(i int) error {
		_, err := objects.Get(list[i])
		gone[i] = apierrors.IsNotFound(err)
		return nil
	})
	for i, info := range list {
		if !gone[i] {
			found = append(found, objects.ID(info))
		}
	}
	return found
}

// addKeptHooks adds the hook resources that are in the cluster, which Helm does not delete. Source: helm.sh/docs, "Chart Hooks", Hook resources are not managed.
func (s *session) addKeptHooks(removal *release.Removal, hooks []*helmrelease.Hook) error {
	for _, hook := range hooks {
		list, err := s.kube.BuildServed(hook.Manifest)
		if err != nil {
			return fmt.Errorf("reading hook %s: %w", hook.Path, err)
		}
		for _, object := range existing(list) {
			removal.Kept = append(removal.Kept, release.KeptObject{Object: object, Why: "it is a hook, which Helm does not manage as part of the release"})
		}
	}
	return nil
}

// addKeptCRDs adds the CustomResourceDefinitions of the chart's crds directory, which Helm never deletes.
func (s *session) addKeptCRDs(removal *release.Removal, newest *helmrelease.Release) error {
	if newest.Chart == nil {
		return nil
	}
	for _, crd := range newest.Chart.CRDObjects() {
		list, err := s.kube.BuildServed(string(crd.File.Data))
		if err != nil {
			return fmt.Errorf("reading %s: %w", crd.Filename, err)
		}
		for _, object := range existing(list) {
			removal.Kept = append(removal.Kept, release.KeptObject{Object: object, Why: "a CustomResourceDefinition of the chart's crds directory, which Helm never deletes"})
		}
	}
	return nil
}

// claimsOf returns the PersistentVolumeClaims that a StatefulSet has created and that outlive it, one pattern for each volumeClaimTemplate
// (TEMPLATE-SET-*, where * is a pod's ordinal). Source: kubernetes.io, "StatefulSets", PersistentVolumeClaim retention.
func claimsOf(object map[string]any, namespace string) (kept []release.KeptObject) {
	set := &unstructured.Unstructured{Object: object}
	if set.GetKind() != "StatefulSet" {
		return nil
	}
	if policy, _, _ := unstructured.NestedString(object, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"); policy == "Delete" {
		return nil
	}
	templates, _, _ := unstructured.NestedSlice(object, "spec", "volumeClaimTemplates")
	for _, template := range templates {
		fields, _ := template.(map[string]any)
		claim := (&unstructured.Unstructured{Object: fields}).GetName()
		id := manifest.ObjectID(object, namespace)
		kept = append(kept, release.KeptObject{Object: release.Object{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: id.Namespace, Name: claim + "-" + id.Name + "-*"},
			Why: fmt.Sprintf("the data of %s, one claim for each of its pods", id)})
	}
	return kept
}
