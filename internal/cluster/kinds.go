package cluster

import (
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// awaited are the kinds of Kubernetes itself that become ready some time after they were made.
var awaited = map[schema.GroupVersionKind]schema.GroupVersionResource{
	{Group: "apps", Version: "v1", Kind: "Deployment"}:  {Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"}: {Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}:   {Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Group: "batch", Version: "v1", Kind: "Job"}:        {Group: "batch", Version: "v1", Resource: "jobs"},
	{Version: "v1", Kind: "PersistentVolumeClaim"}:      {Version: "v1", Resource: "persistentvolumeclaims"},
	{Version: "v1", Kind: "Pod"}:                        {Version: "v1", Resource: "pods"},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"}:  {Group: "apps", Version: "v1", Resource: "replicasets"},
}

// builtIn are the API groups of Kubernetes itself: what of them is not awaited is ready when it is made. A Service's
// address is waited for by Address; a HorizontalPodAutoscaler without metrics yet and a PodDisruptionBudget say nothing
// about the rollout.
var builtIn = []string{"", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io",
	"scheduling.k8s.io", "admissionregistration.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "node.k8s.io", "apiregistration.k8s.io",
	"certificates.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "apiextensions.k8s.io"}

// place is where an object is watched.
type place struct {
	resource  schema.GroupVersionResource
	namespace string // "": of the whole cluster
}

// locate finds out whether an object must become ready, and where to watch it. A kind that the cluster does not know is
// not awaited: whether it could be applied was Helm's to say. The error is the cluster's, and may pass.
func (c *Client) locate(object release.Object, namespace string) (where place, wait bool, err error) {
	kind := schema.FromAPIVersionAndKind(object.APIVersion, object.Kind)
	if object.Namespace != "" {
		namespace = object.Namespace
	}
	if resource, found := awaited[kind]; found {
		return place{resource, namespace}, true, nil
	}
	if slices.Contains(builtIn, kind.Group) {
		return place{}, false, nil
	}
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return place{}, false, nil
	}
	if err != nil {
		return place{}, false, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		namespace = ""
	}
	return place{mapping.Resource, namespace}, true, nil
}

// custom tells whether a resource is defined by somebody other than Kubernetes.
func (p place) custom() bool { return !slices.Contains(builtIn, p.resource.Group) }
