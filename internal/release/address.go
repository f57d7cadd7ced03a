package release

import (
	"fmt"
	"regexp"
	"strings"
)

// Address says where a release is served outside the cluster: AddressAuto, AddressNone, a URL, or the object that has the address,
// as service/NAME or ingress/NAME.
type Address string

// The addresses that name nothing.
const (
	AddressAuto Address = "auto" // of its load balancer, or else of its Ingress
	AddressNone Address = "none" // it has none, and nothing waits for one
)

// addressKinds are the kinds of objects that have an address, by how an Address spells them.
var addressKinds = map[string]string{"service": "Service", "ingress": "Ingress"}

// servedURL is an http or https URL with a host, perhaps a port and a path, and nothing else.
var servedURL = regexp.MustCompile(`^https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s?#@]*)?$`)

// ParseAddress accepts auto, none, service/NAME, ingress/NAME, and an http or https URL without a query.
func ParseAddress(text string) (Address, error) {
	address := Address(text)
	if address == AddressAuto || address == AddressNone {
		return address, nil
	}
	if kind, name := address.Object(); kind != "" {
		_, err := ParseLabel(name)
		return address, err
	}
	if !servedURL.MatchString(text) {
		return "", fmt.Errorf("%q is not auto, none, service/NAME, ingress/NAME or an http(s) URL", text)
	}
	return address, nil
}

// URL returns the address if it is a URL, or else "".
func (a Address) URL() string {
	if strings.Contains(string(a), "://") {
		return string(a)
	}
	return ""
}

// Object returns the kind and the name of the object that has the address; "" if the address names none.
func (a Address) Object() (kind, name string) {
	kind, name, found := strings.Cut(string(a), "/")
	if !found || a.URL() != "" {
		return "", ""
	}
	return addressKinds[kind], name
}

// AddressOf is the address that an object has.
func AddressOf(object Object) Address {
	return Address(strings.ToLower(object.Kind) + "/" + object.Name)
}

// SelectEndpoint returns the object whose address is a release's: among its load balancers, or if it has none among its Ingresses,
// the only one, or else the one named as the release. It returns false if there is no object, and an error that lists them if none
// can be chosen.
func SelectEndpoint(endpoints []Object, release string) (Object, bool, error) {
	for _, kind := range []string{"Service", "Ingress"} {
		var names []string
		for _, candidate := range endpoints {
			if candidate.Kind != kind {
				continue
			}
			if candidate.Name == release {
				return candidate, true, nil
			}
			names = append(names, string(AddressOf(candidate)))
		}
		switch len(names) {
		case 0:
			continue
		case 1:
			for _, candidate := range endpoints {
				if candidate.Kind == kind {
					return candidate, true, nil
				}
			}
		}
		return Object{}, false, fmt.Errorf("the release has %d addresses, and none is named as the release: %s", len(names), strings.Join(names, ", "))
	}
	return Object{}, false, nil
}
