package kube

import (
	"context"
	"slices"
	"strings"

	apps "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Marks of revisions. Source: k8s.io/kubernetes, pkg/controller/deployment/util; k8s.io/api/apps/v1, ControllerRevisionHashLabelKey.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	revisionLabel      = "controller-revision-hash"
)

// maxOwners is how many owners are followed from a pod to its workload: from a pod to a Knative Service there are four.
const maxOwners = 6

// owner is an object between a pod and its workload.
type owner struct {
	controller *metav1.OwnerReference // nil if it has none
	revision   string                 // of a Deployment's ReplicaSet, else ""
}

// owners follows the controllers (metadata.ownerReferences) from pods to one workload. It reads each object once.
type owners struct {
	client   *Client
	workload *unstructured.Unstructured
	byUID    map[types.UID]owner
}

// ownersIn returns an owners that follows pods to the workload.
func (c *Client) ownersIn(workload *unstructured.Unstructured) *owners {
	return &owners{client: c, workload: workload, byUID: map[types.UID]owner{}}
}

// addReplicaSets makes the ReplicaSets known, so that none is read by itself.
func (o *owners) addReplicaSets(replicaSets []apps.ReplicaSet) {
	for i := range replicaSets {
		set := &replicaSets[i]
		o.byUID[set.UID] = owner{metav1.GetControllerOf(set), set.Annotations[revisionAnnotation]}
	}
}

// chain is the chain of an object's controllers.
type chain struct {
	owned    bool   // it ends at the workload
	revision string // of its last object before the workload
	byJob    bool   // one of the controllers is a Job, or the workload is
}

// leadsToWorkload follows the chain of an object's controllers to the workload. What does not end there is returned as the zero chain.
func (o *owners) leadsToWorkload(ctx context.Context, from metav1.Object) (followed chain, err error) {
	controller := metav1.GetControllerOf(from)
	for range maxOwners {
		if controller == nil {
			return chain{}, nil
		}
		followed.byJob = followed.byJob || controller.Kind == "Job" && strings.HasPrefix(controller.APIVersion, "batch/")
		if controller.UID == o.workload.GetUID() {
			followed.owned = true
			return followed, nil
		}
		next, err := o.ownerOf(ctx, from.GetNamespace(), *controller)
		if err != nil {
			return chain{}, err
		}
		controller, followed.revision = next.controller, next.revision
	}
	return chain{}, nil
}

// ownsPodsDirectly are the kinds that own their pods directly, or through ReplicaSets.
var ownsPodsDirectly = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"}

// ownerOf returns the owner that a reference names; the zero owner, which ends the chain, if it no longer exists. For a workload that owns its pods directly
// no request is sent: its ReplicaSets are known already (addReplicaSets), so another owner is not the workload's. If this user may not read an
// owner, that is an error: the pods could be the workload's.
func (o *owners) ownerOf(ctx context.Context, namespace string, reference metav1.OwnerReference) (owner, error) {
	if known, found := o.byUID[reference.UID]; found || slices.Contains(ownsPodsDirectly, o.workload.GetKind()) {
		return known, nil
	}
	var result owner
	objects, err := o.client.objectsOf(ctx, reference.APIVersion, reference.Kind, namespace)
	if err != nil {
		return owner{}, err
	}
	live, err := objects.Get(ctx, reference.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return owner{}, err
	case live.GetUID() == reference.UID:
		result.controller = metav1.GetControllerOf(live)
	}
	o.byUID[reference.UID] = result
	return result, nil
}
