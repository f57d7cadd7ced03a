package diagnose

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// provisioningRefused matches a claim's events that say that another attempt will not help
// (pkg/controller/volume/persistentvolume, findProvisionablePlugin; CSI drivers repeat the cloud provider's message).
var provisioningRefused = regexp.MustCompile(`(?i)not found|unauthorized|not authorized|access ?denied|forbidden|InvalidParameter|does not support|doesn't support|unsupported`)

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
// events only. They no longer count once the pod's sandbox exists, an image is being pulled or a container has started: kubelets before 1.28 do not report
// the sandbox.
func (e *examination) sandboxNotReady(statuses []core.ContainerStatus) *Finding {
	if ready := podCondition(e.Pod.Pod, core.PodReadyToStartContainers); ready != nil && ready.Status == core.ConditionTrue || e.Spec.NodeName == "" {
		return nil
	}
	if slices.ContainsFunc(statuses, func(s core.ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated != nil || s.RestartCount > 0
	}) {
		return nil
	}
	for _, event := range slices.Backward(e.Events) {
		found := Finding{Reason: event.Reason, Message: Message(event.Message), Code: causes.VolumePending, Grace: GraceAttach}
		switch event.Reason {
		case "Pulling":
			return nil
		case "FailedMount":
			if configurationAbsent.MatchString(event.Message) {
				found.Code, found.Grace, found.MayBeCreated = causes.ConfigurationAbsent, GraceTransient, true
				found.Report = fmt.Sprintf("%s/%s", event.UID, event.ResourceVersion)
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
