package release

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Address says where a release is served outside the cluster: AddressAuto, AddressNone, a URL, or the object that has the
// address, as service/NAME or ingress/NAME, or service/NAMESPACE/NAME for one in another namespace than the release's.
type Address string

// The addresses that are neither a URL nor an object.
const (
	AddressAuto Address = "auto" // of its load balancer, or else of its Ingress
	AddressNone Address = "none" // it has none, and nothing waits for one
)

// addressKinds maps the prefix of an Address to the kind of the object.
var addressKinds = map[string]string{"service": "Service", "ingress": "Ingress"}

// servedURL matches an http or https URL with a host, optionally a port and a path, and nothing else.
var servedURL = regexp.MustCompile(`^https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s?#@]*)?$`)

// ParseAddress accepts auto, none, service/NAME, ingress/NAME, both with a namespace before the name, and an http or https URL without a query.
func ParseAddress(text string) (Address, error) {
	address := Address(text)
	if address == AddressAuto || address == AddressNone {
		return address, nil
	}
	if kind, namespace, name := address.Object(); kind != "" {
		_, err := ParseLabel(name)
		if strings.Count(text, "/") > 1 && err == nil {
			_, err = ParseLabel(namespace)
		}
		return address, err
	}
	if !servedURL.MatchString(text) {
		return "", fmt.Errorf("%q is not auto, none, service/NAME, ingress/NAME or an http(s) URL (an object of another namespace is service/NAMESPACE/NAME)", text)
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

// Object returns the kind, the namespace and the name of the object that has the address; the namespace is "" if it is not named. All are "" if the address is
// not an object.
func (a Address) Object() (kind, namespace, name string) {
	kind, name, found := strings.Cut(string(a), "/")
	if !found || a.URL() != "" {
		return "", "", ""
	}
	if before, after, isNamed := strings.Cut(name, "/"); isNamed {
		namespace, name = before, after
	}
	return addressKinds[kind], namespace, name
}

// AddressOf returns the Address that means an object in the release's namespace.
func AddressOf(object Object) Address {
	return Address(strings.ToLower(object.Kind) + "/" + object.Name)
}

// AddressIn returns the Address that means an object in any namespace; own is the release's.
func AddressIn(object Object, own string) Address {
	if object.Namespace == "" || object.Namespace == own {
		return AddressOf(object)
	}
	return Address(strings.ToLower(object.Kind) + "/" + object.Namespace + "/" + object.Name)
}

// HasAddress reports whether an address names the object: its kind and name, and its namespace if the address has one.
func (o Object) HasAddress(address Address) bool {
	kind, namespace, name := address.Object()
	return kind == o.Kind && name == o.Name && (namespace == "" || namespace == o.Namespace)
}

// SelectEndpoint chooses the object whose address is the release's. The candidates are the load balancers, or the Ingresses if
// there is no load balancer. It chooses the only candidate, or the one with the release's name, or else the only one that leads to pods of the
// release's main image, as leads reports; nil if that is not known. It returns false if there is no candidate, and an error that lists them if it
// cannot choose.
//
// own is the release's namespace: the objects there come first, and those of other namespaces only if it has none.
func SelectEndpoint(endpoints []Object, own, release string, leads func(Object) bool) (Object, bool, error) {
	isElsewhere := func(o Object) bool { return o.Namespace != "" && o.Namespace != own }
	if near := slices.DeleteFunc(slices.Clone(endpoints), isElsewhere); len(near) > 0 {
		endpoints = near
	}
	for _, kind := range []string{"Service", "Ingress"} {
		candidates := slices.DeleteFunc(slices.Clone(endpoints), func(o Object) bool { return o.Kind != kind })
		if named := slices.DeleteFunc(slices.Clone(candidates), func(o Object) bool { return o.Name != release }); len(named) > 0 {
			candidates = named // several in as many namespaces
		}
		switch len(candidates) {
		case 0:
			continue
		case 1:
			return candidates[0], true, nil
		}
		leading := slices.DeleteFunc(slices.Clone(candidates), func(o Object) bool { return leads == nil || !leads(o) })
		if len(leading) == 1 {
			return leading[0], true, nil
		}
		return Object{}, false, fmt.Errorf("the release has %d addresses, none is named as the release, and %s of them %s to pods of its main image: %s",
			len(candidates), countOf(len(leading)), map[bool]string{true: "lead", false: "leads"}[len(leading) > 1], namesOf(candidates, own))
	}
	return Object{}, false, nil
}

// countOf returns a number of objects in words, as far as an error needs them.
func countOf(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// namesOf lists objects as addresses; own is the release's namespace.
func namesOf(objects []Object, own string) string {
	names := make([]string, len(objects))
	for i, object := range objects {
		names[i] = string(AddressIn(object, own))
	}
	return strings.Join(names, ", ")
}

// Backend is a port of a ready pod, which gets requests through the cluster.
type Backend struct {
	Namespace string
	Pod       string // "" for an address that is not a pod's
	IP        string
	Port      int
	HTTPS     bool
	Labelled  bool // with Behind, its pod has the release's label app.kubernetes.io/instance
}

// Name returns the name of an endpoint of a Service in a message.
func (b Backend) Name() string {
	if b.Pod == "" {
		return "address " + b.IP
	}
	return fmt.Sprintf("pod %q", b.Pod)
}

// Backends are the pods and Services that serve a release inside its cluster, as the cluster reports them at one moment.
type Backends struct {
	Pods      []BackendPod      // ready pods of the workloads whose pod template names the image
	Workloads []RunningWorkload // these workloads with all their pods, except Jobs and CronJobs
	Services  []BackendService  // the release's Services that select one of these pods
	NoPods    []Object          // the release's Services whose selector matches no pod of the namespace and no pod template of the release
	Missing   []Object          // Services and Ingresses of the release's live revision that are not in the cluster
	Notes     []string          // what could not be read, and pods that have nothing to be asked
}

// BackendPod is a ready pod with a check made from its readiness probe.
type BackendPod struct {
	Backend  // its Port is 0 if the pod has neither a probe nor a port
	Workload Object
	Runs     bool // every container that should run the image names its digest
	HeldBack bool // the pod is held back at an older revision by its workload's settings (OnDelete, a partition)
	Restarts int  // of the containers that are meant to run the image
	Check    Check
	Source   string // what the check was made from: "readinessProbe of container app"
}

// BackendService is a Service of a release with its ready endpoints, on the port that its URL names.
type BackendService struct {
	Object    Object
	URL       string // outside the cluster, "" if it has none
	OnePort   bool   // it has no other TCP port
	Endpoints []Backend
	NoPort    string // name of the port to which it sends requests, if no container of the pods that it selects has it; else ""
}

// Route is a path of an address, with the ready endpoints of the Service to which requests for it go.
type Route struct {
	Via        Object // the Service or the Ingress that has the address
	Service    Object // zero if there is none
	Path       string // a prefix, by whole segments
	Exact      bool   // Path is the whole path
	Expression bool   // Path is the beginning of an expression, so that the paths which it is for are not known; "" is for all that no other route serves
	Loose      bool   // the controller may serve other paths by it than those that begin with Path
	Endpoints  []Backend
	Unchecked  string // why its endpoints cannot be compared with pods, "" if they can
	Broken     string // why requests for it reach no pod, "" if they may
	Foreign    bool   // it is not the release's, and serves the host too
}

// RoutesFor returns those of the routes by which a path is served: the most specific ones; none if none serves it. It is not known if an expression may serve it, or, where none
// serves it, one whose paths its controller decides.
func RoutesFor(routes []Route, path string) (chosen []Route, isKnown bool) {
	path, _, _ = strings.Cut(path, "?")
	longest, isUnknown, isLoose := -2, false, false
	for _, route := range routes {
		prefix := strings.TrimSuffix(route.Path, "/")
		length := len(prefix)
		switch {
		case route.Expression && route.Path == "":
			length = -1 // after all others
		case route.Expression && strings.HasPrefix(path, route.Path):
		case route.Exact && path == route.Path:
			length++ // before a prefix of the same text
		case !route.Exact && !route.Expression && (path == prefix || strings.HasPrefix(path, prefix+"/")):
		default:
			isLoose = isLoose || route.Loose
			continue
		}
		switch {
		case length == longest && len(chosen) > 0 && chosen[0].Foreign != route.Foreign:
			if chosen[0].Foreign { // which of two serves the path, only the controller knows
				chosen, isUnknown = []Route{route}, route.Expression && route.Path != ""
			}
		case length > longest:
			chosen, longest, isUnknown = []Route{route}, length, route.Expression && route.Path != ""
		case length == longest:
			chosen, isUnknown = append(chosen, route), isUnknown || route.Expression && route.Path != ""
		}
	}
	if isUnknown {
		return nil, false
	}
	return chosen, len(chosen) > 0 || !isLoose
}

// NoPathServes says that none of the release's routes serves a path.
func NoPathServes(routes []Route, path string) string {
	var names []string
	for _, route := range routes {
		if name := route.Via.String(); !route.Foreign && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "no path of " + strings.Join(names, ", ") + " serves " + path
}

// LeadsElsewhere says why requests for routes that serve one path may reach something else than own pods, which are described by what one of them is, or else why that is unknown; "" and "" if
// one of the routes leads to own pods alone.
func LeadsElsewhere(routes []Route, isOwn func(Backend) bool, own string) (foreign, unknown string) {
	for _, route := range routes {
		through := route.Service.String()
		if route.Via != route.Service {
			through = fmt.Sprintf("%s, to which %s leads,", route.Service, route.Via)
		}
		stranger := slices.IndexFunc(route.Endpoints, func(endpoint Backend) bool { return !isOwn(endpoint) })
		switch {
		case route.Unchecked != "":
			unknown = route.Unchecked
		case route.Broken != "":
			foreign = cmp.Or(foreign, route.Broken)
		case len(route.Endpoints) == 0:
			foreign = cmp.Or(foreign, through+" has no ready endpoint")
		case stranger < 0:
			return "", ""
		case route.Endpoints[stranger].Labelled:
			unknown = fmt.Sprintf("%s sends requests to %s, which is the release's and runs another image, as a proxy does", through, route.Endpoints[stranger].Name())
		default:
			foreign = cmp.Or(foreign, fmt.Sprintf("%s sends requests to %s, which is not %s", through, route.Endpoints[stranger].Name(), own))
		}
	}
	return foreign, unknown
}

// SelectService returns the Service whose pods a file of checks is for: the one that the address names or that has the URL, or else
// the only one, or the one named as the release. Those in the release's namespace, own, come first. It returns false if there is none, and an error that lists them if none can be chosen.
func (b Backends) SelectService(address Address, url, own, release string) (BackendService, bool, error) {
	objects := make([]Object, 0, len(b.Services))
	for _, service := range b.Services {
		if service.Object.HasAddress(address) || url != "" && service.URL == url {
			return service, true, nil
		}
		objects = append(objects, service.Object)
	}
	chosen, found, err := SelectEndpoint(objects, own, release, nil) // all select pods of the image
	if err != nil || !found {
		return BackendService{}, false, err
	}
	return b.Services[slices.Index(objects, chosen)], true, nil
}
