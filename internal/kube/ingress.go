package kube

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Annotations by which AWS Load Balancer Controller is told to serve HTTPS
// (https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations).
const (
	certificateAnnotation = "alb.ingress.kubernetes.io/certificate-arn"
	listenAnnotation      = "alb.ingress.kubernetes.io/listen-ports"
)

func (c *Client) ingressesOf(namespace, name string) store.Source {
	only := labels.SelectorFromSet(labels.Set{instanceLabel: name}).String()
	client := c.Kube.NetworkingV1().Ingresses(namespace)
	return store.From(&networking.Ingress{}, client.List, client.Watch).WithLabels(only)
}

// ingressOf takes the release's Ingress.
func ingressOf(name string) func(*store.Store) (*door, string, error) {
	return func(f *store.Store) (*door, string, error) {
		ingresses := store.All[*networking.Ingress](f)
		slices.SortFunc(ingresses, func(a, b *networking.Ingress) int { return cmp.Compare(a.Name, b.Name) })
		var doors []door
		for _, ingress := range ingresses {
			object := release.Object{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Namespace: ingress.Namespace, Name: ingress.Name}
			doors = append(doors, door{object, ingress.UID, urlOfIngress(ingress)})
		}
		if len(doors) == 0 {
			return nil, "", nil
		}
		found, err := own(doors, name, "Ingresses")
		return found, "", err
	}
}

// urlOfIngress is where an Ingress is served, "" until its controller has given it an address: by the first host of its rules,
// for it answers under no other name, else by the address.
func urlOfIngress(ingress *networking.Ingress) string {
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
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if len(ingress.Spec.TLS) > 0 || ingress.Annotations[certificateAnnotation] != "" || strings.Contains(ingress.Annotations[listenAnnotation], "HTTPS") {
		return "https://" + host
	}
	return "http://" + host
}
