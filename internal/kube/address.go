package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// instanceLabel names the release on its objects
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).
const instanceLabel = "app.kubernetes.io/instance"

// Address is the URL at which the release is served outside the cluster: by its Service of type LoadBalancer, or else by its
// Ingress. It waits, by watch, until an address is assigned. "" if the release has neither: then it says so through report, and
// nothing is waited for. Who may not read Ingresses is taken to have none.
//
// Among several load balancers or Ingresses it is the one named as the release; if none is, that is an *release.InputError. Time
// that runs out is a *release.Failure.
func (c *Client) Address(ctx context.Context, namespace, name string, report func(string)) (string, error) {
	told := ""
	tell := func(text string) {
		if text != told {
			told = text
			report(text)
		}
	}
	url, inside, err := c.served(ctx, c.servicesOf(namespace, name), balancerOf(namespace, name), namespace, name, tell)
	if url != "" || err != nil {
		return url, err
	}
	url, _, err = c.served(ctx, c.ingressesOf(namespace, name), ingressOf(name), namespace, name, tell)
	if forbidden := new(release.Fault); errors.As(err, &forbidden) && (apierrors.IsForbidden(err) || apierrors.IsNotFound(err)) {
		err = nil
	}
	if url == "" && err == nil {
		tell(inside)
	}
	return url, err
}

// door is one way into a release.
type door struct {
	object release.Object
	uid    types.UID
	url    string // "" until an address is assigned
}

// served waits until the door that pick takes has an address. If it takes none, inside says what there is instead.
func (c *Client) served(ctx context.Context, from store.Source, pick func(*store.Store) (*door, string, error), namespace, name string, tell func(string)) (url, inside string, err error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	doors := store.Follow(watching, from, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		var waits *door
		if now := doors.State(); now.Synced {
			if waits, inside, err = pick(doors); err != nil || waits == nil {
				return "", inside, err
			}
			if waits.url != "" {
				return waits.url, "", nil
			}
			tell(fmt.Sprintf("waiting for the address of %s", waits.object))
		} else if now.Refused() {
			return "", "", c.Fault(ctx, now.Err, "reading the addresses of release %q in namespace %q", name, namespace)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", "", c.unaddressed(ctx, doors, waits, namespace, name)
		}
	}
}

func (c *Client) servicesOf(namespace, name string) store.Source {
	only := labels.SelectorFromSet(labels.Set{instanceLabel: name}).String()
	client := c.Kube.CoreV1().Services(namespace)
	return store.From(&core.Service{}, client.List, client.Watch).WithLabels(only)
}

// balancerOf takes the release's load balancer.
func balancerOf(namespace, name string) func(*store.Store) (*door, string, error) {
	return func(f *store.Store) (*door, string, error) {
		services := store.All[*core.Service](f)
		slices.SortFunc(services, func(a, b *core.Service) int { return cmp.Compare(a.Name, b.Name) })
		var balancers []door
		var others []string
		for _, service := range services {
			if service.Spec.Type == core.ServiceTypeLoadBalancer {
				object := release.Object{APIVersion: "v1", Kind: "Service", Namespace: namespace, Name: service.Name}
				balancers = append(balancers, door{object, service.UID, urlOf(service)})
			} else {
				others = append(others, fmt.Sprintf("Service/%s is of type %s", service.Name, cmp.Or(service.Spec.Type, core.ServiceTypeClusterIP)))
			}
		}
		switch {
		case len(services) == 0:
			return nil, fmt.Sprintf("no Service in namespace %q is labelled %s=%s", namespace, instanceLabel, name), nil
		case len(balancers) == 0:
			return nil, strings.Join(others[:min(maxNamed, len(others))], ", ") + ": no address outside the cluster", nil
		}
		found, err := own(balancers, name, "load balancers")
		return found, "", err
	}
}

// own is the door named as the release, if there are several.
func own(doors []door, name, what string) (*door, error) {
	var names []string
	for i, one := range doors {
		if len(doors) == 1 || one.object.Name == name {
			return &doors[i], nil
		}
		names = append(names, one.object.Name)
	}
	return nil, release.BadInput("--release (INPUT_RELEASE)", fmt.Sprintf("release %q has %d %s: %s", name, len(names), what, strings.Join(names[:min(maxNamed, len(names))], ", ")),
		"name the one to ask with --url")
}

// hostnameAnnotation is how ExternalDNS is told the names of a load balancer, separated by commas
// (https://kubernetes-sigs.github.io/external-dns/latest/docs/annotations/annotations).
const hostnameAnnotation = "external-dns.alpha.kubernetes.io/hostname"

// urlOf is where a load balancer is served, "" until it has an address: by the name that it is to have, else by the address.
// With the address alone plain HTTP is preferred where both are served: a certificate is for the service's own name.
func urlOf(service *core.Service) string {
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
	scheme, port := "", int32(0)
	for _, candidate := range service.Spec.Ports {
		if candidate.Protocol != "" && candidate.Protocol != core.ProtocolTCP {
			continue
		}
		if own := schemeOf(candidate); scheme == "" || scheme != preferred && own == preferred {
			scheme, port = own, candidate.Port
		}
	}
	switch {
	case scheme == "":
		return ""
	case scheme == "http" && port == 80, scheme == "https" && port == 443:
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func schemeOf(port core.ServicePort) string {
	if port.Port == 443 || port.Name == "https" || port.AppProtocol != nil && strings.EqualFold(*port.AppProtocol, "https") {
		return "https"
	}
	return "http"
}

// unaddressed is the end of time: with the cloud's own last word, which often says what is missing.
func (c *Client) unaddressed(ctx context.Context, doors *store.Store, waits *door, namespace, name string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("waiting for the address of release %q: %w", name, context.Canceled)
	}
	if waits == nil {
		return c.Fault(ctx, cmp.Or(doors.State().Err, context.DeadlineExceeded), "reading the addresses of release %q in namespace %q", name, namespace)
	}
	diagnosis := c.diagnose(ctx, finding{object: waits.object, uid: waits.uid, code: causes.NoAddress,
		reason: "NoAddress", message: "no load balancer has been assigned"})
	if last := len(diagnosis.Events); last > 0 {
		diagnosis.Message += "; last event: " + diagnosis.Events[last-1]
	}
	return &release.Failure{What: fmt.Sprintf("release %q in namespace %q has no external address in time", name, namespace),
		Err: &RolloutError{diagnosis}, Do: diagnosis.Advice}
}
