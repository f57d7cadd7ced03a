package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/sync/errgroup"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Running lists the release's workloads whose pod template names the image, with the pods that they own and what the kubelets report of
// the containers that name it. The workloads are those of the manifest that Helm has recorded of the deployed revision; of a release
// without such a record, or whose records this user may not read, those that are labelled app.kubernetes.io/instance=NAME or onedigest.dev/release=NAME. Of these, kinds
// that this user may not list are left out and named, as long as a workload of another kind is found.
//
// Pods are found by ownership (metadata.ownerReferences) and never by label, because other workloads share the release's labels. Pods
// that are being deleted are left out, and pods that have ended, except a Job's. The error is a *release.Fault.
func (c *Client) Running(ctx context.Context, namespace, name string, image release.Image) (release.Running, error) {
	named, err := c.workloads(ctx, namespace, name, image)
	if err != nil {
		return release.Running{}, err
	}
	running := release.Running{Unread: named.unread, RecordUnread: named.recordUnread, Hooks: named.hooks, Named: named.named}
	reader := newReader(c, named.objects()...)
	for _, workload := range named.workloads {
		for _, other := range workload.others {
			running.Others = append(running.Others, fmt.Sprintf("%s %s", workload.object, other))
		}
		if len(workload.containers) == 0 {
			continue
		}
		one, err := reader.runningWorkload(ctx, workload, image)
		if err != nil {
			return release.Running{}, c.Fault(ctx, err, "reading the pods of %s in namespace %q", workload.object, workload.object.Namespace)
		}
		running.Workloads = append(running.Workloads, one)
	}
	return running, nil
}

// naming lists the workloads and hooks of a release that name an image.
type naming struct {
	workloads []templated // workloads whose pod template contains an image of the same repository
	unread    []string    // kinds that this user may not list

	recordUnread bool             // Helm's record of the release may not be read
	hooks        []release.Object // hooks that succeeded with the image
	named        []release.Object // other objects and hooks that hold its digest; only of an image that no workload and no such hook has

	namespaces []string // in which the release has Services, Ingresses and routes, its own first
}

// objects returns the workloads whose pods are read.
func (n naming) objects() (objects []release.Object) {
	for _, workload := range n.workloads {
		if len(workload.containers) > 0 {
			objects = append(objects, workload.object)
		}
	}
	return objects
}

// workloads finds the workloads and hooks of a release that name an image.
func (c *Client) workloads(ctx context.Context, namespace, name string, image release.Image) (found naming, err error) {
	if found, known, err := c.appliedWorkloads(ctx, namespace, name, image); known || err != nil {
		return found, err
	}
	revision, err := c.appliedRevision(ctx, namespace, name)
	if errors.Is(err, errNoRecord) || apierrors.IsForbidden(err) {
		found.namespaces, found.recordUnread = []string{namespace}, apierrors.IsForbidden(err)
		found.workloads, found.unread, err = c.labelledWorkloads(ctx, namespace, name, image)
		return found, err
	}
	if err != nil {
		return naming{}, c.Fault(ctx, err, "reading the record of release %q in namespace %q", name, namespace)
	}
	if found.namespaces, err = revision.addressNamespaces(namespace); err != nil {
		return naming{}, err
	}
	if found.workloads, err = workloadsNaming(revision.Manifest, namespace, image); err != nil {
		return naming{}, err
	}
	for i := range found.workloads {
		found.workloads[i].since = revision.recorded
	}
	if err := found.addReferring(revision.Manifest, namespace); err != nil {
		return naming{}, err
	}
	if found.hooks, err = revision.hooksThatRan(namespace, image); err != nil || len(found.hooks) > 0 || len(found.objects()) > 0 {
		return found, err
	}
	found.named, err = revision.naming(namespace, image.Digest)
	return found, err
}

// addReferring adds the custom resources that run the pod template of a workload of the release in place of it, as an Argo Rollout does.
// Source: argo-rollouts.readthedocs.io, "Migrating", Reference Deployment From Rollout (spec.workloadRef).
func (n *naming) addReferring(manifest, namespace string) error {
	referred := n.workloads
	return eachObject(manifest, "workloadRef", func(object map[string]any) { n.addReferrer(referred, object, namespace) })
}

// addReferrer adds an object if it runs the pod template of one of the workloads in place of it.
func (n *naming) addReferrer(referred []templated, object map[string]any, namespace string) {
	kind, _, _ := unstructured.NestedString(object, "spec", "workloadRef", "kind")
	name, _, _ := unstructured.NestedString(object, "spec", "workloadRef", "name")
	own := objectID(object, namespace)
	for _, workload := range referred {
		if workload.object.Kind == kind && workload.object.Name == name && workload.object.Namespace == own.Namespace {
			workload.object = own
			n.workloads = append(n.workloads, workload)
		}
	}
}

// NodePlatform returns the platform of a node, as its kubelet reports it.
func (c *Client) NodePlatform(ctx context.Context, node string) (release.Platform, error) {
	found, err := c.Dynamic.Resource(core.SchemeGroupVersion.WithResource("nodes")).Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return release.Platform{}, c.Fault(ctx, err, "reading the platform of node %q", node)
	}
	system, _, _ := unstructured.NestedString(found.Object, "status", "nodeInfo", "operatingSystem")
	architecture, _, _ := unstructured.NestedString(found.Object, "status", "nodeInfo", "architecture")
	return release.Platform{OS: system, Architecture: architecture}, nil
}

// workloadResource returns the resource of a kind of Kubernetes itself.
func workloadResource(apiVersion, kind string) schema.GroupVersionResource {
	resource, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(apiVersion, kind))
	return resource
}

// runningWorkload reads a workload and its pods.
func (r *reader) runningWorkload(ctx context.Context, workload templated, image release.Image) (release.RunningWorkload, error) {
	if workload.object.Kind == "CronJob" {
		pods, failed, err := r.client.scheduledPods(ctx, workload, image)
		result := release.RunningWorkload{Object: workload.object, Pods: pods, Failed: failed, Note: "runs the image at its next schedule"}
		if workload.suspended {
			result.Note = "is suspended, and runs nothing"
		}
		if failed != "" {
			result.Note = "has run the image, and failed: " + failed
		}
		return result, err
	}
	result, _, err := r.workloadWithPods(ctx, workload, image)
	return result, err
}

// workloadWithPods reads a workload that is no CronJob, with its pods.
func (r *reader) workloadWithPods(ctx context.Context, workload templated, image release.Image) (result release.RunningWorkload, pods []ownedPod, err error) {
	result.Object = workload.object
	live, err := r.workload(ctx, workload.object)
	if workload.loose && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) {
		result.Unfound = "cannot be read, so whether its pods run the image is not known: " + text.Line(err.Error(), 200)
		return result, nil, nil
	}
	if apierrors.IsNotFound(err) {
		result.WantsPods, result.Note = true, "it does not exist"
		if workload.object.Kind == "Job" {
			result.WantsPods, result.Note = false, "has been collected, so that its pods can no longer be compared"
		}
		return result, nil, nil
	}
	if err != nil {
		return result, nil, err
	}
	result.WantsPods, result.Note = wantsPods(live)
	if live.GetKind() == "Job" {
		result.Failed = whyFailed(live)
	}
	pods, result.Terminating, err = r.ownedPods(ctx, live, workload.containers, image)
	if isCustom(live) && err == nil && len(pods) == 0 {
		awaitController(&result, live, workload.loose)
	}
	if (workload.loose || workload.mayBeUnread) && apierrors.IsForbidden(err) || workload.loose && err == nil && len(pods) == 0 { // its spec may ask for pods of another kind, or for none
		result.WantsPods, result.Unfound = false, "owns no pod of the image, so whether what it makes runs it is not known"
		if err != nil {
			result.Unfound = "has pods whose owners may not be read, so whether they run the image is not known: " + text.Line(err.Error(), 200)
		}
		return result, nil, nil
	}
	if err != nil {
		return result, nil, err
	}
	if result.ByPods = isJudgedByPods(live) && !(isCustom(live) && runToEnd(pods)); result.ByPods && slices.ContainsFunc(pods, func(pod ownedPod) bool { return !isEnded(pod.Pod) }) {
		result.WantsPods, result.Note = true, "" // whatever field says how many
	}
	for _, owned := range pods {
		named := workload.containers
		if isCustom(live) { // a pod has the containers of one of its templates
			named = containersOf(owned.Pod, named, image)
		}
		result.Pods = append(result.Pods, podImages(owned, named, image.Digest)...)
	}
	slices.SortFunc(result.Pods, func(a, b release.PodImage) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container))
	})
	return result, pods, nil
}

// isJudgedByPods reports whether no status says that a workload's pods are ready with its present template: it is a custom resource, whose status may
// say nothing of them, a ReplicationController, or a Pod, whose kubelet replaces a container of another image after the rollout saw the old one ready.
func isJudgedByPods(live *unstructured.Unstructured) bool {
	phase, _, _ := unstructured.NestedString(live.Object, "status", "phase")
	switch live.GetKind() {
	case "ReplicationController":
		return true
	case "Pod":
		return phase != string(core.PodSucceeded)
	}
	return isCustom(live)
}

// runToEnd reports whether there are pods and all of them have ended or are of Jobs, as those that KEDA's ScaledJob makes. They serve nothing, and there may be none at any
// time. The restart policy does not tell: the pods of Agones' Fleet serve, and are never restarted.
func runToEnd(pods []ownedPod) bool {
	return len(pods) > 0 && !slices.ContainsFunc(pods, func(pod ownedPod) bool { return !pod.ofJob && !isEnded(pod.Pod) })
}

// isCustom reports whether an object is a custom resource.
func isCustom(live *unstructured.Unstructured) bool {
	return !slices.Contains(BuiltInGroups, live.GroupVersionKind().Group)
}

// namedContainers returns those of the named containers that a pod has.
func namedContainers(pod *core.Pod, names []string) (found []string) {
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if slices.Contains(names, container.Name) {
			found = append(found, container.Name)
		}
	}
	return found
}

// containersOf returns the containers of a custom resource's pod that stand for the named ones of its template: those of the same name and, if there are none or
// one of the template has no name, those with an image of the same repository. A controller may give the names, as Knative's does (user-container).
func containersOf(pod *core.Pod, names []string, image release.Image) []string {
	found := namedContainers(pod, names)
	if len(found) > 0 && !slices.Contains(names, "") {
		return found
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if !slices.Contains(found, container.Name) && (namesRepository(container.Image, image.Repository) || namesDigest(container.Image, image.Digest)) {
			found = append(found, container.Name)
		}
	}
	return found
}

// scheduledPods returns the pods of a CronJob's Jobs that name the image and are complete, including Jobs that were created from it manually, and why the newest
// Job that has ended failed, "" if it is complete. A Job that was created before the live revision says nothing about its configuration: its failure does not count.
// It returns none if this user may not list Jobs.
func (c *Client) scheduledPods(ctx context.Context, cronJob templated, image release.Image) (pods []release.PodImage, failed string, err error) {
	list, err := c.Dynamic.Resource(workloadResource("batch/v1", "Job")).Namespace(cronJob.object.Namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int {
		return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), cmp.Compare(a.GetName(), b.GetName()))
	})
	for i := range list.Items {
		job := &list.Items[i]
		named, _ := namesImage(job.Object, job.GetNamespace(), image)
		if by := metav1.GetControllerOf(job); by == nil || by.Kind != cronJob.object.Kind || by.Name != cronJob.object.Name || len(named.containers) == 0 {
			continue
		}
		if why := whyFailed(job); why != "" && !job.GetCreationTimestamp().Time.Before(cronJob.since) {
			failed = fmt.Sprintf("Job %q: %s", job.GetName(), why)
		}
		if !isComplete(job) {
			continue
		}
		failed = ""
		owned, _, err := newReader(c).ownedPods(ctx, job, named.containers, image)
		if err != nil {
			return nil, "", err
		}
		for _, pod := range owned {
			if pod.Status.Phase == core.PodSucceeded {
				pods = append(pods, podImages(pod, named.containers, image.Digest)...)
			}
		}
	}
	return pods, failed, nil
}

// isComplete reports whether a Job has succeeded.
func isComplete(job *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(job.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(condition any) bool {
		is, _ := condition.(map[string]any)
		return is["type"] == "Complete" && is["status"] == "True"
	})
}

// whyFailed returns why a Job has failed permanently, "" if it has not. Source: kubernetes.io, "Jobs", Terminal Job conditions.
func whyFailed(job *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(job.Object, "status", "conditions")
	for _, condition := range conditions {
		if is, _ := condition.(map[string]any); is["type"] == "Failed" && is["status"] == "True" {
			reason, _ := is["reason"].(string)
			message, _ := is["message"].(string)
			return text.Line(cmp.Or(reason, "Failed")+": "+message, 300)
		}
	}
	return ""
}

// wantsPods reports whether a workload wants pods at present, and if not, why. A complete Job's pods may be deleted; a custom
// resource without a replicas field may have none.
func wantsPods(live *unstructured.Unstructured) (wants bool, note string) {
	replicas, isSet := int64At(live, "spec", "replicas")
	switch live.GetKind() {
	case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController":
		if isSet && replicas == 0 {
			return false, "wants no pod: it has 0 replicas"
		}
		return true, ""
	case "DaemonSet":
		if nodes, _ := int64At(live, "status", "desiredNumberScheduled"); nodes == 0 {
			return false, "wants no pod: no node is eligible"
		}
		return true, ""
	case "Pod":
		if phase, _, _ := unstructured.NestedString(live.Object, "status", "phase"); phase == string(core.PodSucceeded) {
			return false, "has run to its end"
		}
		return true, ""
	case "Job":
		if isSuspended(live.Object) {
			return false, "wants no pod: it is suspended"
		}
		return false, "has no pod any more that could be compared"
	}
	if replicas > 0 {
		return true, ""
	}
	return false, "has no pod that could be compared"
}

// isSuspended reports whether a Job or a CronJob is suspended, and so has no pods or makes none.
func isSuspended(object map[string]any) bool {
	suspended, _, _ := unstructured.NestedBool(object, "spec", "suspend")
	return suspended
}

func int64At(object *unstructured.Unstructured, path ...string) (int64, bool) {
	value, found, err := unstructured.NestedInt64(object.Object, path...)
	return value, found && err == nil
}

// ownedPod is a pod of a workload.
type ownedPod struct {
	*core.Pod
	held     string // why it stays at an older revision, "" if it should be replaced
	outdated bool   // it is of an older revision, and will be replaced
	ofJob    bool   // a Job owns it, directly or through other owners
}

// ownedPods returns the pods that a workload owns, directly or through other owners, and the names of those that are being deleted, sorted. Of a custom
// resource, which may have several pod templates and need not select pods by label, only pods with one of the named containers are looked at; or, if it owns none
// or one of its containers has no name, those with an image of the repository.
func (r *reader) ownedPods(ctx context.Context, live *unstructured.Unstructured, containers []string, image release.Image) (pods []ownedPod, leaving []string, err error) {
	if live.GetKind() == "Pod" {
		pod := new(core.Pod)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, pod); err != nil {
			return nil, nil, err
		}
		return []ownedPod{{Pod: pod}}, nil, nil
	}
	selector, err := selectorOf(live)
	if err != nil {
		return nil, nil, err
	}
	var (
		list        []core.Pod
		replicaSets []apps.ReplicaSet
		lists, both = errgroup.WithContext(ctx) // each waits until the apiserver's cache is as new as its database
	)
	lists.Go(func() (err error) {
		list, err = r.podsOf(both, live, selector)
		return err
	})
	if live.GetKind() == "Deployment" {
		lists.Go(func() (err error) {
			replicaSets, err = r.replicaSetsOf(both, live, selector)
			return err
		})
	}
	if err := lists.Wait(); err != nil {
		return nil, nil, err
	}
	owners := r.client.ownersIn(live)
	owners.addReplicaSets(replicaSets)
	choose := func(isCandidate func(*core.Pod) bool) error {
		for i := range list {
			pod := &list[i]
			if isEnded(pod) && (pod.DeletionTimestamp != nil || live.GetKind() != "Job" && !(isCustom(live) && hasRun(pod, image))) || !isCandidate(pod) {
				continue
			}
			chain, err := owners.leadsToWorkload(ctx, pod)
			if err != nil {
				return err
			}
			switch {
			case chain.owned && pod.DeletionTimestamp != nil:
				leaving = append(leaving, pod.Name)
			case chain.owned:
				held := heldBack(live, pod)
				if node, left := diagnose.DeadNode(pod, time.Now()); held == "" && live.GetKind() == "DaemonSet" && node != "" && left == 0 {
					held = fmt.Sprintf("its node %q does not answer", node)
				}
				pods = append(pods, ownedPod{pod, held, held == "" && isOutdated(live, pod, chain.revision), chain.byJob})
			}
		}
		return nil
	}
	if !isCustom(live) {
		err = choose(func(*core.Pod) bool { return true })
	} else if !slices.Contains(containers, "") {
		err = choose(func(pod *core.Pod) bool { return len(namedContainers(pod, containers)) > 0 })
	}
	if isCustom(live) && err == nil && len(pods)+len(leaving) == 0 {
		err = choose(func(pod *core.Pod) bool { return len(containersOf(pod, containers, image)) > 0 })
	}
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(leaving)
	return pods, leaving, nil
}

// hasRun reports whether a pod has succeeded and names the image, as the pods of an Argo Workflow that has run do. Those of an earlier run name another.
func hasRun(pod *core.Pod, image release.Image) bool {
	return pod.Status.Phase == core.PodSucceeded && slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(container core.Container) bool {
		return namesDigest(container.Image, image.Digest)
	})
}

func isEnded(pod *core.Pod) bool {
	return pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
}

// selectorOf returns a workload's label selector, which narrows the list of pods; "" if it has none.
func selectorOf(live *unstructured.Unstructured) (string, error) {
	fields, found, _ := unstructured.NestedMap(live.Object, "spec", "selector")
	if !found || len(fields) == 0 {
		return "", nil
	}
	if live.GetKind() == "ReplicationController" {
		fields = map[string]any{"matchLabels": fields}
	}
	if fields["matchLabels"] == nil && fields["matchExpressions"] == nil {
		return "", nil // of a custom kind, in a form of its own
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &selector); err != nil {
		return "", err
	}
	parsed, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return "", err
	}
	return parsed.String(), nil
}

// heldBack returns the reason why a pod of an older revision stays, "" if it should be replaced: its StatefulSet has a partition, it is
// replaced only when somebody deletes it, or a custom kind's controller decides.
// Source: kubernetes.io, "StatefulSets", Update strategies; "Perform a Rolling Update on a DaemonSet"; "ReplicaSet", Working with ReplicaSets.
func heldBack(live *unstructured.Unstructured, pod *core.Pod) string {
	strategy, _, _ := unstructured.NestedString(live.Object, "spec", "updateStrategy", "type")
	switch live.GetKind() {
	case "StatefulSet":
		newest, _, _ := unstructured.NestedString(live.Object, "status", "updateRevision")
		if newest == "" || pod.Labels[revisionLabel] == newest {
			return ""
		}
		if strategy == "OnDelete" {
			return "the StatefulSet replaces a pod only when it is deleted (OnDelete)"
		}
		first, partition := diagnose.FirstUpdated(live)
		ordinal, err := strconv.ParseInt(pod.Name[strings.LastIndex(pod.Name, "-")+1:], 10, 64)
		if err == nil && partition > 0 && ordinal < first {
			return fmt.Sprintf("the StatefulSet's partition is %d", partition)
		}
	case "DaemonSet":
		if strategy == "OnDelete" {
			return "the DaemonSet replaces a pod only when it is deleted (OnDelete)"
		}
	case "ReplicaSet", "ReplicationController":
		return fmt.Sprintf("a %s replaces a pod only when it is deleted", live.GetKind())
	case "Deployment", "Job":
	default:
		return fmt.Sprintf("the controller of %s decides when it is replaced", live.GetKind())
	}
	return ""
}

// isOutdated reports whether a pod is of an older revision of its Deployment or StatefulSet. A Deployment's revision is that of
// its ReplicaSet.
func isOutdated(live *unstructured.Unstructured, pod *core.Pod, revision string) bool {
	current, own := live.GetAnnotations()[revisionAnnotation], revision
	if live.GetKind() == "StatefulSet" {
		current, _, _ = unstructured.NestedString(live.Object, "status", "updateRevision")
		own = pod.Labels[revisionLabel]
	}
	return current != "" && own != "" && current != own
}

// isUnready reports whether a pod runs and the kubelet says that a container of it is not ready. A pod is not ready for other reasons too, which
// say nothing about its containers: its node does not answer, or a readiness gate is closed.
// Source: kubernetes.io, "Pod Lifecycle", Pod conditions.
func isUnready(pod *core.Pod) bool {
	return pod.Status.Phase == core.PodRunning && hasCondition(pod, core.ContainersReady, core.ConditionFalse)
}

// isRestarting reports whether a container of a pod has ended and has not become ready again.
func isRestarting(pod *core.Pod) bool {
	return !isReady(pod) && slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses), func(status core.ContainerStatus) bool {
		return status.RestartCount > 0 && !status.Ready
	})
}

// podImages returns the named containers of a pod as the kubelet reports them.
func podImages(pod ownedPod, containers []string, digest release.Digest) (images []release.PodImage) {
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	specs := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
	for _, name := range containers {
		image := release.PodImage{Pod: pod.Name, Container: name, Node: pod.Spec.NodeName, HeldBack: pod.held, Outdated: pod.outdated,
			Unscheduled: hasCondition(pod.Pod, core.PodScheduled, core.ConditionFalse)}
		if at := slices.IndexFunc(specs, func(s core.Container) bool { return s.Name == name }); at >= 0 {
			image.Named = namesDigest(specs[at].Image, digest)
		}
		if at := slices.IndexFunc(statuses, func(s core.ContainerStatus) bool { return s.Name == name }); at >= 0 {
			image.Ready, image.Unready, image.Restarting = statuses[at].Ready && isReady(pod.Pod), isUnready(pod.Pod), isRestarting(pod.Pod)
			image.Restarts = int(statuses[at].RestartCount)
			image.ImageID = text.Line(statuses[at].ImageID, 300)
			image.Repository, image.Digest = parseImageID(statuses[at].ImageID)
		}
		images = append(images, image)
	}
	return images
}
