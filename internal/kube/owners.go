package kube

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
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

// Annotations on every object that Helm applies (helm.sh/helm/v3/pkg/action, validate.go).
const (
	releaseAnnotation          = "meta.helm.sh/release-name"
	releaseNamespaceAnnotation = "meta.helm.sh/release-namespace"
)

// belongsTo reports whether an object is a release's: Helm has applied it, or it is in the release's namespace, is labelled app.kubernetes.io/instance=NAME and
// no other Helm release has applied it.
func belongsTo(object metav1.Object, namespace, name string) bool {
	if by := object.GetAnnotations()[releaseAnnotation]; by != "" {
		of := object.GetAnnotations()[releaseNamespaceAnnotation]
		return by == name && cmp.Or(of, object.GetNamespace()) == namespace
	}
	return object.GetNamespace() == namespace && object.GetLabels()[instanceLabel] == name
}

// addressKinds are the kinds by which a release is reached, besides those of routes.
var addressKinds = []string{"Service", "Ingress"}

// addressNamespaces returns the namespaces in which a release has applied Services, Ingresses and routes, its own first.
func (a applied) addressNamespaces(own string) ([]string, error) {
	var others []string
	err := eachObject(a.Manifest, "namespace", func(object map[string]any) {
		u := unstructured.Unstructured{Object: object}
		isRoute := slices.ContainsFunc(routes, func(kind route) bool { return kind.group == u.GroupVersionKind().Group })
		if in := u.GetNamespace(); in != "" && in != own && (isRoute || slices.Contains(addressKinds, u.GetKind())) {
			others = append(others, in)
		}
	})
	slices.Sort(others)
	return append([]string{own}, slices.Compact(others)...), err
}

// addressNamespaces reads in which namespaces a release has applied Services, Ingresses and routes, its own first. It returns only that of a release without a
// record of Helm, or whose records this user may not read. The error is a *release.Fault.
func (c *Client) addressNamespaces(ctx context.Context, namespace, name string) ([]string, error) {
	revision, err := c.appliedRevision(ctx, namespace, name)
	if errors.Is(err, errNoRecord) || apierrors.IsForbidden(err) {
		return []string{namespace}, nil
	}
	if err != nil {
		return nil, c.Fault(ctx, err, "reading the record of release %q in namespace %q", name, namespace)
	}
	return revision.addressNamespaces(namespace)
}

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

// For how long the controller of a custom resource is given to create pods that no field asks for. Many kinds have none at times: a ScaledJob without work, a Workflow that is a
// template. No API says which these are.
const (
	silentPatience = time.Minute      // its status is empty, or of an older generation
	spokenPatience = 20 * time.Second // its status is of the present generation, or it names the image outside of a pod template
)

// awaitController says of a custom resource without pods how long its controller is given to make some. One with a number of replicas wants them as any workload does.
func awaitController(workload *release.RunningWorkload, live *unstructured.Unstructured, loose bool) {
	replicas, isSet := int64At(live, "spec", "replicas")
	switch {
	case isSet && replicas == 0:
		workload.Note = "wants no pod: it has 0 replicas"
	case isSuspended(live.Object):
		workload.Note = "wants no pod: it is suspended"
	case workload.WantsPods && !loose:
		workload.Note = "its controller has created none"
	case loose, hasSpoken(live):
		workload.Patience, workload.Changed = spokenPatience, changedAt(live)
	default:
		workload.Patience, workload.Changed = silentPatience, changedAt(live)
	}
}

// hasSpoken reports whether a controller has written a status since the object's spec last changed, as far as it says of which generation it is.
// Source: kubernetes/community, API conventions, observedGeneration. Argo Rollouts writes it as a string.
func hasSpoken(live *unstructured.Unstructured) bool {
	status, _, _ := unstructured.NestedMap(live.Object, "status")
	if len(status) == 0 {
		return false
	}
	observed, isSet := status["observedGeneration"]
	return !isSet || generationOf(observed) == live.GetGeneration()
}

// generationOf returns a generation that is a number or a text; 0 if it is neither.
func generationOf(value any) int64 {
	switch value := value.(type) {
	case int64:
		return value
	case float64:
		return int64(value)
	case string:
		number, err := strconv.ParseInt(value, 10, 64)
		if err == nil {
			return number
		}
	}
	return 0
}

// changedAt returns when somebody last wrote an object apart from its status, by the cluster's clock.
func changedAt(live *unstructured.Unstructured) time.Time {
	newest := live.GetCreationTimestamp().Time
	for _, field := range live.GetManagedFields() {
		if field.Subresource == "" && field.Time != nil && field.Time.After(newest) {
			newest = field.Time.Time
		}
	}
	return newest
}
