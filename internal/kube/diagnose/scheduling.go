package diagnose

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// Reasons of the events that autoscalers send about a pod without a node: the cluster autoscaler (its FAQ, "What events are
// emitted by CA?") and Karpenter (its troubleshooting page).
var (
	scaleUpReasons   = []string{"TriggeredScaleUp", "Nominated"}
	noScaleUpReasons = []string{"NotTriggerScaleUp"}
)

// noPreemption matches the scheduler's message on how many of how many nodes preempting pods would not help
// (pkg/scheduler/framework/preemption).
var noPreemption = regexp.MustCompile(`preemption: 0/(\d+) nodes are available: (\d+) Preemption is not helpful for scheduling`)

// notInUse matches the scheduler's message that a node is not ready, is cordoned, or waits for its cloud or its network to take it into use. Source:
// kubernetes.io, "Well-Known Labels, Annotations and Taints"; docs.cilium.io, "Considerations on Node Pool Taints".
var notInUse = regexp.MustCompile(`node\.kubernetes\.io/not-ready|were unschedulable|node\.cloudprovider\.kubernetes\.io/uninitialized|node\.cilium\.io/agent-not-ready`)

// Messages of the scheduler about volumes (pkg/scheduler/framework/plugins/volumebinding).
var (
	claimAbsent = regexp.MustCompile(`persistentvolumeclaim "[^"]*" not found`)
	claimLost   = regexp.MustCompile(`bound to non-existent persistentvolume`)
	unbound     = regexp.MustCompile(`unbound immediate PersistentVolumeClaims`)
	aboutVolume = regexp.MustCompile(`unbound immediate PersistentVolumeClaims|persistent volumes to bind|PersistentVolume's node affinity|volume node affinity conflict|` +
		`waiting for ephemeral volume controller|persistentvolumeclaim "[^"]*" is being deleted|enough free storage`)
)

// unscheduled explains a pod that the scheduler has found no node for.
func (e *examination) unscheduled(condition *core.PodCondition) Finding {
	found := Finding{Reason: condition.Reason, Message: Message(condition.Message), Grace: GraceNever}
	if condition.Reason != core.PodReasonUnschedulable { // a scheduling gate, or an error of the scheduler
		return found
	}
	found.Code, found.Grace = causes.Unschedulable, e.nodeGrace(condition.Message)
	found.Hopeless = found.Grace == GraceNoNode && needsOtherNode(condition.Message) && e.noScaleUpHelps()
	if !needsOtherNode(condition.Message) {
		found.Leaving = e.Leaving
	}
	if claimAbsent.MatchString(condition.Message) || claimLost.MatchString(condition.Message) || unbound.MatchString(condition.Message) {
		found.Leaving = 0 // no pod that ends makes a volume
	}
	switch {
	case claimAbsent.MatchString(condition.Message):
		found.Code, found.Grace, found.MayBeCreated = causes.VolumePending, GraceShort, true
	case claimLost.MatchString(condition.Message):
		found.Code, found.Grace = causes.VolumePending, GraceShort
	case aboutVolume.MatchString(condition.Message):
		found.Code = causes.VolumePending
	}
	return found
}

// nodeGrace returns how long a pod may wait for a node. An autoscaler's last event decides, if there is one.
func (e *examination) nodeGrace(message string) time.Duration {
	for _, event := range slices.Backward(e.Events) {
		switch {
		case slices.Contains(scaleUpReasons, event.Reason):
			return GraceNewNode
		case slices.Contains(noScaleUpReasons, event.Reason):
			return GraceNoNode
		}
	}
	if e.Status.NominatedNodeName != "" { // other pods are being evicted in its favour
		return GraceNewNode
	}
	if needsOtherNode(message) {
		return GraceNoNode
	}
	return GraceNode
}

// mayScaleLater matches the autoscaler's reasons that pass: its limits and a pause after a failure. Source: kubernetes/autoscaler, cluster-autoscaler/core/scaleup/orchestrator,
// skippedreasons.go and rejectedreasons.go.
var mayScaleLater = regexp.MustCompile(`limit|max node group size|backoff|not ready|temporarily|in progress`)

// noScaleUpHelps reports whether the last event of the cluster autoscaler says that a node of none of its groups would take the pod, and names nothing that passes.
func (e *examination) noScaleUpHelps() bool {
	for _, event := range slices.Backward(e.Events) {
		switch {
		case slices.Contains(scaleUpReasons, event.Reason):
			return false
		case slices.Contains(noScaleUpReasons, event.Reason):
			return strings.Contains(event.Message, ": ") && !mayScaleLater.MatchString(event.Message)
		}
	}
	return false
}

// needsOtherNode reports whether no pod that ends makes room: preemption helps on no node, and all nodes are in use. A node that starts or is drained may
// come into use.
func needsOtherNode(message string) bool {
	nodes := noPreemption.FindStringSubmatch(message)
	return nodes != nil && nodes[1] == nodes[2] && !notInUse.MatchString(message)
}
