package kube

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	networking "k8s.io/api/networking/v1"
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

// ingressNamed returns the source of one Ingress.
func (c *Client) ingressNamed(namespace, name string) store.Source {
	client := c.ingresses(namespace)
	return store.From(&networking.Ingress{}, client.List, client.Watch).WithFields("metadata.name=" + name)
}

// findIngress finds the release's Ingress.
func findIngress(isOwn func(metav1.Object) bool) findEndpoint {
	return func(from *store.Store, wait addressWait) (found *endpoint, reason string, err error) {
		ingresses := slices.DeleteFunc(store.All[*networking.Ingress](from), func(ingress *networking.Ingress) bool { return !isOwn(ingress) })
		found, err = wait.ingressAmong(ingresses)
		return found, "", err
	}
}

// ingressAmong chooses the release's Ingress, and returns it with its URL; nil if there is none.
func (w addressWait) ingressAmong(ingresses []*networking.Ingress) (*endpoint, error) {
	slices.SortFunc(ingresses, func(a, b *networking.Ingress) int { return cmp.Compare(a.Name, b.Name) })
	var endpoints []endpoint
	for _, ingress := range ingresses {
		object := release.Object{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Namespace: ingress.Namespace, Name: ingress.Name}
		endpoints = append(endpoints, endpoint{object: object, uid: ingress.UID, created: ingress.CreationTimestamp.Time, url: ingressURL(ingress), hosts: ruleHosts(ingress)})
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

// ingressURL returns the URL of an Ingress, "" until its controller has assigned an address: with the first host of its rules, because
// an Ingress with hosts does not answer to its address, or else with the address.
func ingressURL(ingress *networking.Ingress) string {
	host := ""
	for _, assigned := range ingress.Status.LoadBalancer.Ingress {
		if host = cmp.Or(assigned.Hostname, assigned.IP); host != "" {
			break
		}
	}
	if host == "" {
		return ""
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.Host != "" && !strings.HasPrefix(rule.Host, "*") {
			host = rule.Host
			break
		}
	}
	scheme := "http"
	if len(ingress.Spec.TLS) > 0 || ingress.Annotations[certificateAnnotation] != "" || strings.Contains(ingress.Annotations[listenAnnotation], "HTTPS") {
		scheme = "https"
	}
	return scheme + "://" + bracketIPv6(host)
}
