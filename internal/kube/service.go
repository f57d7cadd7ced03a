package kube

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hostnameAnnotation has the DNS names that ExternalDNS gives a load balancer, separated by commas
// (https://kubernetes-sigs.github.io/external-dns/latest/docs/annotations/annotations).
const hostnameAnnotation = "external-dns.alpha.kubernetes.io/hostname"

func (c *Client) servicesOf(namespace string) store.Source {
	client := c.services(namespace)
	return store.From(&core.Service{}, client.List, client.Watch)
}

// serviceObject identifies a Service.
func serviceObject(service *core.Service) release.Object {
	return release.Object{APIVersion: "v1", Kind: "Service", Namespace: service.Namespace, Name: service.Name}
}

// listServices lists the Services of the namespaces, of which the first is the release's own. Of the others, it returns those whose Services this user may not list.
func (c *Client) listServices(ctx context.Context, namespaces []string, options metav1.ListOptions) (services []core.Service, unlisted []string, err error) {
	for i, namespace := range namespaces {
		list, err := c.services(namespace).List(ctx, options)
		if i > 0 && apierrors.IsForbidden(err) {
			unlisted = append(unlisted, namespace)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		services = append(services, list.Items...)
	}
	return services, unlisted, nil
}

func (c *Client) serviceNamed(namespace, name string) store.Source {
	client := c.services(namespace)
	return store.From(&core.Service{}, client.List, client.Watch).WithFields("metadata.name=" + name)
}

// noService begins the reason of namespaces without a Service of the release.
const noService = "no Service"

// loadBalancerFinder finds the release's Service of type LoadBalancer. If it has none, reason lists the Services that it has.
func loadBalancerFinder(isOwn func(metav1.Object) bool) endpointFinder {
	return func(from []*store.Store, wait addressWait) (found *endpoint, reason string, err error) {
		services := slices.DeleteFunc(allOf[*core.Service](from), func(service *core.Service) bool { return !isOwn(service) })
		return wait.loadBalancerAmong(services)
	}
}

// loadBalancerAmong returns the address of the Service of type LoadBalancer. If there is none, reason says so. If there are several and
// selectEndpoint chooses none, it returns an error.
func (w addressWait) loadBalancerAmong(services []*core.Service) (found *endpoint, reason string, err error) {
	slices.SortFunc(services, func(a, b *core.Service) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	var balancers []endpoint
	var others []string
	for _, service := range services {
		switch {
		case service.Spec.Type == core.ServiceTypeLoadBalancer && urlPort(service) == nil:
			others = append(others, fmt.Sprintf("Service/%s has no TCP port", service.Name))
		case service.Spec.Type == core.ServiceTypeLoadBalancer:
			balancers = append(balancers, endpoint{object: serviceObject(service), uid: service.UID, created: service.CreationTimestamp.Time, url: serviceURL(service)})
		default:
			others = append(others, fmt.Sprintf("Service/%s is of type %s", service.Name, cmp.Or(service.Spec.Type, core.ServiceTypeClusterIP)))
		}
	}
	switch {
	case len(services) == 0:
		return nil, fmt.Sprintf(noService+" in namespace %s belongs to release %q", quoted(w.searched), w.name), nil
	case len(balancers) == 0:
		return nil, strings.Join(others[:min(maxNames, len(others))], ", ") + ": no address outside the cluster", nil
	}
	found, err = w.selectEndpoint(balancers)
	return found, "", err
}

// serviceURL returns the URL of a load balancer, "" until it has an address: with its DNS name if ExternalDNS gives it one, else with
// the address. If both http and https are served, https is used with a DNS name and http with an address, which no certificate
// covers.
func serviceURL(service *core.Service) string {
	host := ""
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if host = cmp.Or(ingress.Hostname, ingress.IP); host != "" {
			break
		}
	}
	if host == "" {
		return ""
	}
	preferred := "http"
	if name, _, _ := strings.Cut(service.Annotations[hostnameAnnotation], ","); name != "" {
		host, preferred = strings.TrimSuffix(strings.TrimSpace(name), "."), "https"
	}
	chosen := portFor(service, preferred)
	if chosen == nil {
		return ""
	}
	scheme, port := schemeOf(*chosen), chosen.Port
	if scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return scheme + "://" + bracketIPv6(host)
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// urlPort returns the port of a Service's URL, nil if the Service has no TCP port.
func urlPort(service *core.Service) *core.ServicePort {
	if service.Annotations[hostnameAnnotation] != "" {
		return portFor(service, "https")
	}
	return portFor(service, "http")
}

// portFor returns the Service's first TCP port with the preferred scheme, otherwise its first TCP port; nil if it has none.
func portFor(service *core.Service, preferred string) (chosen *core.ServicePort) {
	for i := range service.Spec.Ports {
		candidate := &service.Spec.Ports[i]
		if candidate.Protocol != "" && candidate.Protocol != core.ProtocolTCP {
			continue
		}
		if chosen == nil || schemeOf(*chosen) != preferred && schemeOf(*candidate) == preferred {
			chosen = candidate
		}
	}
	return chosen
}

func schemeOf(port core.ServicePort) string {
	if port.Port == 443 || port.Name == "https" || strings.HasPrefix(port.Name, "https-") || port.AppProtocol != nil && strings.EqualFold(*port.AppProtocol, "https") {
		return "https"
	}
	return "http"
}

// bracketIPv6 puts an IPv6 address into brackets, as a URL requires; any other host is unchanged.
func bracketIPv6(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
