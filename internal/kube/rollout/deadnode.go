package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// withDeadNodes returns the condition of a DaemonSet some of whose nodes do not answer: it counts them among the pods that it wants, and never reports them as
// updated. It is ready once the pods on all other nodes are; the nodes are named. Where their pods use up maxUnavailable, so that the controller replaces no further
// one, it stays pending and says so: no other release would be rolled out either.
// Source: k8s.io/kubernetes, pkg/controller/daemon/update.go, rollingUpdate; daemon_controller.go, updateDaemonSetStatus.
func (a *assessor) withDeadNodes(o observedObject, cond readiness) readiness {
	if o.object.Kind != "DaemonSet" || o.content == nil || cond.done || diagnose.NotObserved(o.content) {
		return cond
	}
	dead := a.deadNodesOf(o)
	if len(dead) == 0 {
		return cond
	}
	nodes := strings.Join(dead[:min(len(dead), maxNodesNamed)], ", ")
	if more := len(dead) - maxNodesNamed; more > 0 {
		nodes += fmt.Sprintf(" and %d more", more)
	}
	current, ready, older := a.currentPods(o), 0, 0
	for _, pod := range a.namespaceOf(o).pods {
		switch {
		case pod.DeletionTimestamp != nil || !diagnose.IsOwned(pod, o.content.GetUID()) || slices.Contains(dead, pod.Spec.NodeName):
		case !slices.ContainsFunc(current, func(p *core.Pod) bool { return p.UID == pod.UID }):
			older++
		case diagnose.IsReady(pod):
			ready++
		}
	}
	wanted := cond.desired - len(dead)
	available := status.GetIntField(o.content.Object, ".status.numberAvailable", 0)
	if wanted > 0 && ready >= wanted && older == 0 && available >= wanted {
		cond.done, cond.ready, cond.older = true, ready, max(0, cond.desired-len(current))
		cond.note = fmt.Sprintf("%d of %d pods are not waited for, because their nodes do not answer: %s", len(dead), cond.desired, nodes)
		return cond
	}
	cond.message = fmt.Sprintf("%d of %d nodes do not answer (%s)", len(dead), cond.desired, nodes)
	if older > 0 {
		cond.message += fmt.Sprintf(", and %d pods on other nodes are not replaced yet: a pod on such a node counts as unavailable, and updateStrategy's maxUnavailable limits them; remove the nodes or raise it", older)
	}
	return cond
}

// maxNodesNamed is how many nodes a message names.
const maxNodesNamed = 5

// deadNodesOf returns the names of the nodes of an object's pods that do not answer, sorted. A node with another pod of the object that is ready answers.
func (a *assessor) deadNodesOf(o observedObject) []string {
	dead, alive := map[string]bool{}, map[string]bool{}
	for _, pod := range a.namespaceOf(o).pods {
		if !diagnose.IsOwned(pod, o.content.GetUID()) {
			continue
		}
		node, left := diagnose.DeadNode(pod, a.now)
		switch {
		case node == "":
			alive[pod.Spec.NodeName] = alive[pod.Spec.NodeName] || diagnose.IsReady(pod)
		case a.due(left):
			dead[node] = true
		}
	}
	maps.DeleteFunc(dead, func(node string, _ bool) bool { return alive[node] })
	return slices.Sorted(maps.Keys(dead))
}

// onAnsweringNodes returns the pods of a DaemonSet that are on nodes which answer: the others say nothing about the release. Of another kind, it returns all.
func (a *assessor) onAnsweringNodes(o observedObject, pods []*core.Pod) []*core.Pod {
	if o.object.Kind != "DaemonSet" {
		return pods
	}
	return slices.DeleteFunc(slices.Clone(pods), func(pod *core.Pod) bool {
		node, _ := diagnose.DeadNode(pod, a.now)
		return node != "" && pod.Status.StartTime != nil
	})
}
