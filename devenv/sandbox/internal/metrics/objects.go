package metrics

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	api "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

func discoverGroup(*http.Request) (runtime.Object, error) {
	only := metav1.GroupVersionForDiscovery{GroupVersion: version, Version: api.SchemeGroupVersion.Version}
	return &metav1.APIGroup{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: api.GroupName,
		Versions: []metav1.GroupVersionForDiscovery{only}, PreferredVersion: only,
	}, nil
}

func discoverResources(*http.Request) (runtime.Object, error) {
	verbs := metav1.Verbs{"get", "list"}
	return &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version,
		APIResources: []metav1.APIResource{
			{Name: nodes.Resource, Kind: "NodeMetrics", Verbs: verbs},
			{Name: pods.Resource, Kind: "PodMetrics", Namespaced: true, Verbs: verbs},
		},
	}, nil
}

func (s *Server) listPods(r *http.Request) (runtime.Object, error) {
	found, err := s.client.CoreV1().Pods(r.PathValue("namespace")).List(r.Context(), listOptions(r))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found.Items, func(a, b core.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	list := &api.PodMetricsList{TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: version}, Items: []api.PodMetrics{}}
	for _, pod := range found.Items {
		if one, known := s.measuredPod(&pod); known {
			list.Items = append(list.Items, *one)
		}
	}
	return list, nil
}

func (s *Server) getPod(r *http.Request) (runtime.Object, error) {
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	pod, err := s.client.CoreV1().Pods(namespace).Get(r.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if one, known := s.measuredPod(pod); known {
		return one, nil
	}
	return nil, apierrors.NewNotFound(pods, fmt.Sprintf("%s/%s", namespace, name))
}

// measuredPod returns the usage of a running pod. Its time and window are those of the container that was measured first.
func (s *Server) measuredPod(pod *core.Pod) (*api.PodMetrics, bool) {
	if pod.Status.Phase != core.PodRunning {
		return nil, false
	}
	containers, known := s.history.pod(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	if !known {
		return nil, false
	}
	one := &api.PodMetrics{TypeMeta: metav1.TypeMeta{Kind: "PodMetrics", APIVersion: version}, ObjectMeta: metadata(pod)}
	for _, name := range slices.Sorted(maps.Keys(containers)) {
		p := containers[name]
		if one.Timestamp.IsZero() || p.last.at.Before(one.Timestamp.Time) {
			one.Timestamp, one.Window = metav1.NewTime(p.last.at), windowOf(p)
		}
		one.Containers = append(one.Containers, api.ContainerMetrics{Name: name, Usage: p.usage()})
	}
	return one, true
}

func (s *Server) listNodes(r *http.Request) (runtime.Object, error) {
	found, err := s.client.CoreV1().Nodes().List(r.Context(), listOptions(r))
	if err != nil {
		return nil, err
	}
	list := &api.NodeMetricsList{TypeMeta: metav1.TypeMeta{Kind: "NodeMetricsList", APIVersion: version}, Items: []api.NodeMetrics{}}
	for _, node := range found.Items {
		if one, known := s.measuredNode(&node); known {
			list.Items = append(list.Items, *one)
		}
	}
	return list, nil
}

func (s *Server) getNode(r *http.Request) (runtime.Object, error) {
	node, err := s.client.CoreV1().Nodes().Get(r.Context(), r.PathValue("name"), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if one, known := s.measuredNode(node); known {
		return one, nil
	}
	return nil, apierrors.NewNotFound(nodes, node.Name)
}

// measuredNode returns the usage of a node; false if no rate can be computed yet.
func (s *Server) measuredNode(node *core.Node) (*api.NodeMetrics, bool) {
	p, known := s.history.node(node.Name)
	if !known {
		return nil, false
	}
	return &api.NodeMetrics{
		TypeMeta: metav1.TypeMeta{Kind: "NodeMetrics", APIVersion: version}, ObjectMeta: metadata(node),
		Timestamp: metav1.NewTime(p.last.at), Window: windowOf(p), Usage: p.usage(),
	}, true
}

// windowOf returns the window in milliseconds, the precision of the metrics API.
func windowOf(p pair) metav1.Duration {
	return metav1.Duration{Duration: p.window().Round(time.Millisecond)}
}

// metadata returns the metadata of metrics: parts of their object's.
func metadata(of metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: of.GetName(), Namespace: of.GetNamespace(), Labels: of.GetLabels(), CreationTimestamp: metav1.Now()}
}
