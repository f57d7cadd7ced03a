package rollout

import (
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// withOlderPods returns the condition of a workload whose settings keep pods of an older template: with OnDelete until somebody
// deletes them, or below a StatefulSet's partition. Such pods are reported, and not waited for.
func (a *assessor) withOlderPods(o observedObject, cond readiness) readiness {
	if o.object.Kind != "StatefulSet" && o.object.Kind != "DaemonSet" || o.content == nil || diagnose.NotObserved(o.content) {
		return cond
	}
	strategy, _, _ := unstructured.NestedString(o.content.Object, "spec", "updateStrategy", "type")
	partition, _, _ := unstructured.NestedInt64(o.content.Object, "spec", "updateStrategy", "rollingUpdate", "partition")
	pods := a.namespaceOf(o).podSync
	if strategy != "OnDelete" && partition == 0 || pods == nil || !pods.Synced {
		return cond
	}
	current := a.currentPods(o)
	ready, older := 0, 0
	for _, pod := range a.namespaceOf(o).pods {
		if pod.DeletionTimestamp != nil || !diagnose.IsOwned(pod, o.content.GetUID()) {
			continue
		}
		switch {
		case !slices.ContainsFunc(current, func(p *core.Pod) bool { return p.UID == pod.UID }):
			older++
		case diagnose.IsReady(pod):
			ready++
		}
	}
	if strategy == "OnDelete" {
		cond.done = ready == len(current) && len(current)+older >= cond.desired
		if older == 0 { // all are of the present template, and have to stay ready for as long as under a rolling update
			cond = availableCondition(o.content, cond)
		}
	}
	if older > 0 {
		cond.ready, cond.older = ready, older
		cond.note = fmt.Sprintf("%d of %d pods have an older template: updateStrategy OnDelete replaces a pod only when somebody deletes it", older, len(current)+older)
		if strategy != "OnDelete" {
			cond.note = fmt.Sprintf("%d of %d pods have an older template: updateStrategy has partition %d", older, len(current)+older, partition)
		}
	}
	return cond
}
