package kube

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// readyPod is a pod of the ReplicaSet web-2 that is ready, at an address of its own.
func readyPod(name, ip string, change func(*core.Pod)) *core.Pod {
	p := owned(name, "ReplicaSet", "web-2", digest)
	p.Status.PodIP = ip
	p.Status.Phase, p.Status.ContainerStatuses[0].Ready = core.PodRunning, true
	p.Status.Conditions = []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}, {Type: core.ContainersReady, Status: core.ConditionTrue}}
	p.Spec.Containers[0].Ports = []core.ContainerPort{{Name: "metrics", ContainerPort: 9090}, {Name: "http-web", ContainerPort: 8080}}
	p.Spec.Containers[0].ReadinessProbe = &core.Probe{ProbeHandler: core.ProbeHandler{HTTPGet: &core.HTTPGetAction{Path: "ready", Port: intstr.FromString("http-web"),
		HTTPHeaders: []core.HTTPHeader{{Name: "Accept", Value: "text/plain"}}}}}
	if change != nil {
		change(p)
	}
	return p
}

// unready has a readiness probe fail.
func unready(p *core.Pod) {
	p.Status.ContainerStatuses[0].Ready = false
	for i := range p.Status.Conditions {
		p.Status.Conditions[i].Status = core.ConditionFalse
	}
}

const webSlice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: metrics, port: 9090}]
endpoints:
  - {addresses: [10.0.0.7], conditions: {ready: true}, targetRef: {kind: Pod, name: web-a}}
  - {addresses: [10.0.0.8], conditions: {ready: false}, targetRef: {kind: Pod, name: web-b}}
  - {addresses: [10.0.0.9], conditions: {}, targetRef: {kind: Pod, name: stranger}}
  - {addresses: [10.0.0.11], conditions: {ready: true, serving: true, terminating: true}, targetRef: {kind: Pod, name: leaving}}
  - {addresses: [10.0.0.12], conditions: {ready: true, serving: false}, targetRef: {kind: Pod, name: published}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-2, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.10], conditions: {ready: true}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: another-1, labels: {kubernetes.io/service-name: another}}
addressType: IPv4
ports: [{name: http, port: 1}]
endpoints: [{addresses: [10.0.0.7], conditions: {ready: true}, targetRef: {kind: Pod, name: web-a}}]`

func TestBackends(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(recordOf(t, 1, "deployed", workload("apps/v1", "Deployment", "web", "")))
	s.put(workload("apps/v1", "Deployment", "web", ""))
	s.put(replicaSets)
	s.put(webSlice)
	s.Put(readyPod("web-a", "10.0.0.7", nil), readyPod("web-b", "10.0.0.8", unready))
	selecting := func(name, owner string, ports ...core.ServicePort) *core.Service {
		web := service(name, core.ServiceTypeClusterIP, "", ports...)
		web.Labels, web.Annotations = nil, map[string]string{releaseAnnotation: owner}
		web.Spec.Selector = map[string]string{"app": "web"}
		return web
	}
	other := selecting("db", "shop", port(80, "http"))
	other.Spec.Selector = map[string]string{"app": "db"}
	s.Put(selecting("web", "shop", port(9090, "metrics"), port(80, "http")), selecting("another", "blog", port(80, "http")), other)

	got, err := s.client().Backends(t.Context(), space, "shop", builtImage(t))
	if err != nil {
		t.Fatal(err)
	}
	at := func(pod, ip string, number int) release.Backend {
		return release.Backend{Namespace: space, Pod: pod, IP: ip, Port: number}
	}
	image := func(pod string, ready bool) release.PodImage {
		return release.PodImage{Pod: pod, Container: "app", Node: "node-1", Digest: builtImage(t).Digest, Repository: "localhost:5000/shop", ImageID: "localhost:5000/shop@" + digest, Named: true, Ready: ready, Unready: !ready}
	}
	want := release.Backends{
		Workloads: []release.RunningWorkload{{Object: release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: space, Name: "web"}, WantsPods: true, Pods: []release.PodImage{image("web-a", true), image("web-b", false)}}},
		Pods: []release.BackendPod{{Backend: at("web-a", "10.0.0.7", 8080), Workload: release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: space, Name: "web"}, Runs: true,
			Check:  release.Check{Name: "readiness /ready", Path: "/ready", Method: "GET", StatusBelow: 400, Headers: map[string]string{"Accept": "text/plain"}},
			Source: "readinessProbe of container app"}},
		Services: []release.BackendService{{Object: release.Object{APIVersion: "v1", Kind: "Service", Namespace: space, Name: "web"},
			Endpoints: []release.Backend{at("stranger", "10.0.0.9", 9090), at("web-a", "10.0.0.7", 9090)}}},
		NoPods: []release.Object{{APIVersion: "v1", Kind: "Service", Namespace: space, Name: "db"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(release.Digest{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestServicesThatSelectNoPod: of the release's own, if no template of the release has such labels either.
func TestServicesThatSelectNoPod(t *testing.T) {
	t.Parallel()
	const custom = "apiVersion: db.example.com/v1\nkind: Postgres\nmetadata: {name: db}"
	const later = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {replicas: 0, template: {metadata: {labels: {app: wbe}}, spec: {containers: []}}}"
	for name, test := range map[string]struct {
		besides string // in the manifest
		there   bool   // a pod has the labels
		want    int
	}{"none": {"", false, 1}, "a template has the labels": {later, false, 0}, "a pod has them": {"", true, 0}, "a controller may make some": {custom, false, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			web := workload("apps/v1", "Deployment", "web", "")
			s.Put(recordOf(t, 1, "deployed", web+"\n---\n"+test.besides))
			s.put(web + "\n---\n" + strings.TrimSpace(replicaSets))
			s.Put(readyPod("web-a", "10.0.0.7", nil))
			lost, foreign := service("web", core.ServiceTypeClusterIP, "", port(80, "http")), service("foreign", core.ServiceTypeClusterIP, "", port(80, "http"))
			lost.Spec.Selector, foreign.Spec.Selector = map[string]string{"app": "wbe"}, map[string]string{"app": "nobody"}
			foreign.Annotations = map[string]string{releaseAnnotation: "blog"}
			s.Put(lost, foreign)
			if test.there {
				other := pod("other")
				other.Labels = map[string]string{"app": "wbe"}
				s.Put(other)
			}
			got, err := s.client().Backends(t.Context(), space, "shop", builtImage(t))
			if err != nil || len(got.NoPods) != test.want || test.want > 0 && got.NoPods[0].Name != "web" {
				t.Errorf("got %+v, %v", got.NoPods, err)
			}
		})
	}
}

// TestEndpointsThatSomebodyDeleted: the Services and Ingresses that the release's record has and the cluster has not.
func TestEndpointsThatSomebodyDeleted(t *testing.T) {
	t.Parallel()
	const applied = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: admin}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: far, namespace: other}\n---\n" +
		"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: lost}"
	for name, test := range map[string]struct {
		change func(*server)
		want   []string
	}{
		"all are there": {func(s *server) {
			s.Put(service("admin", core.ServiceTypeClusterIP, "", port(80, "http")), &networking.Ingress{ObjectMeta: described("web", nil)})
			far := service("far", core.ServiceTypeClusterIP, "", port(80, "http"))
			far.Namespace = "other"
			s.Put(far)
		}, nil},
		"three were deleted": {func(*server) {}, []string{"Ingress/web", "Service/admin", "Service/far"}},
		"two kinds may not be listed": {func(s *server) {
			s.Break(func(r *http.Request) int {
				if strings.HasSuffix(r.URL.Path, "/ingresses") || strings.HasSuffix(r.URL.Path, "/namespaces/other/services") {
					return http.StatusForbidden
				}
				return 0
			})
		}, []string{"Service/admin"}},
		"the record may not be read": {func(s *server) {
			s.Break(func(r *http.Request) int {
				if strings.Contains(r.URL.Path, "/secrets") {
					return http.StatusForbidden
				}
				return 0
			})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			web := workload("apps/v1", "Deployment", "web", "")
			s.Put(recordOf(t, 1, "deployed", web+"\n---\n"+applied), service("web", core.ServiceTypeClusterIP, "", port(80, "http")))
			s.put(web + "\n---\n" + strings.TrimSpace(replicaSets))
			s.Put(readyPod("web-a", "10.0.0.7", nil))
			test.change(s)
			found, err := s.client().Backends(t.Context(), space, "shop", builtImage(t))
			var got []string
			for _, object := range found.Missing {
				got = append(got, object.Kind+"/"+object.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}

// TestProbeOfAPod: what stands for the readiness of the container that runs the image.
func TestProbeOfAPod(t *testing.T) {
	t.Parallel()
	handler := func(change func(*core.ProbeHandler)) func(*core.Pod) {
		return func(p *core.Pod) {
			p.Spec.Containers[0].ReadinessProbe = &core.Probe{}
			change(&p.Spec.Containers[0].ReadinessProbe.ProbeHandler)
		}
	}
	name := "shop.v1.Shop"
	for title, test := range map[string]struct {
		change func(*core.Pod)
		check  release.Check
		port   int
		https  bool
	}{
		"https": {handler(func(h *core.ProbeHandler) {
			h.HTTPGet = &core.HTTPGetAction{Path: "/r", Port: intstr.FromInt32(8443), Scheme: core.URISchemeHTTPS}
		}), release.Check{Name: "readiness /r", Path: "/r", Method: "GET", StatusBelow: 400}, 8443, true},
		"tcp":  {handler(func(h *core.ProbeHandler) { h.TCPSocket = &core.TCPSocketAction{Port: intstr.FromInt32(5432)} }), release.Check{Name: "readiness tcp", Kind: release.CheckTCP}, 5432, false},
		"grpc": {handler(func(h *core.ProbeHandler) { h.GRPC = &core.GRPCAction{Port: 9000, Service: &name} }), release.Check{Name: "readiness grpc", Kind: release.CheckGRPC, GRPCService: name}, 9000, false},
		"exec": {handler(func(h *core.ProbeHandler) { h.Exec = &core.ExecAction{Command: []string{"true"}} }), release.Check{Name: "GET /", Path: "/", Method: "GET", StatusBelow: 500}, 8080, false},
		"of another host": {handler(func(h *core.ProbeHandler) {
			h.HTTPGet = &core.HTTPGetAction{Path: "/r", Host: "169.254.169.254", Port: intstr.FromInt32(80)}
		}), release.Check{Name: "GET /", Path: "/", Method: "GET", StatusBelow: 500}, 8080, false},
		"exec, and a port of an unknown protocol": {func(p *core.Pod) {
			p.Spec.Containers[0].ReadinessProbe = &core.Probe{ProbeHandler: core.ProbeHandler{Exec: &core.ExecAction{Command: []string{"true"}}}}
			p.Spec.Containers[0].Ports = []core.ContainerPort{{Name: "http2-grpc", ContainerPort: 9000}}
		}, release.Check{Name: "GET /", Path: "/", Method: "GET", StatusBelow: 500, OrTCP: true}, 9000, false},
		"exec, and a web port": {func(p *core.Pod) {
			p.Spec.Containers[0].ReadinessProbe = nil
			p.Spec.Containers[0].Ports = []core.ContainerPort{{Name: "grpc", ContainerPort: 9000}, {Name: "web", ContainerPort: 8000}}
		}, release.Check{Name: "GET /", Path: "/", Method: "GET", StatusBelow: 500}, 8000, false},
		"none": {func(p *core.Pod) { p.Spec.Containers[0].ReadinessProbe, p.Spec.Containers[0].Ports = nil, nil }, release.Check{}, 0, false},
		"of a sidecar alone": {func(p *core.Pod) {
			p.Spec.Containers[1].ReadinessProbe, p.Spec.Containers[0].ReadinessProbe = p.Spec.Containers[0].ReadinessProbe, nil
		}, release.Check{Name: "GET /", Path: "/", Method: "GET", StatusBelow: 500}, 8080, false},
	} {
		got := backendPod(ownedPod{Pod: readyPod("web-a", "10.0.0.7", test.change)}, templated{containers: []string{"app"}}, builtImage(t).Digest)
		if diff := cmp.Diff(test.check, got.Check, cmpopts.EquateComparable(release.Digest{})); diff != "" || got.Port != test.port || got.HTTPS != test.https || !got.Runs {
			t.Errorf("%s: got port %d, https %t, -want +got:\n%s", title, got.Port, got.HTTPS, diff)
		}
	}
	if got := backendPod(ownedPod{Pod: readyPod("web-a", "10.0.0.7", func(p *core.Pod) { p.Spec.Containers[0].Image = "localhost:5000/shop@" + older })},
		templated{containers: []string{"app"}}, builtImage(t).Digest); got.Runs {
		t.Error("a pod of another digest is taken for one of the image")
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	lb := service("shop", core.ServiceTypeLoadBalancer, "LB.example.com.", port(80, ""))
	lb.Annotations = map[string]string{hostnameAnnotation: "shop.example.com, www.example.com"}
	foreign := service("foreign", core.ServiceTypeLoadBalancer, "foreign.example.com", port(80, ""))
	foreign.Annotations = map[string]string{releaseAnnotation: "blog"} // labelled as ours, and applied by another release
	s.Put(lb, foreign, ingress("shop", "alb.example.com", func(i *networking.Ingress) {
		i.Spec.Rules = []networking.IngressRule{{Host: "*.apps.example.com"}}
		i.Spec.TLS = []networking.IngressTLS{{Hosts: []string{"tls.example.com"}}}
	}))
	s.put("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: edge, labels: {app.kubernetes.io/instance: shop}}\nspec: {hostnames: [edge.example.com], parentRefs: [{name: edge}]}")
	const meta = "metadata: {name: edge, labels: {app.kubernetes.io/instance: shop}}\n"
	for _, route := range []string{
		"apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\n" + meta + "spec: {hostnames: [grpc.example.com]}",
		"apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TLSRoute\n" + meta + "spec: {hostnames: [passthrough.example.com]}",
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\n" + meta + "spec: {hosts: ['*', mesh.example.com, web.staging.svc.cluster.local, web], gateways: [mesh, istio-system/public]}",
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: inside, labels: {app.kubernetes.io/instance: shop}}\nspec: {hosts: [inside.example.com]}",
		"apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\n" + meta + "spec: {routes: [{match: 'Host(`a.example.com`, `b.example.com`) && PathPrefix(`/x`)'}, {match: '!Host(`not.example.com`) && HostRegexp(`.+`)'}]}",
		"apiVersion: traefik.io/v1alpha1\nkind: IngressRouteTCP\n" + meta + "spec: {routes: [{match: 'HostSNI(`sni.example.com`) || HostSNI(`*`)'}]}",
	} {
		s.put(route)
	}
	got, err := s.client().Hosts(t.Context(), space, "shop")
	want := []string{"*.apps.example.com", "a.example.com", "alb.example.com", "b.example.com", "edge.example.com", "grpc.example.com", "lb.example.com", "mesh.example.com",
		"passthrough.example.com", "shop.example.com", "sni.example.com", "tls.example.com", "www.example.com"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestLiveImage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ manifest, want string }{
		"of the pods":    {"metadata: {name: web}\nspec: {template: {metadata: {annotations: {onedigest.dev/digest: DIGEST}}, spec: {containers: [{name: proxy, image: 'proxy:1'}, {name: app, image: 'localhost:5000/shop@DIGEST'}]}}}", "localhost:5000/shop@" + digest},
		"of the object":  {"metadata: {name: web, annotations: {onedigest.dev/digest: DIGEST}}\nspec: {template: {spec: {containers: [{name: app, image: 'localhost:5000/shop:v1@DIGEST'}]}}}", "localhost:5000/shop@" + digest},
		"of a CronJob":   {"metadata: {name: web, annotations: {onedigest.dev/digest: DIGEST}}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: 'localhost:5000/shop@DIGEST'}]}}}}}", "localhost:5000/shop@" + digest},
		"not annotated":  {"metadata: {name: web}\nspec: {template: {spec: {containers: [{name: app, image: 'localhost:5000/shop@DIGEST'}]}}}", ""},
		"of another one": {"metadata: {name: web, annotations: {onedigest.dev/digest: DIGEST}}\nspec: {template: {spec: {containers: [{name: app, image: 'shop:v1'}]}}}", ""},
	} {
		s := newServer(t)
		s.Put(recordOf(t, 1, "deployed", "apiVersion: apps/v1\nkind: Deployment\n"+strings.ReplaceAll(test.manifest, "DIGEST", digest)))
		image, found, err := s.client().LiveImage(t.Context(), space, "shop")
		got := ""
		if found {
			got = image.String()
		}
		if err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
	if _, found, err := newServer(t).client().LiveImage(t.Context(), space, "shop"); found || err != nil {
		t.Errorf("without a record: got %t, %v", found, err)
	}
}

// TestAnAddressThatNobodyReports is not waited for at each deploy.
func TestAnAddressThatNobodyReports(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(ingress("shop", "", func(i *networking.Ingress) {
		i.CreationTimestamp = meta.NewTime(time.Now().Add(-3 * time.Hour))
		i.Spec.Rules = []networking.IngressRule{{Host: "shop.example.com"}}
	}))
	var reported []string
	url, err := s.client().Address(t.Context(), space, "shop", release.Image{}, release.AddressAuto, func(line string) { reported = append(reported, line) })
	if said := strings.Join(reported, "\n"); err != nil || url != "" || !strings.Contains(said, "no address outside the cluster has been reported of Ingress/shop in the 3 hours since it was created") || !strings.Contains(said, "shop.example.com") {
		t.Errorf("got %q, %v, reported %q", url, err, said)
	}
}

func TestSelectedEndpointsResolveNamedPorts(t *testing.T) {
	t.Parallel()
	pods := []*core.Pod{readyPod("web-a", "10.0.0.7", nil)}
	for target, want := range map[intstr.IntOrString]int{intstr.FromString("http-web"): 8080, intstr.FromInt32(9090): 9090, intstr.FromInt32(0): 80} {
		named := port(80, "http")
		named.TargetPort = target
		if got := selectedEndpoints(pods, named); len(got) != 1 || got[0].Port != want {
			t.Errorf("%v: got %+v, want port %d", target, got, want)
		}
	}
}

// TestPodsThatAreNotReady: what of it is the container's doing.
func TestPodsThatAreNotReady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change                     func(*core.Pod)
		ready, unready, restarting bool
		unscheduled                bool
	}{
		"ready":                   {func(*core.Pod) {}, true, false, false, false},
		"it restarted before":     {func(p *core.Pod) { p.Status.ContainerStatuses[0].RestartCount = 3 }, true, false, false, false},
		"the probe fails":         {unready, false, true, false, false},
		"it ends again and again": {func(p *core.Pod) { unready(p); p.Status.ContainerStatuses[0].RestartCount = 3 }, false, true, true, false},
		"a sidecar ends": {func(p *core.Pod) {
			unready(p)
			p.Status.ContainerStatuses[0].Ready, p.Status.ContainerStatuses[1].RestartCount = true, 3
		}, false, true, true, false},
		"an init container ends": {func(p *core.Pod) {
			unready(p)
			p.Status.Phase = core.PodPending
			p.Status.InitContainerStatuses = []core.ContainerStatus{{Name: "wait", RestartCount: 1}}
		}, false, false, true, false},
		"its node does not answer": {func(p *core.Pod) { p.Status.Conditions[0].Status = core.ConditionFalse }, false, false, false, false},
		"it has not started":       {func(p *core.Pod) { p.Status = core.PodStatus{Phase: core.PodPending} }, false, false, false, false},
		"no node takes it": {func(p *core.Pod) {
			p.Status = core.PodStatus{Phase: core.PodPending, Conditions: []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionFalse, Reason: core.PodReasonUnschedulable}}}
		}, false, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(recordOf(t, 1, "deployed", workload("apps/v1", "Deployment", "web", "")), readyPod("web-a", "10.0.0.7", test.change))
			s.put(workload("apps/v1", "Deployment", "web", "") + "\n---\n" + strings.TrimSpace(replicaSets))
			got, err := s.client().Backends(t.Context(), space, "shop", builtImage(t))
			if err != nil || len(got.Workloads) != 1 || len(got.Workloads[0].Pods) != 1 {
				t.Fatalf("got %+v, %v", got, err)
			}
			pod := got.Workloads[0].Pods[0]
			if pod.Ready != test.ready || pod.Unready != test.unready || pod.Restarting != test.restarting || pod.Unscheduled != test.unscheduled || (len(got.Pods) == 1) != test.ready {
				t.Errorf("got %+v", pod)
			}
		})
	}
}

// TestAPodThatHasRunToItsEnd wants nothing any more.
func TestAPodThatHasRunToItsEnd(t *testing.T) {
	t.Parallel()
	bare := "apiVersion: v1\nkind: Pod\nmetadata: {name: once}\nspec: {nodeName: node-1, containers: [{name: app, image: \"localhost:5000/shop@" + digest + "\"}]}\n" +
		"status: {phase: Succeeded, containerStatuses: [{name: app, imageID: \"localhost:5000/shop@" + digest + "\"}]}"
	s := newServer(t)
	s.Put(recordOf(t, 1, "deployed", bare))
	s.put(bare)
	running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
	if err != nil || len(running.Workloads) != 1 || running.Workloads[0].WantsPods || len(running.Workloads[0].Pods) != 1 {
		t.Errorf("got %+v, %v", running, err)
	}
}

// TestBackendsInAnotherNamespace: Services and workloads that the chart puts there, with the endpoints there.
func TestBackendsInAnotherNamespace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	web := strings.Replace(workload("apps/v1", "Deployment", "web", ""), "{name: web,", "{name: web, namespace: edge,", 1)
	s.Put(recordOf(t, 1, "deployed", web+"\n---\n"+inEdge))
	s.putIn("edge", web)
	s.putIn("edge", replicaSets)
	s.putIn("edge", webSlice)
	pod := readyPod("web-a", "10.0.0.7", nil)
	pod.Namespace = "edge"
	there := elsewhere(service("web", core.ServiceTypeLoadBalancer, "edge.example.com", port(9090, "metrics")), "edge", space)
	here := service("web", core.ServiceTypeClusterIP, "", port(9090, "metrics"))
	there.Spec.Selector, here.Spec.Selector = map[string]string{"app": "web"}, map[string]string{"app": "web"}
	s.Put(pod, there, here)
	got, err := s.client().Backends(t.Context(), space, "shop", builtImage(t))
	if err != nil || len(got.Services) != 1 || got.Services[0].Object.Namespace != "edge" || got.Services[0].URL != "http://edge.example.com:9090" || len(got.Services[0].Endpoints) != 2 {
		t.Errorf("got %+v, %v", got.Services, err)
	}
}

// TestBehind: the ready endpoints of the Service that has the address, and of those to which an Ingress leads.
func TestBehind(t *testing.T) {
	t.Parallel()
	const slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: NAME-1, labels: {kubernetes.io/service-name: NAME}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\n" +
		"endpoints: [{addresses: [10.0.0.7], conditions: {ready: true}, targetRef: {kind: Pod, name: NAME-a}}]"
	balancer := func(name string, change func(*core.Service)) *core.Service {
		s := service(name, core.ServiceTypeLoadBalancer, name+".example.com", port(80, "http"))
		s.Spec.Selector = map[string]string{"app": name}
		if change != nil {
			change(s)
		}
		return s
	}
	prefix, specific, exact := networking.PathTypePrefix, networking.PathTypeImplementationSpecific, networking.PathTypeExact
	path := func(path string, kind networking.PathType, to string) networking.HTTPIngressPath {
		return networking.HTTPIngressPath{Path: path, PathType: &kind, Backend: networking.IngressBackend{Service: &networking.IngressServiceBackend{Name: to, Port: networking.ServiceBackendPort{Name: "http"}}}}
	}
	ruled := func(host string, paths ...networking.HTTPIngressPath) *networking.Ingress {
		return ingress("shop", "alb.example.com", func(i *networking.Ingress) {
			i.Spec.Rules = []networking.IngressRule{{Host: host, IngressRuleValue: networking.IngressRuleValue{HTTP: &networking.HTTPIngressRuleValue{Paths: paths}}}}
		})
	}
	outside := func(s *core.Service) {
		s.Spec.Type, s.Spec.ExternalName = core.ServiceTypeExternalName, "x.example.com"
	}
	headless := func(s *core.Service) { s.Spec.Type, s.Spec.ClusterIP = core.ServiceTypeClusterIP, core.ClusterIPNone }
	for name, test := range map[string]struct {
		objects []runtime.Object
		url     string
		address release.Address
		denied  string
		want    string // SERVICE PATH ENDPOINTS or why it is not checked, of each route
	}{
		"a load balancer":                    {[]runtime.Object{balancer("web", nil)}, "http://web.example.com", release.AddressAuto, "", "web / web-a"},
		"its name of ExternalDNS":            {[]runtime.Object{balancer("web", func(s *core.Service) { s.Annotations = map[string]string{hostnameAnnotation: "Shop.example.com."} })}, "http://shop.example.com", release.AddressAuto, "", "web / web-a"},
		"of another release":                 {[]runtime.Object{balancer("web", func(s *core.Service) { s.Labels[instanceLabel] = "blog" })}, "http://web.example.com", release.AddressAuto, "", ""},
		"of another release, and named":      {[]runtime.Object{balancer("web", func(s *core.Service) { s.Labels[instanceLabel] = "blog" })}, "http://web.example.com", "service/web", "", "web / web-a"},
		"without a selector":                 {[]runtime.Object{balancer("web", func(s *core.Service) { s.Spec.Selector = nil })}, "http://web.example.com", release.AddressAuto, "", "web / Service/web has no selector"},
		"a URL of nothing":                   {[]runtime.Object{balancer("web", nil)}, "http://www.example.com", release.AddressAuto, "", ""},
		"endpoints that may not be listed":   {[]runtime.Object{balancer("web", nil), readyPod("web-b", "10.0.0.8", nil)}, "http://web.example.com", release.AddressAuto, "endpointslices", "web / web-b of the release"},
		"nor pods":                           {[]runtime.Object{balancer("web", nil)}, "http://web.example.com", release.AddressAuto, "endpointslices pods", "web / the endpoints of Service/web may not be listed"},
		"an Ingress":                         {[]runtime.Object{balancer("web", headless), balancer("blog", headless), ruled("shop.example.com", path("/", prefix, "web"), path("/blog", exact, "blog"))}, "https://shop.example.com", release.AddressAuto, "", "blog =/blog blog-a, web / web-a"},
		"an Ingress for many hosts":          {[]runtime.Object{balancer("web", headless), ruled("*.example.com", path("", prefix, "web"))}, "https://shop.example.com", release.AddressAuto, "", "web / web-a"},
		"an Ingress for all hosts":           {[]runtime.Object{balancer("web", headless), ruled("", path("/", prefix, "web"))}, "http://alb.example.com", release.AddressAuto, "", "web / web-a"},
		"an Ingress of another host":         {[]runtime.Object{balancer("web", headless), ruled("blog.example.com", path("/", prefix, "web"))}, "https://shop.example.com", release.AddressAuto, "", ""},
		"an expression":                      {[]runtime.Object{balancer("web", headless), ruled("shop.example.com", path("/api(/|$)(.*)", specific, "web"))}, "https://shop.example.com", release.AddressAuto, "", "web ?~/api web-a"},
		"a path that its controller matches": {[]runtime.Object{balancer("web", headless), ruled("shop.example.com", path("/api", specific, "web"))}, "https://shop.example.com", release.AddressAuto, "", "web ?/api web-a"},
		"annotations that match otherwise": {[]runtime.Object{balancer("web", headless), func() *networking.Ingress {
			regex := ruled("shop.example.com", path("/api", prefix, "web"))
			regex.Annotations = map[string]string{"nginx.ingress.kubernetes.io/use-regex": "true"}
			return regex
		}()}, "https://shop.example.com", release.AddressAuto, "", "web ?/api web-a"},
		"an ExternalName":               {[]runtime.Object{balancer("web", outside), ruled("shop.example.com", path("/", prefix, "web"))}, "https://shop.example.com", release.AddressAuto, "", "web / Service/web is of type ExternalName"},
		"a Service that does not exist": {[]runtime.Object{ruled("shop.example.com", path("/", prefix, "wbe"))}, "https://shop.example.com", release.AddressAuto, "", " / Ingress/shop leads to Service/wbe, which does not exist"},
		"an action of the annotations": {[]runtime.Object{func() *networking.Ingress {
			redirect := path("/", prefix, "ssl-redirect")
			redirect.Backend.Service.Port.Name = useAnnotation
			return ruled("shop.example.com", redirect)
		}()}, "https://shop.example.com", release.AddressAuto, "", " / ssl-redirect is an action of the Ingress's annotations"},
		"a port that the Service does not have": {[]runtime.Object{balancer("web", func(s *core.Service) { headless(s); s.Spec.Ports[0].Name = "web" }), ruled("shop.example.com", path("/", prefix, "web"))}, "https://shop.example.com", release.AddressAuto, "",
			"web / Ingress/shop leads to a port that Service/web does not have"},
		"another release's Ingress for the host": {[]runtime.Object{balancer("web", headless), balancer("blog", headless), ruled("shop.example.com", path("/", prefix, "web")), func() *networking.Ingress {
			foreign := ruled("shop.example.com", path("/blog", prefix, "blog"))
			foreign.Name, foreign.Labels = "blog", map[string]string{instanceLabel: "blog"}
			return foreign
		}()}, "https://shop.example.com", release.AddressAuto, "", "blog foreign /blog blog-a, web / web-a"},
		"pods that may not be listed": {[]runtime.Object{balancer("web", nil), labelledPod("web-a")}, "http://web.example.com", release.AddressAuto, "pods", "web / web-a"},
		"a pod of the release":        {[]runtime.Object{balancer("web", nil), labelledPod("web-a")}, "http://web.example.com", release.AddressAuto, "", "web / web-a of the release"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(test.objects...)
			s.put(strings.ReplaceAll(slice, "NAME", "web"))
			s.put(strings.ReplaceAll(slice, "NAME", "blog"))
			s.Break(func(r *http.Request) int {
				for resource := range strings.FieldsSeq(test.denied) {
					if strings.HasSuffix(r.URL.Path, "/"+resource) {
						return http.StatusForbidden
					}
				}
				return 0
			})
			routes, err := s.client().Behind(t.Context(), space, "shop", test.url, test.address)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, route := range routes {
				at := map[bool]string{true: "="}[route.Exact] + map[bool]string{true: "~"}[route.Expression] + route.Path
				if route.Loose {
					at = "?" + at
				}
				if route.Foreign {
					at = "foreign " + at
				}
				ends := route.Unchecked + route.Broken
				for _, endpoint := range route.Endpoints {
					ends += endpoint.Pod + map[bool]string{true: " of the release"}[endpoint.Labelled]
				}
				got = append(got, route.Service.Name+" "+at+" "+ends)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// labelledPod is a pod with the release's instance label.
func labelledPod(name string) *core.Pod {
	pod := readyPod(name, "10.0.0.9", nil)
	pod.Labels = map[string]string{instanceLabel: "shop"}
	return pod
}

// TestBackendsOfAPortThatNoContainerHas: nothing will ever answer there, whatever is waited for.
func TestBackendsOfAPortThatNoContainerHas(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{"http-web": "", "web": "web"} {
		s := newServer(t)
		s.Put(recordOf(t, 1, "deployed", workload("apps/v1", "Deployment", "web", "")), readyPod("web-a", "10.0.0.7", nil))
		s.put(workload("apps/v1", "Deployment", "web", ""))
		s.put(replicaSets)
		web := service("web", core.ServiceTypeClusterIP, "", core.ServicePort{Port: 80, Name: "http", TargetPort: intstr.FromString(target)})
		web.Spec.Selector = map[string]string{"app": "web"}
		s.Put(web)
		got, err := s.client().Backends(t.Context(), space, "shop", builtImage(t))
		if err != nil || len(got.Services) != 1 || got.Services[0].NoPort != want {
			t.Errorf("%s: got %+v, %v", target, got.Services, err)
		}
	}
}
