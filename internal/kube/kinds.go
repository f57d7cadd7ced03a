package kube

import (
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// heed is what a watch makes of an object.
type heed int

const (
	passes   heed = iota // ready when it is made
	reported             // told of, and not waited for
	tolerant             // waited for, but never condemned, and let pass if we may not see it
	awaited              // waited for, and condemned when it cannot become ready
)

// known are the kinds of Kubernetes itself that a watch looks at. A Service's address is waited for by Address, and a
// HorizontalPodAutoscaler without metrics yet says nothing about the rollout: both are reported only.
var known = map[schema.GroupVersionKind]struct {
	resource schema.GroupVersionResource
	heed     heed
}{
	{Group: "apps", Version: "v1", Kind: "Deployment"}:  {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, awaited},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"}: {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, awaited},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}:   {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, awaited},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"}:  {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, awaited},
	{Group: "batch", Version: "v1", Kind: "Job"}:        {schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, awaited},
	{Version: "v1", Kind: "PersistentVolumeClaim"}:      {schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}, awaited},
	{Version: "v1", Kind: "Pod"}:                        {schema.GroupVersionResource{Version: "v1", Resource: "pods"}, awaited},
	{Version: "v1", Kind: "Service"}:                    {schema.GroupVersionResource{Version: "v1", Resource: "services"}, reported},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"}: {
		schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, reported},
	{Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler"}: {
		schema.GroupVersionResource{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"}, reported},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: {
		schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, tolerant},
}

// builtIn are the API groups of Kubernetes itself: what of them is not in the table is ready when it is made.
var builtIn = []string{"", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io",
	"scheduling.k8s.io", "admissionregistration.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "node.k8s.io", "apiregistration.k8s.io",
	"certificates.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "apiextensions.k8s.io"}

// place is where an object is watched.
type place struct {
	resource  schema.GroupVersionResource
	namespace string // "": of the whole cluster
}

// locate finds out what to make of an object, and where to watch it. A kind that the cluster does not know passes: whether it
// could be applied was Helm's to say. The error is the cluster's, and may pass.
func (c *Client) locate(object release.Object, namespace string) (where place, how heed, err error) {
	kind := schema.FromAPIVersionAndKind(object.APIVersion, object.Kind)
	if object.Namespace != "" {
		namespace = object.Namespace
	}
	if kind.Group == "apiextensions.k8s.io" {
		namespace = ""
	}
	if found, listed := known[kind]; listed {
		return place{found.resource, namespace}, found.heed, nil
	}
	if slices.Contains(builtIn, kind.Group) {
		return place{}, passes, nil
	}
	mapping, err := c.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return place{}, passes, nil
	}
	if err != nil {
		return place{}, passes, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		namespace = ""
	}
	return place{mapping.Resource, namespace}, tolerant, nil
}

// maker tells whether an object may make others that the release needs: a Job, or what an operator acts upon.
func maker(object release.Object) bool {
	kind := schema.FromAPIVersionAndKind(object.APIVersion, object.Kind)
	return kind.Kind == "Job" || !slices.Contains(builtIn, kind.Group)
}
