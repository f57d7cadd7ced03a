package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// objectsOf returns the client for the objects of a kind: in the namespace, or in the cluster if the kind has no namespace. How a custom kind's
// resource is named is asked of the cluster, because no rule leads from Redis to redis. client-go/discovery is not used: it adds 10 MB to
// each program.
func (c *Client) objectsOf(ctx context.Context, apiVersion, kind, namespace string) (dynamic.ResourceInterface, error) {
	wanted := schema.FromAPIVersionAndKind(apiVersion, kind)
	guessed := c.Dynamic.Resource(workloadResource(apiVersion, kind)).Namespace(namespace)
	if slices.Contains(BuiltInGroups, wanted.Group) {
		return guessed, nil
	}
	served, err := c.servedResources(ctx, wanted.GroupVersion())
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(served, func(one metav1.APIResource) bool { return one.Kind == kind && !strings.Contains(one.Name, "/") })
	if at < 0 {
		return guessed, nil
	}
	resource := c.Dynamic.Resource(wanted.GroupVersion().WithResource(served[at].Name))
	if !served[at].Namespaced {
		return resource, nil
	}
	return resource.Namespace(namespace), nil
}

// servedResources lists the resources of a group and version, none if the cluster serves no such group or does not say. It asks once.
func (c *Client) servedResources(ctx context.Context, version schema.GroupVersion) ([]metav1.APIResource, error) {
	if known, found := c.served.Load(version); found {
		resources, _ := known.([]metav1.APIResource)
		return resources, nil
	}
	text, err := c.apis.core.Get().AbsPath("/apis", version.Group, version.Version).SetHeader("Accept", "application/json").DoRaw(ctx)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("reading the resources of %s: %w", version, err)
	}
	c.served.Store(version, list.APIResources)
	return list.APIResources, nil
}
