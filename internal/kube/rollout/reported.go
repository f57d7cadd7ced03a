package rollout

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// reportedCondition returns the condition of an object that is reported but not waited for; false if there is nothing to report.
func reportedCondition(kind string, object *unstructured.Unstructured) (readiness, bool) {
	switch {
	case object == nil:
	case kind == "Service":
		return loadBalancerCondition(object)
	case kind == "HorizontalPodAutoscaler":
		return autoscalerCondition(object), true
	}
	return readiness{}, false
}

// loadBalancerCondition is done when a load balancer has its address; false if the Service is of another type.
func loadBalancerCondition(object *unstructured.Unstructured) (readiness, bool) {
	service := &core.Service{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, service) != nil || service.Spec.Type != core.ServiceTypeLoadBalancer {
		return readiness{}, false
	}
	var hosts []string
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		hosts = append(hosts, cmp.Or(ingress.Hostname, ingress.IP))
	}
	cond := readiness{ready: -1, desired: -1, done: len(hosts) > 0, message: "no address yet"}
	if cond.done {
		cond.message = text.Line("at "+strings.Join(hosts, ", "), 256)
	}
	return cond, true
}

// autoscalerCondition describes how many pods an autoscaler wants, or why it has no metrics.
func autoscalerCondition(object *unstructured.Unstructured) readiness {
	count := func(path string, missing int) int { return status.GetIntField(object.Object, path, missing) }
	cond := readiness{ready: -1, desired: -1, done: true, message: fmt.Sprintf("%s, wants %d of %d to %d", release.Count(count(".status.currentReplicas", 0), "pod"),
		count(".status.desiredReplicas", 0), count(".spec.minReplicas", 1), count(".spec.maxReplicas", 1))}
	if active := diagnose.Conditions(object)["ScalingActive"]; active.Status == "False" {
		cond.message += "; " + text.Truncate(active.Reason+": "+active.Message, 160)
	}
	return cond
}
