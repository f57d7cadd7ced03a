// Package balancer gives every Service of type LoadBalancer an address that the host can reach, and forwards connections
// from there to the Service's pods, as a cloud's network load balancer with IP targets does.
package balancer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/forward"
)

// Listen opens a listening socket on the host.
type Listen func(address string) (net.Listener, error)

// Balancer serves the LoadBalancer Services of one cluster.
type Balancer struct {
	client kubernetes.Interface
	listen Listen
	dial   forward.Dial
	// delay is how long after its creation a Service gets its address.
	delay time.Duration
	log   *slog.Logger

	services listers.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	queue    workqueue.TypedRateLimitingInterface[string]

	mu     sync.Mutex
	served map[string]*openService
}

// LagAnnotation is an annotation of a Service: how long pods that are no longer backends still get new connections, such as 2m. A Network Load
// Balancer with IP targets takes about that long (aws-load-balancer-controller, issue 2366).
const LagAnnotation = "sandbox.onedigest.dev/deregistration-lag"

// openService is a Service that has an address.
type openService struct {
	address netip.Addr
	ports   map[int32]*forward.Server
	left    map[string]time.Time // when a backend was removed, by its address; for Services with LagAnnotation
}

// New makes a balancer; Run starts it. Dial reaches the pods.
func New(client kubernetes.Interface, listen Listen, dial forward.Dial, delay time.Duration, log *slog.Logger) *Balancer {
	return &Balancer{client: client, listen: listen, dial: dial, delay: delay, log: log, served: map[string]*openService{}}
}

// Run serves until the context ends, then closes every listener and connection.
func (b *Balancer) Run(ctx context.Context) error {
	b.queue = workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](20*time.Millisecond, 2*time.Second))
	factory := informers.NewSharedInformerFactory(b.client, 0)
	b.services = factory.Core().V1().Services().Lister()
	b.slices = factory.Discovery().V1().EndpointSlices().Lister()
	services, err := factory.Core().V1().Services().Informer().AddEventHandler(b.enqueue(nameOf))
	if err != nil {
		return fmt.Errorf("watching Services: %w", err)
	}
	parts, err := factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(b.enqueue(serviceOf))
	if err != nil {
		return fmt.Errorf("watching EndpointSlices: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), services.HasSynced, parts.HasSynced) {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, b.queue.ShutDown)
	defer stop()
	for b.next(ctx) {
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.served {
		b.release(name)
	}
	return context.Cause(ctx)
}

// enqueue queues the Service that a changed object belongs to.
func (b *Balancer) enqueue(service func(metav1.Object) string) cache.ResourceEventHandlerFuncs {
	add := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if object, ok := obj.(metav1.Object); ok {
			if name := service(object); name != "" {
				b.queue.Add(name)
			}
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, obj any) { add(obj) }, DeleteFunc: add}
}

func nameOf(object metav1.Object) string {
	return object.GetNamespace() + "/" + object.GetName()
}

// serviceOf returns the Service of an EndpointSlice, as namespace/name.
func serviceOf(slice metav1.Object) string {
	if name := slice.GetLabels()[discovery.LabelServiceName]; name != "" {
		return slice.GetNamespace() + "/" + name
	}
	return ""
}

// next serves one Service from the queue; it returns false after the queue was shut down.
func (b *Balancer) next(ctx context.Context) bool {
	name, shut := b.queue.Get()
	if shut {
		return false
	}
	defer b.queue.Done(name)
	if err := b.serve(ctx, name); err != nil && ctx.Err() == nil {
		b.log.Error("serving a LoadBalancer", "service", name, "error", err)
		b.queue.AddRateLimited(name)
		return true
	}
	b.queue.Forget(name)
	return true
}

// serve brings a Service, named namespace/name, to the cluster's state: it opens, changes or closes its ports.
func (b *Balancer) serve(ctx context.Context, name string) error {
	namespace, short, err := cache.SplitMetaNamespaceKey(name)
	if err != nil {
		return err
	}
	service, err := b.services.Services(namespace).Get(short)
	if err != nil || !isOurs(service) {
		b.mu.Lock()
		_, had := b.served[name]
		b.release(name)
		b.mu.Unlock()
		if err == nil && had {
			return b.publish(ctx, service, nil)
		}
		return nil //nolint:nilerr // a lister fails only when the Service is gone
	}
	if wait := time.Until(service.CreationTimestamp.Add(b.delay)); b.delay > 0 && wait > 0 {
		b.queue.AddAfter(name, wait)
		return nil
	}
	parts, err := b.slices.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: short}))
	if err != nil {
		return err
	}
	address, err := b.forward(name, service, parts)
	if err != nil {
		return err
	}
	mode := core.LoadBalancerIPModeProxy
	return b.publish(ctx, service, []core.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}})
}

// isOurs reports whether this balancer serves a Service. A Service with a load balancer class belongs to another one.
func isOurs(service *core.Service) bool {
	return service.Spec.Type == core.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil && service.DeletionTimestamp == nil
}

// forward opens and closes ports as the Service lists them and points them at its pods.
func (b *Balancer) forward(name string, service *core.Service, parts []*discovery.EndpointSlice) (netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	current, known := b.served[name]
	if !known {
		opened, err := b.openAddress(name, service)
		if err != nil {
			return netip.Addr{}, err
		}
		current = opened
		b.served[name] = current
	}
	for number, server := range current.ports {
		if !slices.ContainsFunc(service.Spec.Ports, func(p core.ServicePort) bool { return p.Port == number && isTCP(p) }) {
			server.Close() //nolint:errcheck,gosec // nothing uses it any more
			delete(current.ports, number)
		}
	}
	for _, port := range service.Spec.Ports {
		if !isTCP(port) {
			continue
		}
		server, open := current.ports[port.Port]
		if !open {
			listener, err := b.listen(hostPort(current.address, port.Port))
			if err != nil {
				return netip.Addr{}, fmt.Errorf("listening for port %d of %q: %w", port.Port, name, err)
			}
			server = forward.Serve(listener, b.dial)
			current.ports[port.Port] = server
		}
		b.setBackends(name, current, server, backends(port, parts), lagOf(service))
	}
	return current.address, nil
}

// setBackends points a port at its pods, and for the lag also at those that it pointed at before.
func (b *Balancer) setBackends(name string, current *openService, server *forward.Server, wanted []string, lag time.Duration) {
	if lag > 0 {
		if current.left == nil {
			current.left = map[string]time.Time{}
		}
		for _, before := range server.Backends() {
			if _, hasLeft := current.left[before]; !hasLeft && !slices.Contains(wanted, before) {
				current.left[before] = time.Now()
				b.queue.AddAfter(name, lag)
			}
		}
		var lagging []string
		for address, at := range current.left {
			switch {
			case slices.Contains(wanted, address) || time.Since(at) >= lag:
				delete(current.left, address)
			default:
				lagging = append(lagging, address)
			}
		}
		slices.Sort(lagging)
		server.SetLagging(lagging)
	}
	server.SetBackends(wanted)
}

// lagOf returns the lag of a Service, 0 if it has none that can be read.
func lagOf(service *core.Service) time.Duration {
	lag, err := time.ParseDuration(service.Annotations[LagAnnotation])
	if err != nil {
		return 0
	}
	return lag
}

// openAddress listens on all ports of a new Service. It uses the first candidate address on which all of them are free.
func (b *Balancer) openAddress(name string, service *core.Service) (*openService, error) {
	var last error
	for n := range 256 {
		opened := &openService{address: candidate(name, n), ports: map[int32]*forward.Server{}}
		if b.inUse(opened.address) {
			continue
		}
		last = b.listenAll(opened, service)
		if last == nil {
			return opened, nil
		}
		closeAll(opened)
		if !errors.Is(last, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("finding an address for %q: %w", name, last)
}

// listenAll listens on all ports of a Service at its address, or on none.
func (b *Balancer) listenAll(s *openService, service *core.Service) error {
	for _, port := range service.Spec.Ports {
		if !isTCP(port) {
			continue
		}
		listener, err := b.listen(hostPort(s.address, port.Port))
		if err != nil {
			return err
		}
		s.ports[port.Port] = forward.Serve(listener, b.dial)
	}
	return nil
}

// inUse reports whether another Service has the address; the caller holds the lock.
func (b *Balancer) inUse(address netip.Addr) bool {
	for _, other := range b.served {
		if other.address == address {
			return true
		}
	}
	return false
}

// isTCP reports whether a port's protocol is TCP, the default.
func isTCP(port core.ServicePort) bool {
	return port.Protocol == core.ProtocolTCP || port.Protocol == ""
}

// hostPort formats an address and a port as host:port.
func hostPort(address netip.Addr, port int32) string {
	return net.JoinHostPort(address.String(), strconv.Itoa(int(port)))
}

// release stops serving a Service; the caller holds the lock.
func (b *Balancer) release(name string) {
	if current, known := b.served[name]; known {
		closeAll(current)
		delete(b.served, name)
	}
}

func closeAll(s *openService) {
	for _, server := range s.ports {
		server.Close() //nolint:errcheck,gosec // nothing uses it any more
	}
}

// publish writes the address into the Service's status. The mode Proxy makes kube-proxy leave traffic to that address to the load
// balancer (KEP-1860).
func (b *Balancer) publish(ctx context.Context, service *core.Service, ingress []core.LoadBalancerIngress) error {
	if equality.Semantic.DeepEqual(service.Status.LoadBalancer.Ingress, ingress) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": ingress}}})
	if err != nil {
		return err
	}
	_, err = b.client.CoreV1().Services(service.Namespace).Patch(ctx, service.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("writing the address of %q: %w", nameOf(service), err)
	}
	return nil
}

// Served describes one port of a Service that has an address.
type Served struct {
	Service  string   `json:"service"`
	Address  string   `json:"address"`
	Backends []string `json:"backends"`
}

// List returns what is served now, sorted.
func (b *Balancer) List() []Served {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Served
	for name, current := range b.served {
		for port, server := range current.ports {
			list = append(list, Served{Service: name, Address: hostPort(current.address, port), Backends: server.Backends()})
		}
	}
	slices.SortFunc(list, func(x, y Served) int {
		return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.Address, y.Address))
	})
	return list
}
