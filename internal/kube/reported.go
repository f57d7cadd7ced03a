package kube

import (
	"cmp"
	"fmt"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// tellOf reports an object that is not waited for.
func (w *watcher) tellOf(t tracked, object *unstructured.Unstructured) {
	if object == nil {
		return
	}
	switch t.object.Kind {
	case "Service":
		if now, balancer := ofBalancer(object); balancer {
			w.tell(t.object, now)
		}
	case "HorizontalPodAutoscaler":
		w.tell(t.object, ofAutoscaler(object))
	}
}

// ofBalancer is whether a load balancer has its address; false if the Service is of another type.
func ofBalancer(object *unstructured.Unstructured) (condition, bool) {
	service := &core.Service{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, service) != nil || service.Spec.Type != core.ServiceTypeLoadBalancer {
		return condition{}, false
	}
	var hosts []string
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		hosts = append(hosts, printable(cmp.Or(ingress.Hostname, ingress.IP)))
	}
	now := condition{ready: -1, desired: -1, done: len(hosts) > 0, message: "no address yet"}
	if now.done {
		now.message = cut("at "+strings.Join(hosts, ", "), 256)
	}
	return now, true
}

// ofAutoscaler is how many pods an autoscaler wants, and what keeps it from knowing: without metrics it leaves the number alone.
func ofAutoscaler(object *unstructured.Unstructured) condition {
	count := func(path string, missing int) int { return status.GetIntField(object.Object, path, missing) }
	now := condition{ready: -1, desired: -1, done: true, message: fmt.Sprintf("%d pods, wants %d of %d to %d", count(".status.currentReplicas", 0),
		count(".status.desiredReplicas", 0), count(".spec.minReplicas", 1), count(".spec.maxReplicas", 1))}
	if active := conditions(object)["ScalingActive"]; active.status == "False" {
		now.message += "; " + cut(active.reason+": "+active.message, 160)
	}
	return now
}
