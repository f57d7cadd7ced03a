package diagnose

import (
	"time"

	core "k8s.io/api/core/v1"
)

// GraceDeadNode is how long a node must have been silent about a pod, after the cluster has noticed that it is, before the pod is not waited for: a node that
// starts again answers sooner.
const GraceDeadNode = time.Minute

// DeadNode returns the node of a pod whose kubelet does not answer, as the pod shows it, and how much longer the node has to be silent to count as dead; "" if the
// pod does not show that. Either the node's controller has made the pod unready while the kubelet last said that its containers are ready, or the kubelet has never
// taken the pod over that was given to it.
// Source: k8s.io/kubernetes, pkg/controller/util/node/controller_utils.go, MarkPodsNotReady; k8s.io/api/core/v1, PodStatus, startTime.
func DeadNode(pod *core.Pod, now time.Time) (node string, left time.Duration) {
	node = pod.Spec.NodeName
	if node == "" || pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed {
		return "", 0
	}
	if pod.Status.Phase == core.PodPending && pod.Status.StartTime == nil {
		assigned := pod.CreationTimestamp.Time
		if scheduled := podCondition(pod, core.PodScheduled); scheduled != nil {
			assigned = scheduled.LastTransitionTime.Time
		}
		return node, max(0, GraceDeadNode-now.Sub(assigned))
	}
	ready, containers := podCondition(pod, core.PodReady), podCondition(pod, core.ContainersReady)
	if ready == nil || ready.Status == core.ConditionTrue || containers == nil || containers.Status != core.ConditionTrue {
		return "", 0
	}
	for _, gate := range pod.Spec.ReadinessGates {
		if condition := podCondition(pod, gate.ConditionType); condition == nil || condition.Status != core.ConditionTrue {
			return "", 0
		}
	}
	return node, max(0, GraceDeadNode-now.Sub(ready.LastTransitionTime.Time))
}
