package balancer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
)

func point[T any](v T) *T { return &v }

func endpoint(address string, ready, serving, terminating *bool) discovery.Endpoint {
	return discovery.Endpoint{Addresses: []string{address}, Conditions: discovery.EndpointConditions{Ready: ready, Serving: serving, Terminating: terminating}}
}

func TestBackends(t *testing.T) {
	t.Parallel()
	yes, no := point(true), point(false)
	http := core.ServicePort{Name: "http", Port: 80}
	slice := func(endpoints ...discovery.Endpoint) *discovery.EndpointSlice {
		return &discovery.EndpointSlice{
			AddressType: discovery.AddressTypeIPv4, Endpoints: endpoints,
			Ports: []discovery.EndpointPort{{Name: point("metrics"), Port: point(int32(9090))}, {Name: point("http"), Port: point(int32(8080))}},
		}
	}
	sixth := slice(endpoint("fd00::1", yes, yes, no))
	sixth.AddressType = discovery.AddressTypeIPv6
	unnamed := slice(endpoint("10.0.0.1", yes, yes, no))
	unnamed.Ports = []discovery.EndpointPort{{Port: point(int32(8080))}}
	for _, c := range []struct {
		name   string
		port   core.ServicePort
		slices []*discovery.EndpointSlice
		want   []string
	}{
		{"none", http, nil, nil},
		{"ready", http, []*discovery.EndpointSlice{slice(endpoint("10.0.0.2", yes, yes, no), endpoint("10.0.0.1", yes, yes, no))}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{"absent conditions mean ready", http, []*discovery.EndpointSlice{slice(endpoint("10.0.0.1", nil, nil, nil))}, []string{"10.0.0.1:8080"}},
		{"not ready", http, []*discovery.EndpointSlice{slice(endpoint("10.0.0.1", no, no, no))}, nil},
		{"terminating beside ready", http, []*discovery.EndpointSlice{slice(endpoint("10.0.0.1", no, yes, yes), endpoint("10.0.0.2", yes, yes, no))}, []string{"10.0.0.2:8080"}},
		{"terminating alone still serves", http, []*discovery.EndpointSlice{slice(endpoint("10.0.0.1", no, yes, yes))}, []string{"10.0.0.1:8080"}},
		{"terminating alone and done", http, []*discovery.EndpointSlice{slice(endpoint("10.0.0.1", no, no, yes))}, nil},
		{"one endpoint in two slices", http, []*discovery.EndpointSlice{slice(endpoint("10.0.0.1", yes, yes, no)), slice(endpoint("10.0.0.1", yes, yes, no))}, []string{"10.0.0.1:8080"}},
		{"IPv6", http, []*discovery.EndpointSlice{sixth}, nil},
		{"another port's name", core.ServicePort{Name: "admin"}, []*discovery.EndpointSlice{slice(endpoint("10.0.0.1", yes, yes, no))}, nil},
		{"no name", core.ServicePort{}, []*discovery.EndpointSlice{unnamed}, []string{"10.0.0.1:8080"}},
		{"no address", http, []*discovery.EndpointSlice{slice(discovery.Endpoint{})}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, backends(c.port, c.slices)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
