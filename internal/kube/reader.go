package kube

import (
	"context"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// manyWorkloads is the number of workloads of a kind in a namespace from which a reader lists the whole namespace once, instead of sending three requests
// for each workload.
const manyWorkloads = 3

// reader reads workloads, their pods and their ReplicaSets. Of kinds that a release has many workloads of, it lists each namespace once, and
// reads each workload by itself where this user may not list them.
type reader struct {
	client      *Client
	many        map[listed]int // how many workloads will be read
	live        map[listed]map[string]*unstructured.Unstructured
	pods        map[string][]core.Pod
	replicaSets map[string][]apps.ReplicaSet
}

// listed identifies a shared list: the objects of one kind in a namespace.
type listed struct {
	resource  schema.GroupVersionResource
	namespace string
}

func listOf(object release.Object) listed {
	return listed{workloadResource(object.APIVersion, object.Kind), object.Namespace}
}

// newReader returns a reader for the workloads.
func newReader(client *Client, workloads ...release.Object) *reader {
	r := &reader{client: client, many: map[listed]int{}, live: map[listed]map[string]*unstructured.Unstructured{}, pods: map[string][]core.Pod{},
		replicaSets: map[string][]apps.ReplicaSet{}}
	for _, object := range workloads {
		if slices.Contains(ownsPodsDirectly, object.Kind) {
			r.many[listOf(object)]++
		}
	}
	return r
}

// isShared reports whether a list of the whole namespace is read for workloads of this kind.
func (r *reader) isShared(list listed) bool {
	return r.many[list] >= manyWorkloads
}

// workload reads a workload. An absent one is an error for which apierrors.IsNotFound is true.
func (r *reader) workload(ctx context.Context, object release.Object) (*unstructured.Unstructured, error) {
	list := listOf(object)
	resource, err := r.client.objectsOf(ctx, object.APIVersion, object.Kind, list.namespace)
	if err != nil {
		return nil, err
	}
	if !r.isShared(list) {
		return resource.Get(ctx, object.Name, metav1.GetOptions{})
	}
	if r.live[list] == nil {
		all, err := resource.List(ctx, metav1.ListOptions{})
		if apierrors.IsForbidden(err) {
			delete(r.many, list)
			return resource.Get(ctx, object.Name, metav1.GetOptions{})
		}
		if err != nil {
			return nil, err
		}
		r.live[list] = map[string]*unstructured.Unstructured{}
		for i := range all.Items {
			r.live[list][all.Items[i].GetName()] = &all.Items[i]
		}
	}
	if live := r.live[list][object.Name]; live != nil {
		return live, nil
	}
	return nil, apierrors.NewNotFound(list.resource.GroupResource(), object.Name)
}

// observation is the state of a kind in a namespace that a watch has reported.
type observation struct {
	version string // resource version
	at      time.Time
}

// observationTime is how long after the end of a watch a list need not be newer than the watch. A consistent list takes up to 100 ms longer, because the
// apiserver's cache has to learn that nothing else was written.
const observationTime = time.Second

var (
	podsResource        = core.SchemeGroupVersion.WithResource("pods")
	replicaSetsResource = apps.SchemeGroupVersion.WithResource("replicasets")
)

// RecordObservedPods records the resource versions up to which a watch has reported the pods and the ReplicaSets of a namespace when it ended; "" for a kind that
// was not watched. Running accepts lists that are as new, for a second.
func (c *Client) RecordObservedPods(namespace, pods, replicaSets string) {
	for resource, version := range map[schema.GroupVersionResource]string{podsResource: pods, replicaSetsResource: replicaSets} {
		if version != "" {
			c.observed.Store(listed{resource, namespace}, observation{version, time.Now()})
		}
	}
}

// listFresh lists objects as new as the last watch of them, if that has just ended, and otherwise consistently. An apiserver that lags behind the one that was
// watched is asked for a consistent list.
// Source: kubernetes.io, "Kubernetes API Concepts", Resource versions, semantics for get and list (resourceVersionMatch unset).
func listFresh[L any](ctx context.Context, c *Client, objects listed, options metav1.ListOptions, list func(context.Context, metav1.ListOptions) (L, error)) (L, error) {
	if found, _ := c.observed.Load(objects); found != nil {
		if last, _ := found.(observation); time.Since(last.at) < observationTime {
			recent := options
			recent.ResourceVersion = last.version
			if result, err := list(ctx, recent); err == nil {
				return result, nil
			}
		}
	}
	return list(ctx, options)
}

// podsOf lists the pods among which a workload's own are.
func (r *reader) podsOf(ctx context.Context, live *unstructured.Unstructured, selector string) ([]core.Pod, error) {
	return among(r, r.pods, live, selector, func(options metav1.ListOptions) ([]core.Pod, error) {
		list, err := listFresh(ctx, r.client, listed{podsResource, live.GetNamespace()}, options, r.client.Pods(live.GetNamespace()).List)
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	})
}

// replicaSetsOf lists the ReplicaSets among which a Deployment's own are.
func (r *reader) replicaSetsOf(ctx context.Context, live *unstructured.Unstructured, selector string) ([]apps.ReplicaSet, error) {
	return among(r, r.replicaSets, live, selector, func(options metav1.ListOptions) ([]apps.ReplicaSet, error) {
		list, err := listFresh(ctx, r.client, listed{replicaSetsResource, live.GetNamespace()}, options, r.client.ReplicaSets(live.GetNamespace()).List)
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	})
}

// among lists the objects that the workload's selector matches. If the list of the whole namespace is shared, it is requested once and returned instead.
func among[T any](r *reader, read map[string][]T, live *unstructured.Unstructured, selector string, list func(metav1.ListOptions) ([]T, error)) ([]T, error) {
	namespace := live.GetNamespace()
	if !r.isShared(listed{workloadResource(live.GetAPIVersion(), live.GetKind()), namespace}) {
		return list(metav1.ListOptions{LabelSelector: selector})
	}
	all, found := read[namespace]
	if found {
		return all, nil
	}
	all, err := list(metav1.ListOptions{})
	if err == nil {
		read[namespace] = all
	}
	return all, err
}

// withPods are the kinds of Kubernetes itself whose objects have a pod template, or are pods.
var withPods = append([]string{"CronJob", "Pod"}, ownsPodsDirectly...)

// SetApplied says what a GitOps controller has applied of a release, of which Helm has no record: its workloads are from now on those of the objects whose live pod template names the image, and not
// those that are labelled as its own. Of custom resources, those of the given kinds are read (GROUP/KIND), which the chart renders with an image of the release, and Argo's Rollouts, which may refer to
// a Deployment. The others are not asked for, so that no right is needed for them.
func (c *Client) SetApplied(namespace, name string, objects []release.Object, kinds []string) {
	c.applied.Store(types.NamespacedName{Namespace: namespace, Name: name}, appliedObjects{objects, kinds})
}

// appliedObjects is what a GitOps controller has applied.
type appliedObjects struct {
	objects []release.Object
	kinds   []string // of custom resources that are read, as GROUP/KIND
}

// appliedWorkloads finds the workloads of a release that a GitOps controller has applied; false if none is known to have. A custom resource that may not be read is returned as one that may name the image.
func (c *Client) appliedWorkloads(ctx context.Context, namespace, name string, image release.Image) (found naming, known bool, err error) {
	value, _ := c.applied.Load(types.NamespacedName{Namespace: namespace, Name: name})
	applied, known := value.(appliedObjects)
	if !known {
		return naming{}, false, nil
	}
	kinds := slices.Concat(applied.kinds, []string{"argoproj.io/Rollout"})
	var custom []map[string]any
	for _, object := range applied.objects {
		isKubernetes := slices.Contains(BuiltInGroups, object.Group())
		if isKubernetes && !slices.Contains(withPods, object.Kind) || !isKubernetes && !slices.Contains(kinds, object.Group()+"/"+object.Kind) {
			continue
		}
		resource, err := c.objectsOf(ctx, object.APIVersion, object.Kind, object.Namespace)
		if err != nil {
			return naming{}, true, c.Fault(ctx, err, "reading %s in namespace %q", object, object.Namespace)
		}
		live, err := resource.Get(ctx, object.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err): // a Job that was collected, or what a later commit has removed
		case apierrors.IsForbidden(err) && object.Kind == "CronJob":
			found.unread = append(found.unread, object.Kind)
		case apierrors.IsForbidden(err) && !isKubernetes && slices.Contains(applied.kinds, object.Group()+"/"+object.Kind):
			found.workloads = append(found.workloads, templated{object: object, containers: []string{""}, loose: true})
		case apierrors.IsForbidden(err) && !isKubernetes:
		case err != nil:
			return naming{}, true, c.Fault(ctx, err, "reading %s in namespace %q", object, object.Namespace)
		default:
			if one, names := namesImage(live.Object, namespace, image); names {
				one.mayBeUnread = !isKubernetes
				found.workloads = append(found.workloads, one)
			} else if !isKubernetes {
				custom = append(custom, live.Object)
			}
		}
	}
	referred := found.workloads
	for _, object := range custom {
		found.addReferrer(referred, object, namespace)
	}
	for i := len(referred); i < len(found.workloads); i++ {
		found.workloads[i].mayBeUnread = true
	}
	slices.Sort(found.unread)
	found.unread = slices.Compact(found.unread)
	return found, true, nil
}
