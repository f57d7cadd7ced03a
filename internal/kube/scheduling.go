package kube

import (
	"regexp"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// How long a pod may be without a node.
const (
	nodeMayCome = time.Minute
	// nodeMustCome is for a pod for which no pod that goes could make room: only another node, of which nothing is heard.
	nodeMustCome = 30 * time.Second
	// nodeIsComing is for a pod for which an autoscaler has said that it adds a node.
	nodeIsComing = 10 * time.Minute
)

// Events by which autoscalers say what they do about a pod without a node: the cluster autoscaler (its FAQ, "What events are
// emitted by CA?") and Karpenter (its troubleshooting page).
var (
	nodeComes    = []string{"TriggeredScaleUp", "Nominated"}
	nodeComesNot = []string{"NotTriggerScaleUp"}
)

// hopeless is the scheduler saying of every node that no pod that goes would help (pkg/scheduler/framework/preemption).
var hopeless = regexp.MustCompile(`preemption: 0/(\d+) nodes are available: (\d+) Preemption is not helpful for scheduling`)

// Messages of the scheduler that are about volumes (pkg/scheduler/framework/plugins/volumebinding).
var (
	claimAbsent = regexp.MustCompile(`persistentvolumeclaim "[^"]*" not found`)
	claimLost   = regexp.MustCompile(`bound to non-existent persistentvolume`)
	aboutVolume = regexp.MustCompile(`unbound immediate PersistentVolumeClaims|persistent volumes to bind|PersistentVolume's node affinity|volume node affinity conflict|` +
		`waiting for ephemeral volume controller|persistentvolumeclaim "[^"]*" is being deleted|enough free storage`)
)

// unscheduled is a pod that the scheduler has found no node for.
func (v view) unscheduled(condition *core.PodCondition) finding {
	found := finding{reason: condition.Reason, message: wording(condition.Message), bears: never}
	if condition.Reason != core.PodReasonUnschedulable { // held back by a scheduling gate, or a failing scheduler
		return found
	}
	found.code, found.bears = causes.Unschedulable, v.nodePatience(condition.Message)
	switch {
	case claimAbsent.MatchString(condition.Message):
		found.code, found.bears, found.made = causes.VolumePending, soon, true
	case claimLost.MatchString(condition.Message):
		found.code, found.bears = causes.VolumePending, soon
	case aboutVolume.MatchString(condition.Message):
		found.code = causes.VolumePending
	}
	return found
}

// nodePatience is how long a node may be waited for: by the autoscaler's last word if there is one.
func (v view) nodePatience(message string) time.Duration {
	for i := len(v.events) - 1; i >= 0; i-- {
		for _, reason := range nodeComes {
			if v.events[i].Reason == reason {
				return nodeIsComing
			}
		}
		for _, reason := range nodeComesNot {
			if v.events[i].Reason == reason {
				return nodeMustCome
			}
		}
	}
	if v.pod.Status.NominatedNodeName != "" { // other pods are being moved away for it
		return nodeIsComing
	}
	if counts := hopeless.FindStringSubmatch(message); counts != nil && counts[1] == counts[2] && !strings.Contains(message, "node.kubernetes.io/not-ready") {
		return nodeMustCome
	}
	return nodeMayCome
}
