package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations that make the AWS Load Balancer Controller serve HTTPS
// (https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations).
const (
	certificateAnnotation = "alb.ingress.kubernetes.io/certificate-arn"
	listenAnnotation      = "alb.ingress.kubernetes.io/listen-ports"
)

// ingressesOf returns the source of all Ingresses of a namespace.
func (c *Client) ingressesOf(namespace string) store.Source {
	client := c.ingresses(namespace)
	return store.From(&networking.Ingress{}, client.List, client.Watch)
}

// listIngresses lists the Ingresses of the namespaces, of which the first is the release's own. It leaves out those that this user may not list, and none are no error.
func (c *Client) listIngresses(ctx context.Context, namespaces []string, options metav1.ListOptions) (ingresses []networking.Ingress, err error) {
	for _, namespace := range namespaces {
		list, err := c.ingresses(namespace).List(ctx, options)
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ingresses = append(ingresses, list.Items...)
	}
	return ingresses, nil
}

// ingressNamed returns the source of one Ingress.
func (c *Client) ingressNamed(namespace, name string) store.Source {
	client := c.ingresses(namespace)
	return store.From(&networking.Ingress{}, client.List, client.Watch).WithFields("metadata.name=" + name)
}

// ingressFinder returns the endpointFinder that selects among the Ingresses that isOwn reports as the release's. Its reason is always empty.
func ingressFinder(isOwn func(metav1.Object) bool) endpointFinder {
	return func(from []*store.Store, wait addressWait) (found *endpoint, reason string, err error) {
		ingresses := slices.DeleteFunc(allOf[*networking.Ingress](from), func(ingress *networking.Ingress) bool { return !isOwn(ingress) })
		found, err = wait.ingressAmong(ingresses)
		return found, "", err
	}
}

// ingressAmong chooses the release's Ingress, and returns it with its URL; nil if there is none.
func (w addressWait) ingressAmong(ingresses []*networking.Ingress) (*endpoint, error) {
	slices.SortFunc(ingresses, func(a, b *networking.Ingress) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	var endpoints []endpoint
	for _, ingress := range ingresses {
		host, err := w.hostOf(ingress)
		if err != nil {
			return nil, err
		}
		object := release.Object{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Namespace: ingress.Namespace, Name: ingress.Name}
		endpoints = append(endpoints, endpoint{object: object, uid: ingress.UID, created: ingress.CreationTimestamp.Time, url: ingressURL(ingress, host), hosts: ruleHosts(ingress)})
	}
	return w.selectEndpoint(endpoints)
}

// ruleHosts returns the hosts of an Ingress's rules; a host with "*." matches all names one level below it.
func ruleHosts(ingress *networking.Ingress) (hosts []string) {
	for _, rule := range ingress.Spec.Rules {
		if rule.Host != "" && !slices.Contains(hosts, rule.Host) {
			hosts = append(hosts, rule.Host)
		}
	}
	return hosts
}

// backendsOf lists the Services to which an Ingress leads.
func backendsOf(ingress networking.Ingress) (services []string) {
	backends := []networking.IngressBackend{}
	if ingress.Spec.DefaultBackend != nil {
		backends = append(backends, *ingress.Spec.DefaultBackend)
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP != nil {
			for _, path := range rule.HTTP.Paths {
				backends = append(backends, path.Backend)
			}
		}
	}
	for _, backend := range backends {
		if backend.Service != nil {
			services = append(services, backend.Service.Name)
		}
	}
	return services
}

// hostOf returns the host of an Ingress's rules by which the release is asked; "" if there is none: the first that leads to pods of the image, or else the first.
func (w addressWait) hostOf(ingress *networking.Ingress) (string, error) {
	var hosts []networking.IngressRule
	for _, rule := range ingress.Spec.Rules {
		if rule.Host != "" && !strings.HasPrefix(rule.Host, "*") {
			hosts = append(hosts, rule)
		}
	}
	if len(hosts) == 0 {
		return "", nil
	}
	if len(hosts) == 1 {
		return hosts[0].Host, nil
	}
	leads, err := w.leads()
	if err != nil {
		return "", err
	}
	for _, rule := range hosts {
		of := networking.Ingress{Spec: networking.IngressSpec{Rules: []networking.IngressRule{rule}}}
		if slices.ContainsFunc(backendsOf(of), func(service string) bool {
			return leads(release.Object{APIVersion: "v1", Kind: "Service", Namespace: ingress.Namespace, Name: service})
		}) {
			return rule.Host, nil
		}
	}
	return hosts[0].Host, nil
}

// ingressURL returns the URL of an Ingress, "" until its controller has assigned an address: with the host of its rules, because
// an Ingress with hosts does not answer to its address, or else with the address.
func ingressURL(ingress *networking.Ingress, host string) string {
	assigned := ""
	for _, each := range ingress.Status.LoadBalancer.Ingress {
		if assigned = cmp.Or(each.Hostname, each.IP); assigned != "" {
			break
		}
	}
	if assigned == "" {
		return ""
	}
	scheme, port := listener(ingress, host)
	address := bracketIPv6(cmp.Or(host, assigned))
	if port != 0 && !(scheme == "http" && port == 80 || scheme == "https" && port == 443) {
		address = net.JoinHostPort(cmp.Or(host, assigned), strconv.Itoa(port))
	}
	return scheme + "://" + address
}

// listener returns the scheme and the port by which a host of an Ingress is asked: HTTPS where it is served, at the scheme's own port if that is served. The
// port is 0 for the scheme's own.
func listener(ingress *networking.Ingress, host string) (scheme string, port int) {
	var listeners []map[string]int
	if json.Unmarshal([]byte(ingress.Annotations[listenAnnotation]), &listeners) == nil {
		ports := map[string][]int{}
		for _, each := range listeners {
			for protocol, port := range each {
				ports[protocol] = append(ports[protocol], port)
			}
		}
		for _, each := range []struct {
			protocol, scheme string
			usual            int
		}{{"HTTPS", "https", 443}, {"HTTP", "http", 80}} {
			if served := ports[each.protocol]; slices.Contains(served, each.usual) {
				return each.scheme, each.usual
			} else if len(served) > 0 {
				return each.scheme, served[0]
			}
		}
	}
	if ingress.Annotations[certificateAnnotation] != "" || slices.ContainsFunc(ingress.Spec.TLS, func(tls networking.IngressTLS) bool { return covers(tls, host) }) {
		return "https", 0
	}
	return "http", 0
}

// covers reports whether a certificate of an Ingress is for a host. One without hosts is for all (https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ingress-v1/).
func covers(tls networking.IngressTLS, host string) bool {
	return len(tls.Hosts) == 0 || host == "" || slices.ContainsFunc(tls.Hosts, func(each string) bool {
		_, parent, _ := strings.Cut(host, ".")
		return each == host || each == "*."+parent
	})
}
