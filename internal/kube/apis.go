package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

// apis has a REST client for each API group whose typed objects this package uses.
//
// client-go/kubernetes is not used: it registers every API group of Kubernetes, which adds 10 MB to each program. Its clients are
// generated from gentype, which is used here directly.
type apis struct {
	core, apps, networking, authorization, authentication rest.Interface
	parameters                                            runtime.ParameterCodec
}

// reviewsPerSecond and reviewBurst are a separate limit for access reviews: a deploy asks about a hundred at once, and the
// deploys of a matrix must not wait for each other's.
const (
	reviewsPerSecond = 500
	reviewBurst      = 1000
)

// newAPIs makes the clients. They share one rate limit; only access reviews have their own.
func newAPIs(config *rest.Config, client *http.Client) (*apis, error) {
	scheme := runtime.NewScheme()
	builder := runtime.NewSchemeBuilder(core.AddToScheme, apps.AddToScheme, networking.AddToScheme, authorization.AddToScheme, authentication.AddToScheme)
	if err := builder.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = rest.CodecFactoryForGeneratedClient(scheme, serializer.NewCodecFactory(scheme)).WithoutConversion()
	if config.RateLimiter == nil && config.QPS > 0 {
		config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(config.QPS, config.Burst)
	}
	var failed error
	group := func(path string, version schema.GroupVersion) rest.Interface {
		config := rest.CopyConfig(config)
		config.APIPath, config.GroupVersion = path, &version
		if version.Group == authorization.GroupName && config.RateLimiter != nil {
			config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(reviewsPerSecond, reviewBurst)
		}
		made, err := rest.RESTClientForConfigAndClient(config, client)
		failed = errors.Join(failed, err)
		return made
	}
	return &apis{
		core: group("/api", core.SchemeGroupVersion), apps: group("/apis", apps.SchemeGroupVersion), networking: group("/apis", networking.SchemeGroupVersion),
		authorization: group("/apis", authorization.SchemeGroupVersion), authentication: group("/apis", authentication.SchemeGroupVersion),
		parameters: runtime.NewParameterCodec(scheme),
	}, failed
}

// Pods returns the client for the pods of a namespace.
func (c *Client) Pods(namespace string) *gentype.ClientWithList[*core.Pod, *core.PodList] {
	return listClient[core.Pod, core.PodList](c.apis, c.apis.core, "pods", namespace)
}

// podLogs returns a request for a pod's log.
func (c *Client) podLogs(namespace, pod string, options *core.PodLogOptions) *rest.Request {
	return c.apis.core.Get().Namespace(namespace).Resource("pods").Name(pod).SubResource("log").VersionedParams(options, c.apis.parameters)
}

// Events returns the client for the events of a namespace.
func (c *Client) Events(namespace string) *gentype.ClientWithList[*core.Event, *core.EventList] {
	return listClient[core.Event, core.EventList](c.apis, c.apis.core, "events", namespace)
}

// ReplicaSets returns the client for the ReplicaSets of a namespace.
func (c *Client) ReplicaSets(namespace string) *gentype.ClientWithList[*apps.ReplicaSet, *apps.ReplicaSetList] {
	return listClient[apps.ReplicaSet, apps.ReplicaSetList](c.apis, c.apis.apps, "replicasets", namespace)
}

func (c *Client) services(namespace string) *gentype.ClientWithList[*core.Service, *core.ServiceList] {
	return listClient[core.Service, core.ServiceList](c.apis, c.apis.core, "services", namespace)
}

func (c *Client) ingresses(namespace string) *gentype.ClientWithList[*networking.Ingress, *networking.IngressList] {
	return listClient[networking.Ingress, networking.IngressList](c.apis, c.apis.networking, "ingresses", namespace)
}

func (c *Client) namespaces() *gentype.Client[*core.Namespace] {
	return client[core.Namespace](c.apis, c.apis.core, "namespaces", "")
}

func (c *Client) secrets(namespace string) *gentype.Client[*core.Secret] {
	return client[core.Secret](c.apis, c.apis.core, "secrets", namespace)
}

func (c *Client) configMaps(namespace string) *gentype.Client[*core.ConfigMap] {
	return client[core.ConfigMap](c.apis, c.apis.core, "configmaps", namespace)
}

// accessReviews returns the client for asking whether this user has a permission.
func (c *Client) accessReviews() *gentype.Client[*authorization.SelfSubjectAccessReview] {
	return client[authorization.SelfSubjectAccessReview](c.apis, c.apis.authorization, "selfsubjectaccessreviews", "")
}

// subjectReviews returns the client for asking who this user is.
func (c *Client) subjectReviews() *gentype.Client[*authentication.SelfSubjectReview] {
	return client[authentication.SelfSubjectReview](c.apis, c.apis.authentication, "selfsubjectreviews", "")
}

type objectPointer[T any] interface {
	*T
	runtime.Object
	meta.Object
}

type listPointer[L any] interface {
	*L
	runtime.Object
}

// client makes the client for one resource; namespace is "" for a cluster-scoped resource.
func client[T any, PT objectPointer[T]](a *apis, group rest.Interface, resource, namespace string) *gentype.Client[PT] {
	return gentype.NewClient(resource, group, a.parameters, namespace, func() PT { return new(T) }, gentype.PrefersProtobuf[PT]())
}

// listClient makes the client for one resource that is listed and watched.
func listClient[T, L any, PT objectPointer[T], PL listPointer[L]](a *apis, group rest.Interface, resource, namespace string) *gentype.ClientWithList[PT, PL] {
	return gentype.NewClientWithList(resource, group, a.parameters, namespace, func() PT { return new(T) }, func() PL { return new(L) }, gentype.PrefersProtobuf[PT]())
}

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
	at := slices.IndexFunc(served, func(one meta.APIResource) bool { return one.Kind == kind && !strings.Contains(one.Name, "/") })
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
func (c *Client) servedResources(ctx context.Context, version schema.GroupVersion) ([]meta.APIResource, error) {
	if known, found := c.served.Load(version); found {
		resources, _ := known.([]meta.APIResource)
		return resources, nil
	}
	text, err := c.apis.core.Get().AbsPath("/apis", version.Group, version.Version).SetHeader("Accept", "application/json").DoRaw(ctx)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list meta.APIResourceList
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("reading the resources of %s: %w", version, err)
	}
	c.served.Store(version, list.APIResources)
	return list.APIResources, nil
}
