package kube

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Hosts lists the hosts outside the cluster that belong to a release, in lower case and sorted: the addresses of its Services and
// Ingresses, the names that ExternalDNS gives them, the hosts of its Ingresses' rules and certificates, the hostnames of its
// routes of the Gateway API (HTTPRoute, GRPCRoute, TLSRoute) or, if they have none, of the Gateways' listeners that they are attached to, and the
// hosts of its Istio VirtualServices and Traefik IngressRoutes. A host with "*." matches all names one
// level below it. Kinds that the cluster does not have or this user may not read are left out.
func (c *Client) Hosts(ctx context.Context, namespace, name string) (hosts []string, err error) {
	namespaces, err := c.addressNamespaces(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	services, _, err := c.listServices(ctx, namespaces, metav1.ListOptions{})
	if err != nil {
		return nil, c.Fault(ctx, err, "reading the Services of release %q in namespace %q", name, namespace)
	}
	for i := range services {
		if belongsTo(&services[i], namespace, name) {
			hosts = append(hosts, serviceHosts(&services[i])...)
		}
	}
	ingresses, err := c.listIngresses(ctx, namespaces, metav1.ListOptions{})
	if err != nil {
		return nil, c.Fault(ctx, err, "reading the Ingresses of release %q in namespace %q", name, namespace)
	}
	for i := range ingresses {
		if ingress := &ingresses[i]; belongsTo(ingress, namespace, name) {
			hosts = append(hosts, ingressHosts(ingress)...)
		}
	}
	ofRoutes, err := c.routeHosts(ctx, namespaces, name)
	if err != nil {
		return nil, c.Fault(ctx, err, "reading the routes of release %q in namespace %q", name, namespace)
	}
	hosts = append(hosts, ofRoutes...)
	for i, host := range hosts {
		hosts[i] = strings.ToLower(strings.TrimSuffix(host, "."))
	}
	hosts = slices.DeleteFunc(hosts, func(host string) bool { return host == "" })
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// ingressHosts returns the hosts of an Ingress: of its rules and certificates, its addresses and their names.
func ingressHosts(ingress *networking.Ingress) []string {
	hosts := append(ruleHosts(ingress), annotatedHosts(ingress)...)
	for _, certificate := range ingress.Spec.TLS {
		hosts = append(hosts, certificate.Hosts...)
	}
	for _, assigned := range ingress.Status.LoadBalancer.Ingress {
		hosts = append(hosts, assigned.Hostname, assigned.IP)
	}
	return hosts
}

// serviceHosts returns the external addresses of a Service, and their names.
func serviceHosts(service *core.Service) []string {
	hosts := append(annotatedHosts(service), service.Spec.ExternalIPs...)
	for _, assigned := range service.Status.LoadBalancer.Ingress {
		hosts = append(hosts, assigned.Hostname, assigned.IP)
	}
	return hosts
}

// annotatedHosts returns the names that ExternalDNS gives an object.
func annotatedHosts(object metav1.Object) (hosts []string) {
	for _, host := range strings.Split(object.GetAnnotations()[hostnameAnnotation], ",") {
		hosts = append(hosts, strings.TrimSpace(host))
	}
	return hosts
}

// gatewayResource returns a resource of the Gateway API (gateway-api.sigs.k8s.io).
func gatewayResource(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: resource}
}

// route is a kind of object that routes hosts to Services.
type route struct {
	group, resource string
	versions        []string // those that are asked for, the newest first; the first that lists anything is read
	hosts           func(context.Context, *Client, *unstructured.Unstructured) []string
}

// routes are the kinds that are read where the cluster has them.
// Sources: gateway-api.sigs.k8s.io, "API specification"; istio.io, "Virtual Service"; doc.traefik.io, "Kubernetes IngressRoute" and
// "IngressRouteTCP".
var routes = []route{
	{"gateway.networking.k8s.io", "httproutes", []string{"v1"}, gatewayRouteHosts},
	{"gateway.networking.k8s.io", "grpcroutes", []string{"v1"}, gatewayRouteHosts},
	{"gateway.networking.k8s.io", "tlsroutes", []string{"v1", "v1alpha3", "v1alpha2"}, gatewayRouteHosts},
	{"networking.istio.io", "virtualservices", []string{"v1", "v1beta1"}, virtualServiceHosts},
	{"traefik.io", "ingressroutes", []string{"v1alpha1"}, ingressRouteHosts},
	{"traefik.io", "ingressroutetcps", []string{"v1alpha1"}, ingressRouteHosts},
}

// routeHosts returns the hosts of the release's routes, of all kinds, in the namespaces, of which the first is its own.
func (c *Client) routeHosts(ctx context.Context, namespaces []string, name string) (hosts []string, err error) {
	for _, namespace := range namespaces {
		found, err := c.routeHostsIn(ctx, namespace, namespaces[0], name)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, found...)
	}
	return hosts, nil
}

// routeHostsIn returns the hosts of the release's routes in one namespace.
func (c *Client) routeHostsIn(ctx context.Context, namespace, own, name string) (hosts []string, err error) {
	for _, kind := range routes {
		for _, version := range kind.versions {
			resource := schema.GroupVersionResource{Group: kind.group, Version: version, Resource: kind.resource}
			list, err := c.Dynamic.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || err == nil && len(list.Items) == 0 {
				continue
			}
			if apierrors.IsForbidden(err) {
				break
			}
			if err != nil {
				return nil, err
			}
			for i := range list.Items {
				if belongsTo(&list.Items[i], own, name) {
					hosts = append(hosts, kind.hosts(ctx, c, &list.Items[i])...)
				}
			}
			break
		}
	}
	return hosts, nil
}

// gatewayRouteHosts returns the hosts of a route of the Gateway API.
func gatewayRouteHosts(ctx context.Context, c *Client, route *unstructured.Unstructured) []string {
	names, _, _ := unstructured.NestedStringSlice(route.Object, "spec", "hostnames")
	if len(names) == 0 {
		return c.gatewayHosts(ctx, route)
	}
	return names
}

// meshGateway is the gateway by which Istio names the sidecars inside the mesh.
const meshGateway = "mesh"

// virtualServiceHosts returns the hosts of an Istio VirtualService that a gateway serves. Names inside of the mesh are no hosts outside the
// cluster, and "*" names none.
func virtualServiceHosts(_ context.Context, _ *Client, service *unstructured.Unstructured) []string {
	gateways, _, _ := unstructured.NestedStringSlice(service.Object, "spec", "gateways")
	if !slices.ContainsFunc(gateways, func(gateway string) bool { return gateway != meshGateway }) {
		return nil
	}
	hosts, _, _ := unstructured.NestedStringSlice(service.Object, "spec", "hosts")
	return slices.DeleteFunc(hosts, func(host string) bool {
		return host == "*" || !strings.Contains(host, ".") || strings.HasSuffix(host, ".cluster.local")
	})
}

// traefikHosts matches Host(`a`, `b`) and HostSNI(`a`) in a rule of Traefik, which is not preceded by a negation; HostRegexp names no host.
var traefikHosts = regexp.MustCompile(`(^|[^!A-Za-z])(?:Host|HostSNI)\(([^)]*)\)`)

// ingressRouteHosts returns the hosts in the rules of a Traefik IngressRoute or IngressRouteTCP.
func ingressRouteHosts(_ context.Context, _ *Client, route *unstructured.Unstructured) (hosts []string) {
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "routes")
	for _, rule := range fieldsOf(rules, "match") {
		for _, found := range traefikHosts.FindAllStringSubmatch(rule, -1) {
			for host := range strings.SplitSeq(found[2], ",") {
				if host = strings.Trim(strings.TrimSpace(host), "`\"'"); host != "*" {
					hosts = append(hosts, host)
				}
			}
		}
	}
	return hosts
}

// gatewayHosts returns the hosts of the Gateways that a route is attached to. It skips Gateways that this user may not read.
func (c *Client) gatewayHosts(ctx context.Context, route *unstructured.Unstructured) (hosts []string) {
	parents, _, _ := unstructured.NestedSlice(route.Object, "spec", "parentRefs")
	for _, parent := range parents {
		reference, _ := parent.(map[string]any)
		gateway, _ := reference["name"].(string)
		namespace, ok := reference["namespace"].(string)
		if !ok {
			namespace = route.GetNamespace()
		}
		live, err := c.Dynamic.Resource(gatewayResource("gateways")).Namespace(namespace).Get(ctx, gateway, metav1.GetOptions{})
		if err != nil {
			continue
		}
		listeners, _, _ := unstructured.NestedSlice(live.Object, "spec", "listeners")
		addresses, _, _ := unstructured.NestedSlice(live.Object, "status", "addresses")
		hosts = append(hosts, append(fieldsOf(listeners, "hostname"), fieldsOf(addresses, "value")...)...)
	}
	return hosts
}

// fieldsOf returns the values of a field in a list of objects.
func fieldsOf(objects []any, field string) (values []string) {
	for _, object := range objects {
		fields, _ := object.(map[string]any)
		if value, ok := fields[field].(string); ok {
			values = append(values, value)
		}
	}
	return values
}

// LiveImage returns the image of a release's deployed revision, as Helm has recorded it; false if this user may not read the
// record, or if the record does not contain an image by digest (another Helm client made it).
func (c *Client) LiveImage(ctx context.Context, namespace, name string) (image release.Image, found bool, err error) {
	revision, err := c.appliedRevision(ctx, namespace, name)
	if errors.Is(err, errNoRecord) || apierrors.IsForbidden(err) {
		return image, false, nil
	}
	if err != nil {
		return image, false, c.Fault(ctx, err, "reading the record of release %q in namespace %q", name, namespace)
	}
	err = eachObject(revision.Manifest, release.AnnotationDigest, func(object map[string]any) {
		if !found {
			image, found = stampedImage(object)
		}
	})
	return image, found, err
}

// stampedImage returns the image with the digest in the annotation of a workload or of its pod template.
func stampedImage(object map[string]any) (release.Image, bool) {
	for _, template := range release.PodTemplates(object) {
		annotations, _, _ := unstructured.NestedStringMap(template, "metadata", "annotations")
		text := annotations[release.AnnotationDigest]
		if text == "" {
			text = (&unstructured.Unstructured{Object: object}).GetAnnotations()[release.AnnotationDigest]
		}
		digest, err := release.ParseDigest(text)
		if err != nil {
			continue
		}
		containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
		for _, reference := range fieldsOf(containers, "image") {
			repository, isPinned := strings.CutSuffix(reference, "@"+digest.String())
			if !isPinned {
				continue
			}
			if slash := strings.LastIndex(repository, "/"); strings.Contains(repository[slash+1:], ":") {
				repository = repository[:slash+1+strings.Index(repository[slash+1:], ":")]
			}
			if parsed, err := release.ParseRepository(repository); err == nil {
				return parsed.At(digest), true
			}
		}
	}
	return release.Image{}, false
}
