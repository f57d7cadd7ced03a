package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// provisioningRefused matches a claim's events that say that another attempt will not help
// (pkg/controller/volume/persistentvolume, findProvisionablePlugin; CSI drivers repeat the cloud provider's message). A node or CSINode that is not found may
// have left or not arrived yet, and is chosen anew.
var provisioningRefused = regexp.MustCompile(`(?i)storageclass\S* "[^"]*" not found|unauthorized|not authorized|access ?denied|forbidden|InvalidParameter|does not support|doesn't support|unsupported`)

// Claim explains an unbound claim by its last event; nil if no problem is known. events are about the claim, oldest first.
func Claim(claim *core.PersistentVolumeClaim, events []*core.Event) *Finding {
	found := Finding{UID: claim.UID, Code: causes.VolumePending, Grace: GraceNever,
		Object: release.Object{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name}}
	switch claim.Status.Phase {
	case core.ClaimBound:
		return nil
	case core.ClaimLost:
		found.Reason, found.Message, found.Grace = "ClaimLost", "the claim's volume is gone", GraceShort
		return &found
	}
	for _, event := range slices.Backward(events) {
		switch event.Reason {
		case "ProvisioningFailed", "VolumeMismatch":
			found.Grace = GraceProvisioning
			if provisioningRefused.MatchString(event.Message) {
				found.Grace = GraceShort
			}
		case "FailedBinding": // there is no storage class and no volume that fits; an administrator may be creating a volume
			found.Grace = GraceNoNode
		case "ExternalProvisioning", "Provisioning":
			found.Grace = GraceProvisioner
		default:
			continue
		}
		found.Reason, found.Message = event.Reason, Message(event.Message)
		return &found
	}
	return nil
}

// sandboxNotReady explains a pod with a node that waits for its volumes or its network. The kubelet reports these problems in
// events only. They no longer count once the pod's sandbox exists or an image is being pulled; nor once a container has started, of a kubelet before 1.28,
// which does not report the sandbox.
func (e *examination) sandboxNotReady(statuses []core.ContainerStatus) *Finding {
	ready := podCondition(e.Pod.Pod, core.PodReadyToStartContainers)
	if ready != nil && ready.Status == core.ConditionTrue || e.Spec.NodeName == "" {
		return nil
	}
	if ready == nil && slices.ContainsFunc(statuses, func(s core.ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated != nil || s.RestartCount > 0
	}) {
		return nil
	}
	for i, event := range slices.Backward(e.Events) {
		found := Finding{Reason: event.Reason, Message: Message(event.Message), Code: causes.VolumePending, Grace: GraceAttach}
		switch event.Reason {
		case "Pulling":
			return nil
		case "FailedMount":
			if absent := lastAbsent(e.Events[:i+1]); absent != nil {
				found.Message, found.Code, found.Grace, found.MayBeCreated = Message(absent.Message), causes.ConfigurationAbsent, GraceTransient, true
				found.Report = fmt.Sprintf("%s/%s", absent.UID, absent.ResourceVersion)
			}
			return &found
		case "FailedAttachVolume", "FailedMapVolume":
			found.Leaving = e.Leaving // the volume may be attached to the node of a pod that is being deleted
			return &found
		case "FailedCreatePodSandBox":
			found.Code, found.Grace = causes.ContainerNotStarted, GraceBusyNode
			return &found
		}
	}
	return nil
}

// mountPause is the longest pause between two attempts to mount a volume (k8s.io/kubernetes, pkg/util/goroutinemap/exponentialbackoff,
// maxDurationBeforeRetry).
const mountPause = 2*time.Minute + 2*time.Second

// lastAbsent returns the last of the events that says that a Secret or ConfigMap to mount is missing, nil if none does. The last event is about a mount that
// failed, maybe of another volume, or of all volumes together; a volume whose last failure is older than the longest pause has been mounted since.
func lastAbsent(events []*core.Event) *core.Event {
	last := LastOccurrence(events[len(events)-1])
	for _, event := range slices.Backward(events) {
		switch {
		case event.Reason == "Pulling", last.Sub(LastOccurrence(event)) > mountPause:
			return nil
		case event.Reason == "FailedMount" && configurationAbsent.MatchString(event.Message):
			return event
		}
	}
	return nil
}

// ClaimNames returns the names of the claims that a pod mounts (https://kubernetes.io/docs/concepts/storage/ephemeral-volumes,
// "PersistentVolumeClaim naming").
func ClaimNames(pod *core.Pod) (names []string) {
	for _, volume := range pod.Spec.Volumes {
		switch {
		case volume.PersistentVolumeClaim != nil:
			names = append(names, volume.PersistentVolumeClaim.ClaimName)
		case volume.Ephemeral != nil:
			names = append(names, fmt.Sprintf("%s-%s", pod.Name, volume.Name))
		}
	}
	return names
}
