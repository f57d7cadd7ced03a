package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func service(name string, kind core.ServiceType, host string, ports ...core.ServicePort) *core.Service {
	s := &core.Service{ObjectMeta: described(name, map[string]string{instanceLabel: "shop"})}
	s.Spec.Type, s.Spec.Ports = kind, ports
	if host != "" {
		s.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{Hostname: host}}
	}
	return s
}

func port(number int32, name string) core.ServicePort {
	return core.ServicePort{Port: number, Name: name}
}

func TestServiceURL(t *testing.T) {
	t.Parallel()
	byIP := service("shop", core.ServiceTypeLoadBalancer, "", port(80, "http"))
	byIP.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{}, {IP: "192.0.2.7"}}
	byIPv6 := service("shop", core.ServiceTypeLoadBalancer, "", port(80, "http"))
	byIPv6.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: "2001:db8::7"}}
	named := func(name string, ports ...core.ServicePort) *core.Service {
		s := service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", ports...)
		s.Annotations = map[string]string{hostnameAnnotation: name}
		return s
	}
	tests := map[string]struct {
		service *core.Service
		want    string
	}{
		"its own name":                    {named("shop.example.com, www.example.com", port(80, "http"), port(443, "https")), "https://shop.example.com"},
		"its own name, plainly":           {named("shop.example.com.", port(80, "http")), "http://shop.example.com"},
		"none yet":                        {service("shop", core.ServiceTypeLoadBalancer, "", port(80, "http")), ""},
		"host":                            {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(80, "http")), "http://lb.example.com"},
		"IP":                              {byIP, "http://192.0.2.7"},
		"IPv6":                            {byIPv6, "http://[2001:db8::7]"},
		"another port":                    {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(8080, "web")), "http://lb.example.com:8080"},
		"443":                             {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(443, "")), "https://lb.example.com"},
		"named https for its application": {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(8443, "https-api")), "https://lb.example.com:8443"},
		"named https":                     {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(8443, "https")), "https://lb.example.com:8443"},
		"both":                            {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(443, "https"), port(80, "http")), "http://lb.example.com"},
		"UDP first":                       {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", core.ServicePort{Port: 53, Protocol: core.ProtocolUDP}, port(80, "http")), "http://lb.example.com"},
		"UDP only":                        {service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", core.ServicePort{Port: 53, Protocol: core.ProtocolUDP}), ""},
	}
	for name, test := range tests {
		if got := serviceURL(test.service); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		services []*core.Service
		want     string
		reported string
		input    bool
	}{
		"assigned":        {[]*core.Service{service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(80, ""))}, "http://lb.example.com", "", false},
		"beside others":   {[]*core.Service{service("a", core.ServiceTypeClusterIP, "", port(80, "")), service("shop-web", core.ServiceTypeLoadBalancer, "lb.example.com", port(80, ""))}, "http://lb.example.com", "", false},
		"its own of two":  {[]*core.Service{service("a", core.ServiceTypeLoadBalancer, "other.example.com", port(80, "")), service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(80, ""))}, "http://lb.example.com", "", false},
		"one of two":      {[]*core.Service{service("a", core.ServiceTypeLoadBalancer, "", port(80, "")), service("b", core.ServiceTypeLoadBalancer, "", port(80, ""))}, "", "", true},
		"datagrams only":  {[]*core.Service{service("game", core.ServiceTypeLoadBalancer, "a.example.com", core.ServicePort{Port: 5000, Protocol: core.ProtocolUDP})}, "", "Service/game has no TCP port: no address outside the cluster", false},
		"inside only":     {[]*core.Service{service("shop", core.ServiceTypeClusterIP, "", port(80, "")), service("peers", "", "", port(80, ""))}, "", "Service/peers is of type ClusterIP, Service/shop is of type ClusterIP: no address outside the cluster", false},
		"without Service": {nil, "", `no Service in namespace "staging" belongs to release "shop"`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			foreign := service("foreign", core.ServiceTypeLoadBalancer, "foreign.example.com", port(80, ""))
			foreign.Labels[instanceLabel] = "another"
			s.Put(foreign)
			for _, service := range test.services {
				s.Put(service)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			var reported []string
			got, err := s.client().Address(ctx, space, "shop", release.Image{}, release.AddressAuto, func(line string) { reported = append(reported, line) })
			var input *release.InputError
			if got != test.want || errors.As(err, &input) != test.input || !test.input && err != nil {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			if diff := cmp.Diff(test.reported, strings.Join(reported, "\n")); diff != "" {
				t.Errorf("reported (-want +got):\n%s", diff)
			}
		})
	}
}

func ingress(name, address string, change func(*networking.Ingress)) *networking.Ingress {
	i := &networking.Ingress{ObjectMeta: described(name, map[string]string{instanceLabel: "shop"})}
	if address != "" {
		i.Status.LoadBalancer.Ingress = []networking.IngressLoadBalancerIngress{{Hostname: address}}
	}
	if change != nil {
		change(i)
	}
	return i
}

func TestAddressByIngress(t *testing.T) {
	t.Parallel()
	hosts := func(names ...string) func(*networking.Ingress) {
		return func(i *networking.Ingress) {
			for _, name := range names {
				i.Spec.Rules = append(i.Spec.Rules, networking.IngressRule{Host: name})
			}
		}
	}
	listens := func(ports string) func(*networking.Ingress) {
		return func(i *networking.Ingress) { i.Annotations = map[string]string{listenAnnotation: ports} }
	}
	inside := service("shop", core.ServiceTypeClusterIP, "", port(80, ""))
	tests := map[string]struct {
		there []runtime.Object
		want  string
		code  int
	}{
		"by its host":    {[]runtime.Object{inside, ingress("shop", "alb.example.com", hosts("*.example.com", "shop.example.com"))}, "http://shop.example.com", 0},
		"by its address": {[]runtime.Object{inside, ingress("shop", "alb.example.com", nil)}, "http://alb.example.com", 0},
		"with TLS":       {[]runtime.Object{inside, ingress("shop", "alb.example.com", func(i *networking.Ingress) { i.Spec.TLS = []networking.IngressTLS{{}} })}, "https://alb.example.com", 0},
		"with a certificate of ACM": {[]runtime.Object{inside, ingress("shop", "alb.example.com", func(i *networking.Ingress) {
			i.Annotations = map[string]string{certificateAnnotation: "arn:aws:acm:eu-central-1:123456789012:certificate/1"}
		})}, "https://alb.example.com", 0},
		"with TLS for another host": {[]runtime.Object{inside, ingress("shop", "alb.example.com", func(i *networking.Ingress) {
			hosts("internal.example.com")(i)
			i.Spec.TLS = []networking.IngressTLS{{Hosts: []string{"shop.example.com"}}}
		})}, "http://internal.example.com", 0},
		"with TLS for all below": {[]runtime.Object{inside, ingress("shop", "alb.example.com", func(i *networking.Ingress) {
			hosts("shop.example.com")(i)
			i.Spec.TLS = []networking.IngressTLS{{Hosts: []string{"*.example.com"}}}
		})}, "https://shop.example.com", 0},
		"at ports of its own":    {[]runtime.Object{inside, ingress("shop", "alb.example.com", listens(`[{"HTTP": 8080}, {"HTTPS": 8443}]`))}, "https://alb.example.com:8443", 0},
		"at a port of its own":   {[]runtime.Object{inside, ingress("shop", "alb.example.com", listens(`[{"HTTP": 8080}]`))}, "http://alb.example.com:8080", 0},
		"at more than one port":  {[]runtime.Object{inside, ingress("shop", "alb.example.com", listens(`[{"HTTPS": 8443}, {"HTTPS": 443}, {"HTTP": 80}]`))}, "https://alb.example.com", 0},
		"beside a load balancer": {[]runtime.Object{service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(80, "")), ingress("shop", "alb.example.com", nil)}, "http://lb.example.com", 0},
		"its own of two":         {[]runtime.Object{inside, ingress("admin", "b.example.com", nil), ingress("shop", "a.example.com", nil)}, "http://a.example.com", 0},
		"one of two":             {[]runtime.Object{inside, ingress("admin", "b.example.com", nil), ingress("web", "a.example.com", nil)}, "", release.ExitInput},
		"without an address":     {[]runtime.Object{inside, ingress("shop", "", nil)}, "", release.ExitFailed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServerInBubble(t)
				s.Put(test.there...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				got, err := s.client().Address(ctx, space, "shop", release.Image{}, release.AddressAuto, func(string) {})
				if got != test.want || release.ExitCode(err) != test.code {
					t.Errorf("got %q, %v, want %q", got, err, test.want)
				}
			})
		})
	}
}

func TestAddressWithoutAccessToIngresses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(service("shop", core.ServiceTypeClusterIP, "", port(80, "")))
	s.Break(func(r *http.Request) int {
		if strings.Contains(r.URL.Path, "ingresses") {
			return http.StatusForbidden
		}
		return 0
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reported := ""
	got, err := s.client().Address(ctx, space, "shop", release.Image{}, release.AddressAuto, func(line string) { reported += line })
	if got != "" || err != nil || !strings.Contains(reported, "no address outside the cluster") {
		t.Errorf("got %q, %v, reported %q", got, err, reported)
	}
}

func TestAddressWaits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(service("shop", core.ServiceTypeLoadBalancer, "", port(80, "")))
	reported := 0
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := s.client().Address(ctx, space, "shop", release.Image{}, release.AddressAuto, func(string) {
		reported++
		s.Drop()
		s.Put(service("shop", core.ServiceTypeLoadBalancer, "lb.example.com", port(80, "")))
	})
	if got != "http://lb.example.com" || err != nil || reported != 1 {
		t.Errorf("got %q, %v, reported %d times", got, err, reported)
	}
}

func TestAddressOutOfTimeSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServerInBubble(t)
		waiting := service("shop", core.ServiceTypeLoadBalancer, "", port(80, ""))
		s.Put(waiting, event("e", waiting.ObjectMeta, "SyncLoadBalancerFailed", "no subnet is tagged"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.client().Address(ctx, space, "shop", release.Image{}, release.AddressAuto, func(string) {})
		if diagnosisOf(t, err).Code != causes.NoAddress {
			t.Errorf("got %v", err)
		}
		if looks := causes.NoAddress.Cause().Example; looks != err.Error() {
			t.Errorf("causes.All shows\n\t%s\nand it says\n\t%s", looks, err)
		}
	})
}

func TestAddressForbidden(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Break(func(*http.Request) int { return http.StatusForbidden })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.client().Address(ctx, space, "shop", release.Image{}, release.AddressAuto, func(string) {})
	if release.ExitCode(err) != release.ExitFault || err == nil {
		t.Errorf("got %v, want a fault", err)
	}
}

// TestAddressOfANamedObject: among several, and without the release's label.
func TestAddressOfANamedObject(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, name := range []string{"web", "admin"} {
		s.Put(service(name, core.ServiceTypeLoadBalancer, name+".example.com", port(80, "")), ingress(name, "alb-"+name+".example.com", nil))
	}
	unlabelled := service("bare", core.ServiceTypeLoadBalancer, "bare.example.com", port(80, ""))
	unlabelled.Labels = nil
	s.Put(unlabelled)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for address, want := range map[release.Address]string{
		"service/admin": "http://admin.example.com", "ingress/web": "http://alb-web.example.com", "service/bare": "http://bare.example.com",
		"service/absent": "", "ingress/absent": "", "https://shop.example.com": "https://shop.example.com", release.AddressNone: "",
	} {
		got, err := s.client().Address(ctx, space, "shop", release.Image{}, address, func(string) {})
		if got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", address, got, err, want)
		}
	}
	_, err := s.client().Address(ctx, space, "shop", release.Image{}, release.AddressAuto, func(string) {})
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "--address") {
		t.Errorf("two load balancers: got %v", err)
	}
}

// TestAddressOfAClusterThatFails: what this user may not read makes the choice unclear, which is bad input; a cluster that fails is a fault.
func TestAddressOfAClusterThatFails(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{http.StatusForbidden: release.ExitInput, http.StatusInternalServerError: release.ExitFault} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(service("one", core.ServiceTypeLoadBalancer, "one.example.com", port(80, "")), service("two", core.ServiceTypeLoadBalancer, "two.example.com", port(80, "")))
			s.Break(func(r *http.Request) int {
				if strings.Contains(r.URL.Path, "/secrets") || strings.Contains(r.URL.Path, "/deployments") || strings.Contains(r.URL.Path, "/statefulsets") || strings.Contains(r.URL.Path, "/daemonsets") {
					return status
				}
				return 0
			})
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if _, err := s.client().Address(ctx, space, "shop", builtImage(t), release.AddressAuto, func(string) {}); release.ExitCode(err) != want {
				t.Errorf("got %v, want exit code %d", err, want)
			}
		})
	}
}

// TestAddressInFrontOfTheImage: of several load balancers or Ingresses, none of which has the release's name, the one that leads to the image's pods is used.
func TestAddressInFrontOfTheImage(t *testing.T) {
	t.Parallel()
	workload := func(name, image string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec: {template: {metadata: {labels: {app: %s, tier: front}}, spec: {containers: [{name: app, image: %q}]}}}
`, name, name, image)
	}
	record := workload("web", builtImage(t).String()) + "---\n" + workload("mail", "localhost:5000/mail@"+digest)
	balancer := func(name, selects string) *core.Service {
		s := service(name, core.ServiceTypeLoadBalancer, name+".example.com", port(80, ""))
		s.Spec.Selector = map[string]string{"app": selects}
		return s
	}
	behind := func(name, selects string) *core.Service {
		s := balancer(name, selects)
		s.Spec.Type = core.ServiceTypeClusterIP
		return s
	}
	through := func(name, to string) *networking.Ingress {
		backend := networking.IngressBackend{Service: &networking.IngressServiceBackend{Name: to}}
		return ingress(name, name+".example.com", func(i *networking.Ingress) {
			paths := &networking.HTTPIngressRuleValue{Paths: []networking.HTTPIngressPath{{Backend: backend}}}
			i.Spec.Rules = []networking.IngressRule{{IngressRuleValue: networking.IngressRuleValue{HTTP: paths}}}
		})
	}
	hosts := func(of *networking.Ingress, hostAndService ...string) *networking.Ingress {
		of.Spec.Rules = nil
		for i := 0; i < len(hostAndService); i += 2 {
			rule := through("", hostAndService[i+1]).Spec.Rules[0]
			rule.Host = hostAndService[i]
			of.Spec.Rules = append(of.Spec.Rules, rule)
		}
		return of
	}
	everything := balancer("any", "web")
	everything.Spec.Selector = nil
	both := balancer("both", "web")
	both.Spec.Selector = map[string]string{"tier": "front"}
	for name, test := range map[string]struct {
		there  []runtime.Object
		image  release.Image
		want   string
		refuse bool
	}{
		"one of two":                {[]runtime.Object{balancer("a-web", "web"), balancer("a-mail", "mail")}, builtImage(t), "http://a-web.example.com", false},
		"both":                      {[]runtime.Object{balancer("a", "web"), both}, builtImage(t), "", true},
		"neither":                   {[]runtime.Object{balancer("a", "mail"), everything}, builtImage(t), "", true},
		"the image is not known":    {[]runtime.Object{balancer("a-web", "web"), balancer("a-mail", "mail")}, release.Image{}, "", true},
		"one of two Ingresses":      {[]runtime.Object{behind("a", "web"), behind("b", "mail"), through("in-a", "a"), through("in-b", "b")}, builtImage(t), "http://in-a.example.com", false},
		"the host that leads to it": {[]runtime.Object{behind("a", "mail"), behind("b", "web"), hosts(through("shop", "a"), "admin.example.com", "a", "shop.example.com", "b")}, builtImage(t), "http://shop.example.com", false},
		"no host leads to it":       {[]runtime.Object{behind("a", "mail"), hosts(through("shop", "a"), "admin.example.com", "a", "www.example.com", "a")}, builtImage(t), "http://admin.example.com", false},
		"two Ingresses to it":       {[]runtime.Object{behind("a", "web"), through("in-a", "a"), through("in-b", "a")}, builtImage(t), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(append(test.there, recordOf(t, 1, "deployed", record))...)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			got, err := s.client().Address(ctx, space, "shop", test.image, release.AddressAuto, func(string) {})
			if got != test.want || (release.ExitCode(err) == release.ExitInput) != test.refuse || !test.refuse && err != nil {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// elsewhere puts a Service or an Ingress into another namespace than the release's, as Helm does for a release of the given namespace.
func elsewhere[T meta.Object](object T, namespace, of string) T {
	object.SetNamespace(namespace)
	object.SetAnnotations(map[string]string{releaseAnnotation: "shop", releaseNamespaceAnnotation: of})
	return object
}

// inEdge is the manifest of a Service in namespace edge.
const inEdge = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: edge}"

// TestAddressInAnotherNamespace: that of a Service or an Ingress that the chart puts there, if the release's own namespace has none.
func TestAddressInAnotherNamespace(t *testing.T) {
	t.Parallel()
	balancer := func(name, namespace, of, host string) *core.Service {
		return elsewhere(service(name, core.ServiceTypeLoadBalancer, host, port(80, "")), namespace, of)
	}
	two := inEdge + "\n---\n" + strings.ReplaceAll(inEdge, "edge", "more")
	for name, test := range map[string]struct {
		manifest string
		objects  []runtime.Object
		address  release.Address
		deny     bool
		want     string
		reported string
		input    bool
	}{
		"a load balancer":                 {inEdge, []runtime.Object{balancer("web", "edge", space, "edge.example.com")}, release.AddressAuto, false, "http://edge.example.com", "", false},
		"an Ingress":                      {strings.Replace(inEdge, "Service", "Ingress", 1), []runtime.Object{elsewhere(ingress("web", "alb.example.com", func(*networking.Ingress) {}), "edge", space)}, release.AddressAuto, false, "http://alb.example.com", "", false},
		"beside one of its own namespace": {inEdge, []runtime.Object{balancer("web", "edge", space, "edge.example.com"), balancer("own", space, space, "own.example.com")}, release.AddressAuto, false, "http://own.example.com", "", false},
		"of a release of that namespace":  {inEdge, []runtime.Object{balancer("web", "edge", "edge", "edge.example.com")}, release.AddressAuto, false, "", `no Service in namespace "staging" belongs to release "shop"`, false},
		"of a label alone":                {inEdge, []runtime.Object{func() *core.Service { s := balancer("web", "edge", "", "x.example.com"); s.Annotations = nil; return s }()}, release.AddressAuto, false, "", `no Service in namespace "staging" belongs to release "shop"`, false},
		"of another release there, here":  {"", []runtime.Object{balancer("web", space, "edge", "edge.example.com")}, release.AddressAuto, false, "", `no Service in namespace "staging" belongs to release "shop"`, false},
		"one that may not be read":        {inEdge, []runtime.Object{balancer("web", "edge", space, "edge.example.com")}, release.AddressAuto, true, "", `the Services in namespace "edge", which the release applies, may not be listed`, false},
		"named":                           {inEdge, []runtime.Object{balancer("web", "edge", space, "edge.example.com")}, "service/web", false, "http://edge.example.com", "", false},
		"named with its namespace":        {two, []runtime.Object{balancer("web", "edge", space, "edge.example.com"), balancer("web", "more", space, "more.example.com")}, "service/more/web", false, "http://more.example.com", "", false},
		"named, and may not be read":      {inEdge, []runtime.Object{balancer("web", "edge", space, "edge.example.com")}, "service/edge/web", true, "", `Service/web in namespace "edge" may not be read`, false},
		"named, of two":                   {two, []runtime.Object{balancer("web", "edge", space, "edge.example.com"), balancer("web", "more", space, "more.example.com")}, "service/web", false, "", "", true},
		"an Ingress that is named":        {strings.Replace(inEdge, "Service", "Ingress", 1), []runtime.Object{elsewhere(ingress("web", "alb.example.com", func(*networking.Ingress) {}), "edge", space)}, "ingress/web", false, "http://alb.example.com", "", false},
		"an Ingress that is nowhere":      {inEdge, nil, "ingress/web", false, "", `there is no Ingress "web" in namespace "staging" or "edge"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(recordOf(t, 1, "deployed", test.manifest))
			s.Put(test.objects...)
			s.Break(func(r *http.Request) int {
				if test.deny && strings.Contains(r.URL.Path, "/namespaces/edge/services") {
					return http.StatusForbidden
				}
				return 0
			})
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			var reported []string
			got, err := s.client().Address(ctx, space, "shop", release.Image{}, test.address, func(line string) { reported = append(reported, line) })
			var input *release.InputError
			if got != test.want || errors.As(err, &input) != test.input || !test.input && err != nil {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			want := test.reported
			if strings.HasPrefix(want, noService) && test.manifest != "" {
				want = strings.Replace(want, `"staging"`, `"staging" or "edge"`, 1)
			}
			if all := strings.Join(reported, "\n"); !test.input && all != want {
				t.Errorf("reported %q, want %q", all, want)
			}
		})
	}
}

// TestHostsInAnotherNamespace: a URL of a Service or an Ingress that the chart puts there is the release's.
func TestHostsInAnotherNamespace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(recordOf(t, 1, "deployed", inEdge))
	s.Put(elsewhere(service("web", core.ServiceTypeLoadBalancer, "edge.example.com", port(80, "")), "edge", space), elsewhere(ingress("web", "alb.example.com", func(*networking.Ingress) {}), "edge", space),
		elsewhere(service("other", core.ServiceTypeLoadBalancer, "other.example.com", port(80, "")), "edge", "edge"))
	got, err := s.client().Hosts(t.Context(), space, "shop")
	if diff := cmp.Diff([]string{"alb.example.com", "edge.example.com"}, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}
