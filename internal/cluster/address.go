package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// instanceLabel names the release on its objects
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).
const instanceLabel = "app.kubernetes.io/instance"

// Address is the URL at which the release's Service of type LoadBalancer is served; it waits, by watch, until one is
// assigned. "" if the release has no such Service: then it says so through report, and nothing is waited for.
//
// Among several load balancers it is the one named as the release; if none is, that is an *release.InputError. Time that
// runs out is a *release.Failure.
func (c *Client) Address(ctx context.Context, namespace, name string, report func(string)) (string, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	services := follow(watching, c.servicesOf(namespace, name), func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	told := ""
	tell := func(text string) {
		if text != told {
			told = text
			report(text)
		}
	}
	for {
		now := services.state()
		if now.synced {
			service, err := pick(all[*core.Service](services), namespace, name, tell)
			if err != nil || service == nil {
				return "", err
			}
			if url := urlOf(service); url != "" {
				return url, nil
			}
			tell(fmt.Sprintf("waiting for the address of Service/%s", service.Name))
		} else if permanent(now.failing) {
			return "", c.fault(ctx, now.failing, "reading the Services of release %q in namespace %q", name, namespace)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", c.unaddressed(ctx, services, namespace, name)
		}
	}
}

func (c *Client) servicesOf(namespace, name string) source {
	only := labels.SelectorFromSet(labels.Set{instanceLabel: name}).String()
	client := c.kube.CoreV1().Services(namespace)
	return source{
		list: func(ctx context.Context, o meta.ListOptions) (runtime.Object, error) {
			o.LabelSelector = only
			return client.List(ctx, o)
		},
		watch: func(ctx context.Context, o meta.ListOptions) (watch.Interface, error) {
			o.LabelSelector = only
			return client.Watch(ctx, o)
		},
		kind: &core.Service{},
	}
}

// pick takes the release's load balancer; nil if it has none.
func pick(services []*core.Service, namespace, name string, tell func(string)) (*core.Service, error) {
	slices.SortFunc(services, func(a, b *core.Service) int { return cmp.Compare(a.Name, b.Name) })
	var balancers []*core.Service
	var others, names []string
	for _, service := range services {
		if service.Spec.Type == core.ServiceTypeLoadBalancer {
			balancers, names = append(balancers, service), append(names, service.Name)
		} else {
			others = append(others, fmt.Sprintf("Service/%s is of type %s", service.Name, cmp.Or(service.Spec.Type, core.ServiceTypeClusterIP)))
		}
	}
	switch {
	case len(services) == 0:
		tell(fmt.Sprintf("no Service in namespace %q is labelled %s=%s", namespace, instanceLabel, name))
		return nil, nil
	case len(balancers) == 0:
		tell(strings.Join(others[:min(maxNamed, len(others))], ", ") + ": no address outside the cluster")
		return nil, nil
	case len(balancers) == 1:
		return balancers[0], nil
	}
	if own := slices.Index(names, name); own >= 0 {
		return balancers[own], nil
	}
	return nil, release.BadInput("--release (INPUT_RELEASE)", fmt.Sprintf("release %q has %d load balancers: %s", name, len(names), strings.Join(names[:min(maxNamed, len(names))], ", ")),
		"name the one to ask with --url")
}

// urlOf is where a load balancer is served, "" until it has an address. Plain HTTP is preferred where both are served: a
// certificate is for the service's own name, which the load balancer's address is not.
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
	scheme, port := "", int32(0)
	for _, candidate := range service.Spec.Ports {
		if candidate.Protocol != "" && candidate.Protocol != core.ProtocolTCP {
			continue
		}
		if own := schemeOf(candidate); scheme == "" || scheme == "https" && own == "http" {
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
func (c *Client) unaddressed(ctx context.Context, services *feed, namespace, name string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("waiting for the address of release %q: %w", name, context.Canceled)
	}
	now := services.state()
	if !now.synced {
		return c.fault(ctx, cmp.Or(now.failing, context.DeadlineExceeded), "reading the Services of release %q in namespace %q", name, namespace)
	}
	service, err := pick(all[*core.Service](services), namespace, name, func(string) {})
	if err != nil || service == nil {
		return err
	}
	object := release.Object{APIVersion: "v1", Kind: "Service", Namespace: namespace, Name: service.Name}
	diagnosis := c.diagnose(ctx, finding{object: object, uid: service.UID, code: release.NoAddress,
		reason: "NoAddress", message: "no load balancer has been assigned"})
	if last := len(diagnosis.Events); last > 0 {
		diagnosis.Message += "; last event: " + diagnosis.Events[last-1]
	}
	return &release.Failure{What: fmt.Sprintf("release %q in namespace %q has no external address in time", name, namespace),
		Err: &RolloutError{diagnosis}, Do: diagnosis.Try}
}
