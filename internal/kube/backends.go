package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Backends finds what serves the release inside the cluster: the ready pods of its workloads whose pod template names the image, with the
// readiness probe of the container that runs it, these workloads with all their pods, and its Services that select one of the ready pods, with
// their ready endpoints. Jobs are left out. EndpointSlices that this user may not list are replaced by the pods that a Service selects. The error is a *release.Fault.
func (c *Client) Backends(ctx context.Context, namespace, name string, image release.Image) (release.Backends, error) {
	named, err := c.workloads(ctx, namespace, name, image)
	if err != nil {
		return release.Backends{}, err
	}
	var backends release.Backends
	var ready []*core.Pod
	var notes []string
	reader := newReader(c, named.objects()...)
	for _, workload := range named.workloads {
		object := workload.object
		if len(workload.containers) == 0 || object.Kind == "Job" || object.Kind == "CronJob" {
			continue
		}
		running, pods, err := reader.workloadWithPods(ctx, workload, image)
		if err != nil {
			return backends, c.Fault(ctx, err, "reading the pods of %s in namespace %q", object, object.Namespace)
		}
		custom := !slices.Contains(BuiltInGroups, schema.FromAPIVersionAndKind(object.APIVersion, object.Kind).Group)
		if custom && runToEnd(pods) {
			continue
		}
		backends.Workloads = append(backends.Workloads, running)
		for _, pod := range pods {
			if !isReady(pod.Pod) {
				continue
			}
			ready = append(ready, pod.Pod)
			own := workload
			if custom {
				own.containers = containersOf(pod.Pod, workload.containers, image)
			}
			backends.Pods = append(backends.Pods, backendPod(pod, own, image.Digest))
		}
	}
	slices.SortFunc(backends.Pods, func(a, b release.BackendPod) int { return cmp.Compare(a.Pod, b.Pod) })
	list, unlisted, err := c.listServices(ctx, named.namespaces, metav1.ListOptions{})
	if err == nil {
		backends.Missing, err = c.missingEndpoints(ctx, namespace, name, list, unlisted)
	}
	if err == nil {
		for _, one := range unlisted {
			notes = append(notes, fmt.Sprintf("the Services in namespace %q, which the release applies, may not be listed and are left out", one))
		}
		own := slices.DeleteFunc(list, func(service core.Service) bool {
			return !belongsTo(&service, namespace, name) || len(service.Spec.Selector) == 0 || urlPort(&service) == nil
		})
		if backends.Services, backends.Notes, err = c.servicesOfPods(ctx, own, ready); err == nil && len(ready) > 0 {
			others := slices.DeleteFunc(own, func(service core.Service) bool {
				return slices.ContainsFunc(backends.Services, func(known release.BackendService) bool { return known.Object == serviceObject(&service) })
			})
			backends.NoPods, err = c.servicesWithoutPods(ctx, namespace, name, others)
		}
		backends.Notes = append(notes, backends.Notes...)
	}
	if err != nil {
		return backends, c.Fault(ctx, err, "reading the endpoints of release %q in namespace %q", name, namespace)
	}
	return backends, nil
}

// isReady reports whether a pod gets requests: it is ready and is not being deleted.
func isReady(pod *core.Pod) bool {
	return pod.DeletionTimestamp == nil && hasCondition(pod, core.PodReady, core.ConditionTrue)
}

func hasCondition(pod *core.Pod, name core.PodConditionType, status core.ConditionStatus) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition core.PodCondition) bool { return condition.Type == name && condition.Status == status })
}

// backendPod returns a pod with a check made from the probe of its first container that runs the image and has an HTTP or TCP
// probe, or else with a port.
func backendPod(pod ownedPod, workload templated, digest release.Digest) release.BackendPod {
	result := release.BackendPod{Backend: release.Backend{Namespace: pod.Namespace, Pod: pod.Name, IP: pod.Status.PodIP}, Workload: workload.object,
		Runs: true, HeldBack: pod.held != ""}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if slices.Contains(workload.containers, status.Name) {
			result.Restarts += int(status.RestartCount)
		}
	}
	var asked []core.Container
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if !slices.Contains(workload.containers, container.Name) {
			continue
		}
		result.Runs = result.Runs && namesDigest(container.Image, digest)
		asked = append(asked, container)
	}
	for _, container := range asked {
		if check, port, https, isAsked := probeCheck(container); isAsked {
			result.Check, result.Port, result.HTTPS = check, port, https
			result.Source = "readinessProbe of container " + container.Name
			return result
		}
	}
	for _, container := range asked {
		if port, isHTTP := firstPort(container); port != 0 {
			result.Check, result.Port = release.Check{Name: "GET /", Path: "/", Method: "GET", StatusBelow: 500, OrTCP: !isHTTP}, port
			result.Source = fmt.Sprintf("container %s has no readinessProbe that can be asked from outside the pod: / has to answer below 500", container.Name)
			return result
		}
	}
	return result
}

// probeCheck returns a check that sends what the kubelet sends for a container's readiness probe and passes as the probe does. isAsked is false if there is no probe, or if it is a command, which cannot be run from here. Source: kubernetes.io, "Configure Liveness, Readiness and Startup Probes".
func probeCheck(container core.Container) (check release.Check, port int, https, isAsked bool) {
	probe := container.ReadinessProbe
	switch {
	case probe == nil:
	case probe.HTTPGet != nil:
		get := probe.HTTPGet
		port = portOf(container, get.Port.String())
		path := "/" + strings.TrimLeft(get.Path, "/")
		check = release.Check{Name: "readiness " + text.Line(path, 80), Path: path, Method: "GET", StatusBelow: 400}
		if get.Host != "" { // the probe asks another host than the pod
			return check, port, false, false
		}
		for _, header := range get.HTTPHeaders {
			if check.Headers == nil {
				check.Headers = map[string]string{}
			}
			check.Headers[header.Name] = header.Value
		}
		return check, port, get.Scheme == core.URISchemeHTTPS, port != 0
	case probe.TCPSocket != nil:
		port = portOf(container, probe.TCPSocket.Port.String())
		return release.Check{Name: "readiness tcp", Kind: release.CheckTCP}, port, false, port != 0 && probe.TCPSocket.Host == ""
	case probe.GRPC != nil:
		check = release.Check{Name: "readiness grpc", Kind: release.CheckGRPC}
		if probe.GRPC.Service != nil {
			check.GRPCService = *probe.GRPC.Service
		}
		return check, int(probe.GRPC.Port), false, true
	}
	return check, 0, false, false
}

// portOf returns the number of a container's port, by number or name; 0 if the container has no such port.
func portOf(container core.Container, numberOrName string) int {
	for _, port := range container.Ports {
		if port.Name == numberOrName {
			return int(port.ContainerPort)
		}
	}
	var number int
	if _, err := fmt.Sscanf(numberOrName, "%d", &number); err != nil {
		return 0
	}
	return number
}

// httpName matches the name of a port that serves HTTP without TLS: http, http-api, web, web-8080; not https, http2-grpc or webhook.
var httpName = regexp.MustCompile(`^(?:http|web)(?:-.*)?$`)

// firstPort returns the container's port with a name of HTTP, or else its first port, of which the protocol is not known; 0 if it declares
// none.
func firstPort(container core.Container) (first int, isHTTP bool) {
	for _, port := range container.Ports {
		switch {
		case port.Protocol != "" && port.Protocol != core.ProtocolTCP:
		case httpName.MatchString(port.Name):
			return int(port.ContainerPort), true
		case first == 0:
			first = int(port.ContainerPort)
		}
	}
	return first, false
}

// servicesWithoutPods returns those of the Services whose selector matches no pod of the namespace and no pod template of the release: nothing will ever
// answer behind them. It returns none if the release has custom resources, whose pods may have any labels, or no record.
func (c *Client) servicesWithoutPods(ctx context.Context, namespace, name string, services []core.Service) (found []release.Object, err error) {
	for i := range services {
		selector := labels.SelectorFromSet(services[i].Spec.Selector)
		pods, err := c.Pods(services[i].Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String(), Limit: 1})
		if apierrors.IsForbidden(err) && services[i].Namespace != namespace {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(pods.Items) > 0 {
			continue
		}
		matches, err := c.mayCreatePods(ctx, namespace, name, selector)
		if err != nil {
			return nil, err
		}
		if !matches {
			found = append(found, serviceObject(&services[i]))
		}
	}
	slices.SortFunc(found, func(a, b release.Object) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// mayCreatePods reports whether a workload of the release may create pods that a selector matches.
func (c *Client) mayCreatePods(ctx context.Context, namespace, name string, selector labels.Selector) (may bool, err error) {
	revision, err := c.appliedRevision(ctx, namespace, name)
	if errors.Is(err, errNoRecord) || apierrors.IsForbidden(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	err = eachObject(revision.Manifest, "", func(object map[string]any) {
		u := unstructured.Unstructured{Object: object}
		may = may || !slices.Contains(BuiltInGroups, u.GroupVersionKind().Group) || u.GetKind() == "Pod" && selector.Matches(labels.Set(u.GetLabels()))
		for _, template := range release.PodTemplates(object) {
			if made, found, _ := unstructured.NestedStringMap(template, "metadata", "labels"); found {
				may = may || selector.Matches(labels.Set(made))
			}
		}
	})
	return may, err
}

// servicesOfPods finds those of the Services that select one of the pods, with their ready endpoints.
func (c *Client) servicesOfPods(ctx context.Context, services []core.Service, pods []*core.Pod) (found []release.BackendService, notes []string, err error) {
	for i := range services {
		service := &services[i]
		namespace, port := service.Namespace, urlPort(service)
		selector := labels.SelectorFromSet(service.Spec.Selector)
		selected := slices.DeleteFunc(slices.Clone(pods), func(pod *core.Pod) bool {
			return pod.Namespace != namespace || !selector.Matches(labels.Set(pod.Labels))
		})
		if len(selected) == 0 {
			continue
		}
		backend := release.BackendService{Object: serviceObject(service), OnePort: tcpPorts(service) == 1}
		if service.Spec.Type == core.ServiceTypeLoadBalancer {
			backend.URL = serviceURL(service)
		}
		backend.Endpoints, err = c.readyEndpoints(ctx, namespace, service.Name, *port, metav1.ListOptions{})
		if apierrors.IsForbidden(err) {
			notes = append(notes, fmt.Sprintf("the endpoints of %s may not be listed: the pods that it selects are used instead", backend.Object))
			backend.Endpoints, err = selectedEndpoints(selected, *port), nil
		}
		if err != nil {
			return nil, nil, err
		}
		if len(backend.Endpoints) == 0 && port.TargetPort.Type == intstr.String && !slices.ContainsFunc(selected, func(pod *core.Pod) bool { return targetOf(pod, *port) != 0 }) {
			backend.NoPort = text.Line(port.TargetPort.StrVal, maxPortName)
		}
		found = append(found, backend)
	}
	slices.SortStableFunc(found, func(a, b release.BackendService) int { return cmp.Compare(a.Object.Name, b.Object.Name) })
	return found, notes, nil
}

// tcpPorts returns how many TCP ports a Service has.
func tcpPorts(service *core.Service) (n int) {
	for _, port := range service.Spec.Ports {
		if port.Protocol == "" || port.Protocol == core.ProtocolTCP {
			n++
		}
	}
	return n
}

// readyEndpoints returns the ready endpoints of a Service's port.
func (c *Client) readyEndpoints(ctx context.Context, namespace, service string, port core.ServicePort, options metav1.ListOptions) (ready []release.Backend, err error) {
	options.LabelSelector = labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service}).String()
	list, err := c.Dynamic.Resource(discovery.SchemeGroupVersion.WithResource("endpointslices")).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, item := range list.Items {
		var endpoints discovery.EndpointSlice
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &endpoints); err != nil {
			return nil, fmt.Errorf("reading EndpointSlice/%s: %w", item.GetName(), err)
		}
		number := slicePort(endpoints, port.Name)
		for _, endpoint := range endpoints.Endpoints {
			if !getsRequests(endpoint.Conditions) || number == 0 || len(endpoint.Addresses) == 0 {
				continue
			}
			backend := release.Backend{Namespace: namespace, IP: endpoint.Addresses[0], Port: number, HTTPS: schemeOf(port) == "https"}
			if endpoint.TargetRef != nil && endpoint.TargetRef.Kind == "Pod" {
				backend.Pod = endpoint.TargetRef.Name
			}
			ready = append(ready, backend)
		}
	}
	slices.SortFunc(ready, func(a, b release.Backend) int { return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.IP, b.IP)) })
	return slices.CompactFunc(ready, func(a, b release.Backend) bool { return a.Pod != "" && a.Pod == b.Pod }), nil // a pod of two families is in two slices
}

// getsRequests reports whether an endpoint is ready and stays: with publishNotReadyAddresses, a pod that is being deleted is ready. Source:
// k8s.io/api/discovery/v1, EndpointConditions: nil means ready, serving and not terminating.
func getsRequests(is discovery.EndpointConditions) bool {
	return (is.Ready == nil || *is.Ready) && (is.Serving == nil || *is.Serving) && (is.Terminating == nil || !*is.Terminating)
}

// slicePort returns the number of the port in a slice, 0 if the slice does not have it.
func slicePort(endpoints discovery.EndpointSlice, name string) int {
	for _, port := range endpoints.Ports {
		if port.Port != nil && (port.Name == nil && name == "" || port.Name != nil && *port.Name == name) {
			return int(*port.Port)
		}
	}
	return 0
}

// maxPortName is how long a port's name is at most, in bytes.
const maxPortName = 63

// targetOf returns the number of the pod's port to which a Service's port sends requests, 0 if no container of the pod has a port of the name.
func targetOf(pod *core.Pod, port core.ServicePort) int {
	if port.TargetPort.Type == intstr.Int {
		return cmp.Or(port.TargetPort.IntValue(), int(port.Port))
	}
	for _, container := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		if number := portOf(container, port.TargetPort.StrVal); number != 0 {
			return number
		}
	}
	return 0
}

// selectedEndpoints returns the pods to which a Service sends requests, with the port.
func selectedEndpoints(pods []*core.Pod, port core.ServicePort) (endpoints []release.Backend) {
	for _, pod := range pods {
		number := targetOf(pod, port)
		if number == 0 {
			continue
		}
		endpoints = append(endpoints, release.Backend{Namespace: pod.Namespace, Pod: pod.Name, IP: pod.Status.PodIP, Port: number, HTTPS: schemeOf(port) == "https"})
	}
	return endpoints
}
