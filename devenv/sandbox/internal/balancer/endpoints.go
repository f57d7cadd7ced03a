package balancer

import (
	"net"
	"slices"
	"strconv"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
)

// backends lists the addresses, host:port, that serve one port of a Service: ready endpoints that are not terminating. If
// there are none it lists those that terminate but still serve, as kube-proxy does (KEP-1669), so that the last pod of a
// Service answers until its replacement does.
func backends(port core.ServicePort, parts []*discovery.EndpointSlice) []string {
	var ready, leaving []string
	for _, slice := range parts {
		if slice.AddressType != discovery.AddressTypeIPv4 {
			continue
		}
		number := portOf(slice, port.Name)
		if number == "" {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if len(endpoint.Addresses) == 0 {
				continue
			}
			// An endpoint's addresses are interchangeable (EndpointSlice v1): use the first.
			address := net.JoinHostPort(endpoint.Addresses[0], number)
			conditions := endpoint.Conditions
			switch {
			case conditionOr(conditions.Ready, true) && !conditionOr(conditions.Terminating, false):
				ready = append(ready, address)
			case conditionOr(conditions.Serving, false) && conditionOr(conditions.Terminating, false):
				leaving = append(leaving, address)
			}
		}
	}
	if len(ready) == 0 {
		ready = leaving
	}
	slices.Sort(ready)
	return slices.Compact(ready)
}

// conditionOr returns a condition, or absent if it is not set.
func conditionOr(condition *bool, absent bool) bool {
	if condition == nil {
		return absent
	}
	return *condition
}

// portOf returns the number that a Service's port has in the pods.
func portOf(slice *discovery.EndpointSlice, name string) string {
	for _, port := range slice.Ports {
		if port.Port != nil && (port.Name == nil && name == "" || port.Name != nil && *port.Name == name) {
			return strconv.Itoa(int(*port.Port))
		}
	}
	return ""
}
