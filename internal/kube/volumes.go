package kube

import (
	"fmt"
	"regexp"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
)

// How long a volume may be missing.
const (
	attaching = 2 * time.Minute // a node lets go of a volume and another takes it
	unmade    = 3 * time.Minute // a provisioner was asked and says nothing
)

// unprovided are the ways in which a claim's events say that asking again will not help
// (pkg/controller/volume/persistentvolume, findProvisionablePlugin; CSI drivers hand on the cloud's own words).
var unprovided = regexp.MustCompile(`(?i)not found|unauthorized|not authorized|access ?denied|forbidden|InvalidParameter|does not support|doesn't support|unsupported`)

// claimFinding is what is the matter with a claim that is not bound, by its last event; nil if nothing is.
func claimFinding(claim *core.PersistentVolumeClaim, events []*core.Event) *finding {
	found := finding{uid: claim.UID, code: causes.VolumePending, bears: never,
		object: release.Object{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name}}
	switch claim.Status.Phase {
	case core.ClaimBound:
		return nil
	case core.ClaimLost:
		found.reason, found.message, found.bears = "ClaimLost", "the claim's volume is gone", soon
		return &found
	}
	for i := len(events) - 1; i >= 0; i-- {
		event := events[i]
		switch event.Reason {
		case "ProvisioningFailed", "VolumeMismatch":
			found.bears = making
			if unprovided.MatchString(event.Message) {
				found.bears = soon
			}
		case "FailedBinding": // no class, and no volume that fits; somebody may be making one
			found.bears = nodeMustCome
		case "ExternalProvisioning", "Provisioning":
			found.bears = unmade
		default:
			continue
		}
		found.reason, found.message = event.Reason, wording(event.Message)
		return &found
	}
	return nil
}

// unmounted is a pod with a node that waits for its volumes or for its network: the kubelet says so in events only, so that
// nothing counts once the pod's sandbox is made, or an image is being pulled.
func (v view) unmounted() *finding {
	if ready := podCondition(v.pod, core.PodReadyToStartContainers); ready != nil && ready.Status == core.ConditionTrue || v.pod.Spec.NodeName == "" {
		return nil
	}
	for i := len(v.events) - 1; i >= 0; i-- {
		event := v.events[i]
		found := finding{reason: event.Reason, message: wording(event.Message), code: causes.VolumePending, bears: attaching}
		switch event.Reason {
		case "Pulling":
			return nil
		case "FailedMount":
			if absent.MatchString(event.Message) {
				found.code, found.bears, found.made = causes.ConfigurationAbsent, soon, true
			}
			return &found
		case "FailedAttachVolume", "FailedMapVolume":
			return &found
		case "FailedCreatePodSandBox":
			found.code, found.bears = causes.ContainerNotStarted, slowly
			return &found
		}
	}
	return nil
}

// claimsOf are the names of the claims that a pod mounts (https://kubernetes.io/docs/concepts/storage/ephemeral-volumes,
// "PersistentVolumeClaim naming").
func claimsOf(pod *core.Pod) (names []string) {
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
