package kube

import (
	"context"
	"slices"

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

// maxOwners bounds how many owners lie between a pod and its workload: from a Knative Service to a pod there are four.
const maxOwners = 6

// owner is an object that lies between a pod and its workload.
type owner struct {
	controller *metav1.OwnerReference // nil if it has none
	revision   string                 // of a Deployment's ReplicaSet, else ""
}

// owners leads from pods to one workload. Each object in between is read once.
type owners struct {
	client   *Client
	workload *unstructured.Unstructured
	byUID    map[types.UID]owner
}

func (c *Client) ownersIn(workload *unstructured.Unstructured) *owners {
	return &owners{client: c, workload: workload, byUID: map[types.UID]owner{}}
}

// addReplicaSets reads the ReplicaSets with the labels at once.
func (o *owners) addReplicaSets(ctx context.Context, selector string) error {
	list, err := o.client.ReplicaSets(o.workload.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		o.byUID[item.UID] = owner{metav1.GetControllerOf(&item), item.Annotations[revisionAnnotation]}
	}
	return nil
}

// leadsToWorkload reports whether the controllers of an object, from one to the next, lead to the workload, and the revision of the last one
// before it.
func (o *owners) leadsToWorkload(ctx context.Context, from metav1.Object) (owned bool, revision string, err error) {
	controller := metav1.GetControllerOf(from)
	for range maxOwners {
		if controller == nil {
			return false, "", nil
		}
		if controller.UID == o.workload.GetUID() {
			return true, revision, nil
		}
		next, err := o.read(ctx, *controller)
		if err != nil {
			return false, "", err
		}
		controller, revision = next.controller, next.revision
	}
	return false, "", nil
}

// builtIn are the kinds whose pods they own directly, or through ReplicaSets.
var builtIn = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"}

// read reads an owner. One that does not exist any more ends the chain, and so does any that a workload of a built-in kind does not
// own directly. One that this user may not read is an error: its pods could be the workload's.
func (o *owners) read(ctx context.Context, reference metav1.OwnerReference) (owner, error) {
	if known, found := o.byUID[reference.UID]; found || slices.Contains(builtIn, o.workload.GetKind()) {
		return known, nil
	}
	var result owner
	live, err := o.client.Dynamic.Resource(workloadResource(reference.APIVersion, reference.Kind)).Namespace(o.workload.GetNamespace()).
		Get(ctx, reference.Name, metav1.GetOptions{})
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
