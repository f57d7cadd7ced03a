package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	neturl "net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Behind finds to which ready endpoints a URL leads: of the release's Services that have its host, and of the Services to which the release's Ingresses with its host
// lead. An object that the address names counts too. An Ingress with the host that is not the release's counts as foreign. It returns none if no Service and no Ingress of the
// release has the host, as that of a route of another kind. The error is a *release.Fault.
func (c *Client) Behind(ctx context.Context, namespace, name, url string, address release.Address) ([]release.Route, error) {
	return c.behind(ctx, namespace, name, url, address, metav1.ListOptions{})
}

// RecentlyBehind is Behind as the apiserver's cache has it, which is some milliseconds old and does not have to be waited for.
func (c *Client) RecentlyBehind(ctx context.Context, namespace, name, url string, address release.Address) ([]release.Route, error) {
	return c.behind(ctx, namespace, name, url, address, metav1.ListOptions{ResourceVersion: "0"})
}

// behind is Behind with lists of the given freshness.
func (c *Client) behind(ctx context.Context, namespace, name, url string, address release.Address, options metav1.ListOptions) (routes []release.Route, err error) {
	asked, err := neturl.Parse(url)
	if err != nil {
		return nil, err
	}
	host := strings.ToLower(strings.TrimSuffix(asked.Hostname(), "."))
	namespaces, err := c.addressNamespaces(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	if _, in, _ := address.Object(); in != "" && !slices.Contains(namespaces, in) {
		namespaces = append(namespaces, in)
	}
	failed := func(err error) error {
		return c.Fault(ctx, err, "reading what is behind the address of release %q in namespace %q", name, namespace)
	}
	services, unlisted, err := c.listServices(ctx, namespaces, options)
	if err != nil {
		return nil, failed(err)
	}
	ingresses, err := c.listIngresses(ctx, namespaces, options)
	if err != nil {
		return nil, failed(err)
	}
	behind := &behindReader{client: c, options: options, release: name, complete: len(unlisted) == 0, endpoints: map[string][]release.Backend{}, labelled: map[string]map[string]bool{}}
	isOwn := func(object metav1.Object, identity release.Object) bool {
		return belongsTo(object, namespace, name) || identity.HasAddress(address)
	}
	for i := range services {
		service := &services[i]
		if !isOwn(service, serviceObject(service)) || !hasHost(serviceHosts(service), host) {
			continue
		}
		route := release.Route{Via: serviceObject(service), Path: "/"}
		if err := behind.addEndpoints(ctx, &route, service, portOfURL(service, asked)); err != nil {
			return nil, failed(err)
		}
		routes = append(routes, route)
	}
	for i := range ingresses {
		ingress := &ingresses[i]
		object := release.Object{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Namespace: ingress.Namespace, Name: ingress.Name}
		if !hasHost(ingressHosts(ingress), host) {
			continue
		}
		for _, path := range pathsOf(ingress, host) {
			route := release.Route{Via: object, Path: path.path, Exact: path.exact, Expression: path.expression, Loose: path.loose, Foreign: !isOwn(ingress, object)}
			if err := behind.addBackend(ctx, &route, path.backend, services, ingress.Namespace); err != nil {
				return nil, failed(err)
			}
			routes = append(routes, route)
		}
	}
	if !slices.ContainsFunc(routes, func(route release.Route) bool { return !route.Foreign }) {
		return nil, nil
	}
	return routes, nil
}

// useAnnotation is the name of the port of a backend that stands for an action of the Ingress's annotations. Source: AWS Load Balancer Controller, Ingress annotations, Actions.
const useAnnotation = "use-annotation"

// behindReader reads the endpoints of Services, of each port once.
type behindReader struct {
	client    *Client
	options   metav1.ListOptions // of the lists
	release   string
	complete  bool                         // all Services of the release's namespaces are listed
	endpoints map[string][]release.Backend // by Service and port
	labelled  map[string]map[string]bool   // pods with the release's instance label, by namespace
}

// isLabelled reports whether a pod has the release's instance label; false if that may not be read.
func (b *behindReader) isLabelled(ctx context.Context, namespace, pod string) bool {
	pods, listed := b.labelled[namespace]
	if !listed {
		pods = map[string]bool{}
		found, err := b.client.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(labels.Set{instanceLabel: b.release}).String()})
		if err == nil {
			for i := range found.Items {
				pods[found.Items[i].Name] = true
			}
		}
		b.labelled[namespace] = pods
	}
	return pods[pod]
}

// hasHost reports whether one of the hosts is the host; one with "*." is for all names one level below it.
func hasHost(hosts []string, host string) bool {
	return slices.ContainsFunc(hosts, func(each string) bool {
		return hostMatches(strings.ToLower(strings.TrimSuffix(each, ".")), host)
	})
}

func hostMatches(pattern, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return pattern == host || pattern == "*."+parent
}

// matchesOtherwise matches the annotations by which a controller serves other paths than the Ingress names. Sources: ingress-nginx, Annotations; doc.traefik.io, Ingress.
var matchesOtherwise = regexp.MustCompile(`/(?:use-regex|rewrite-target|app-root|.*snippet|router\.pathmatcher)$`)

// ingressPath is a path of an Ingress with what it leads to.
type ingressPath struct {
	path              string
	exact, expression bool
	loose             bool
	backend           networking.IngressBackend
}

// pathsOf returns the paths of an Ingress that serve a host: those of the rules for the host, or else for names like it, or else for all, and the default backend.
// Source: kubernetes.io, "Ingress", Hostname wildcards and Path types. A path of type ImplementationSpecific that has the characters of a regular expression is one
// up to the first of them (ingress-nginx, "Ingress Path Matching").
func pathsOf(ingress *networking.Ingress, host string) (paths []ingressPath) {
	rank := func(rule networking.IngressRule) int {
		switch pattern := strings.ToLower(rule.Host); {
		case pattern == host:
			return 3
		case pattern != "" && hostMatches(pattern, host):
			return 2
		case pattern == "":
			return 1
		}
		return 0
	}
	isLoose := slices.ContainsFunc(slices.Collect(maps.Keys(ingress.Annotations)), matchesOtherwise.MatchString)
	best := 0
	for _, rule := range ingress.Spec.Rules {
		best = max(best, rank(rule))
	}
	for _, rule := range ingress.Spec.Rules {
		if best == 0 || rank(rule) != best || rule.HTTP == nil {
			continue
		}
		for _, each := range rule.HTTP.Paths {
			path := ingressPath{path: cmp.Or(each.Path, "/"), backend: each.Backend}
			path.exact = each.PathType != nil && *each.PathType == networking.PathTypeExact
			path.loose = isLoose || each.PathType == nil || *each.PathType == networking.PathTypeImplementationSpecific
			if special := strings.IndexAny(path.path, `*()[]{}|^$\+?`); special >= 0 && !path.exact {
				path.path, path.expression = path.path[:special], true
			}
			paths = append(paths, path)
		}
	}
	if ingress.Spec.DefaultBackend != nil {
		paths = append(paths, ingressPath{expression: true, backend: *ingress.Spec.DefaultBackend}) // after all others
	}
	return paths
}

// addBackend adds the ready endpoints of an Ingress's backend to a route.
func (b *behindReader) addBackend(ctx context.Context, route *release.Route, backend networking.IngressBackend, services []core.Service, namespace string) error {
	if backend.Service == nil {
		route.Unchecked = "it leads to a resource that is no Service"
		return nil
	}
	at := slices.IndexFunc(services, func(service core.Service) bool {
		return service.Namespace == namespace && service.Name == backend.Service.Name
	})
	switch {
	case at >= 0:
	case backend.Service.Port.Name == useAnnotation:
		route.Unchecked = fmt.Sprintf("%s is an action of the Ingress's annotations", backend.Service.Name)
		return nil
	case !b.complete:
		route.Unchecked = fmt.Sprintf("Service/%s is not known", backend.Service.Name)
		return nil
	default:
		route.Broken = fmt.Sprintf("%s leads to Service/%s, which does not exist", route.Via, backend.Service.Name)
		return nil
	}
	var port *core.ServicePort
	for i := range services[at].Spec.Ports {
		each := &services[at].Spec.Ports[i]
		if each.Port == backend.Service.Port.Number || each.Name != "" && each.Name == backend.Service.Port.Name {
			port = each
		}
	}
	return b.addEndpoints(ctx, route, &services[at], port)
}

// addEndpoints adds the ready endpoints of a Service's port to a route, or why they cannot be compared with pods.
func (b *behindReader) addEndpoints(ctx context.Context, route *release.Route, service *core.Service, port *core.ServicePort) error {
	route.Service = serviceObject(service)
	switch {
	case service.Spec.Type == core.ServiceTypeExternalName:
		route.Unchecked = fmt.Sprintf("%s is of type ExternalName", route.Service)
	case len(service.Spec.Selector) == 0:
		route.Unchecked = fmt.Sprintf("%s has no selector", route.Service)
	case port == nil && route.Via != route.Service:
		route.Broken = fmt.Sprintf("%s leads to a port that %s does not have", route.Via, route.Service)
	case port == nil:
		route.Unchecked = fmt.Sprintf("%s does not have the port", route.Service)
	}
	if route.Unchecked != "" || route.Broken != "" {
		return nil
	}
	key := fmt.Sprintf("%s/%s:%d", service.Namespace, service.Name, port.Port)
	if known, read := b.endpoints[key]; read {
		route.Endpoints = known
		return nil
	}
	c := b.client
	endpoints, err := c.readyEndpoints(ctx, service.Namespace, service.Name, *port, b.options)
	if apierrors.IsForbidden(err) {
		pods, listErr := c.Pods(service.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(service.Spec.Selector).String()})
		if apierrors.IsForbidden(listErr) {
			route.Unchecked = fmt.Sprintf("the endpoints of %s may not be listed", route.Service)
			return nil
		}
		if listErr != nil {
			return listErr
		}
		var ready []*core.Pod
		for i := range pods.Items {
			if isReady(&pods.Items[i]) {
				ready = append(ready, &pods.Items[i])
			}
		}
		endpoints, err = selectedEndpoints(ready, *port), nil
	}
	for i := range endpoints {
		endpoints[i].Labelled = endpoints[i].Pod != "" && b.isLabelled(ctx, endpoints[i].Namespace, endpoints[i].Pod)
	}
	route.Endpoints, b.endpoints[key] = endpoints, endpoints
	return err
}

// portOfURL returns the Service's TCP port that a URL names, or else the one of the Service's own URL; nil if it has no TCP port.
func portOfURL(service *core.Service, url *neturl.URL) *core.ServicePort {
	wanted := cmp.Or(url.Port(), map[string]string{"http": "80", "https": "443"}[url.Scheme])
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		if (port.Protocol == "" || port.Protocol == core.ProtocolTCP) && strconv.Itoa(int(port.Port)) == wanted {
			return port
		}
	}
	return urlPort(service)
}

// missingEndpoints returns the Services and Ingresses of the release's live revision that are not in the cluster. It leaves out those of namespaces in which this
// user may not list them, and all if there is no record of the revision or this user may not read it.
func (c *Client) missingEndpoints(ctx context.Context, namespace, name string, services []core.Service, unlisted []string) (missing []release.Object, err error) {
	revision, err := c.appliedRevision(ctx, namespace, name)
	if errors.Is(err, errNoRecord) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ingresses := map[string][]release.Object{} // by namespace
	if err := eachObject(revision.Manifest, "kind", func(object map[string]any) {
		switch own := objectID(object, namespace); {
		case own.Kind == "Service" && own.Group() == "" && !slices.Contains(unlisted, own.Namespace):
			if !slices.ContainsFunc(services, func(live core.Service) bool { return live.Namespace == own.Namespace && live.Name == own.Name }) {
				missing = append(missing, own)
			}
		case own.Kind == "Ingress" && own.Group() == networking.GroupName:
			ingresses[own.Namespace] = append(ingresses[own.Namespace], own)
		}
	}); err != nil {
		return nil, err
	}
	for in, applied := range ingresses {
		live, err := c.ingresses(in).List(ctx, metav1.ListOptions{})
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, own := range applied {
			if !slices.ContainsFunc(live.Items, func(one networking.Ingress) bool { return one.Name == own.Name }) {
				missing = append(missing, own)
			}
		}
	}
	slices.SortFunc(missing, func(a, b release.Object) int { return cmp.Compare(a.String(), b.String()) })
	return missing, nil
}
