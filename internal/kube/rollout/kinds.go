package rollout

import (
	"slices"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// waitPolicy says how a rollout depends on an object.
type waitPolicy int

const (
	ignore     waitPolicy = iota // it is ready as soon as it exists
	reportOnly                   // it is reported, but not waited for
	tolerate                     // it is waited for if we may read it, and never makes the rollout fail
	require                      // it is waited for, and makes the rollout fail if it cannot become ready
)

// watchedKinds are the built-in kinds that a rollout watches. A Service's address is waited for by kube.Client.Address, and a
// HorizontalPodAutoscaler that has no metrics yet says nothing about the rollout: both are reported only.
var watchedKinds = map[schema.GroupVersionKind]struct {
	resource schema.GroupVersionResource
	wait     waitPolicy
}{
	{Group: "apps", Version: "v1", Kind: "Deployment"}:  {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, require},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"}: {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, require},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}:   {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, require},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"}:  {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, require},
	{Group: "batch", Version: "v1", Kind: "Job"}:        {schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, require},
	{Version: "v1", Kind: "PersistentVolumeClaim"}:      {schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}, require},
	{Version: "v1", Kind: "Pod"}:                        {schema.GroupVersionResource{Version: "v1", Resource: "pods"}, require},
	{Version: "v1", Kind: "Service"}:                    {schema.GroupVersionResource{Version: "v1", Resource: "services"}, reportOnly},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"}: {
		schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, reportOnly},
	{Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler"}: {
		schema.GroupVersionResource{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"}, reportOnly},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: {
		schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, tolerate},
}

var claimsResource = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}

// watchKey identifies a store: a resource in one namespace.
type watchKey struct {
	resource  schema.GroupVersionResource
	namespace string // "": a cluster-scoped resource
}

// locate returns the store that an object is read from and how the rollout waits for it; namespace is the release's. An error for which
// meta.IsNoMatchError holds means that the mapper does not know the kind, another one that the cluster does not answer; a retry may succeed.
func locate(mapper meta.RESTMapper, object release.Object, namespace string) (key watchKey, wanted waitPolicy, err error) {
	kind := schema.FromAPIVersionAndKind(object.APIVersion, object.Kind)
	if object.Namespace != "" {
		namespace = object.Namespace
	}
	if kind.Group == "apiextensions.k8s.io" {
		namespace = ""
	}
	if watched, listed := watchedKinds[kind]; listed {
		return watchKey{watched.resource, namespace}, watched.wait, nil
	}
	if slices.Contains(kube.BuiltInGroups, kind.Group) {
		return watchKey{}, ignore, nil
	}
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return watchKey{}, ignore, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		namespace = ""
	}
	return watchKey{mapping.Resource, namespace}, tolerate, nil
}

// mayCreateObjects reports whether an object may create other objects that the release needs: a Job, or a custom resource that an
// operator acts on.
func mayCreateObjects(object release.Object) bool {
	return object.Kind == "Job" || isCustom(object)
}

// isCustom reports whether an object is a custom resource.
func isCustom(object release.Object) bool {
	return !slices.Contains(kube.BuiltInGroups, schema.FromAPIVersionAndKind(object.APIVersion, object.Kind).Group)
}
