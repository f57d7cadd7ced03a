package objects

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
)

// KeepReplicas keeps the replicas that an autoscaler has set: if the merge would lower the replicas of a target object that an
// autoscaler scales, it sets them to the cluster's number, in the base of the merge too. The autoscaler would otherwise raise
// them again only when load is high. It returns a line for each object whose replicas are kept, and for each whose replicas the
// merge lowers.
//
// An autoscaler is any object of the target with a spec.scaleTargetRef, or a HorizontalPodAutoscaler in the cluster that the
// release is not about to delete.
func (r *Release) KeepReplicas(base, target kube.ResourceList) []string {
	lines := make([]string, len(target))
	_ = Each(len(target), func(i int) error {
		lines[i] = r.keepReplicas(base.Get(target[i]), target[i], target)
		return nil
	})
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

// keepReplicas handles one object, and returns its line, "" if its replicas are not lowered. It skips an object that cannot be
// read: the request that applies it reports the error.
func (r *Release) keepReplicas(base, info *resource.Info, target kube.ResourceList) string {
	wanted, isSet := replicas(info)
	before, wasSet := int64(0), false
	if base != nil {
		before, wasSet = replicas(base)
	}
	if !isSet && !wasSet || isSet && wasSet && wanted == before && isUnstructured(info) { // Helm's merge of custom resources ignores the live object
		return ""
	}
	current, err := Get(info)
	if err != nil {
		return ""
	}
	live, found := replicas(current)
	if !isSet {
		wanted = 1 // the default
	}
	if !found || live <= wanted {
		return ""
	}
	if scaler := r.Autoscaler(info, target); scaler != "" {
		setReplicas(info, live)
		if base != nil {
			setReplicas(base, live)
		}
		return fmt.Sprintf("%s keeps its %d replicas, whose number %s decides", ID(info), live, scaler)
	}
	why := ""
	if !isSet {
		why = ": the chart no longer sets their number"
	}
	return fmt.Sprintf("WARNING: %s goes from %d to %d replicas%s", ID(info), live, wanted, why)
}

func replicas(info *resource.Info) (int64, bool) {
	count, found, err := unstructured.NestedInt64(manifest.Fields(info.Object), "spec", "replicas")
	return count, found && err == nil
}

func setReplicas(info *resource.Info, count int64) {
	fields := runtime.DeepCopyJSON(manifest.Fields(info.Object))
	if unstructured.SetNestedField(fields, count, "spec", "replicas") == nil {
		info.Object = &unstructured.Unstructured{Object: fields}
	}
}

// Autoscaler returns which object scales an object, "" if none does. target are the objects that the release will have.
func (r *Release) Autoscaler(info *resource.Info, target kube.ResourceList) string {
	for _, one := range target {
		if one.Namespace == info.Namespace && scales(manifest.Fields(one.Object), info) {
			return ID(one).String()
		}
	}
	for _, one := range r.autoscalers.in(r, info.Namespace) {
		deleted := r.Owns(one) && !target.Contains(one)
		if !deleted && scales(manifest.Fields(one.Object), info) {
			return ID(one).String()
		}
	}
	return ""
}

// scales reports whether an object's spec.scaleTargetRef points to another object. The kind defaults to Deployment, as in KEDA.
// Source: kubernetes.io, API reference, HorizontalPodAutoscaler; keda.sh, ScaledObject specification.
func scales(scaler map[string]any, info *resource.Info) bool {
	kind := manifest.ValueAt(scaler, "spec.scaleTargetRef.kind", "Deployment")
	return kind == info.Mapping.GroupVersionKind.Kind && manifest.ValueAt(scaler, "spec.scaleTargetRef.name", "") == info.Name
}

// autoscalers reads the HorizontalPodAutoscalers of a cluster, once per namespace.
type autoscalers struct {
	mu          sync.Mutex
	byNamespace map[string]kube.ResourceList
}

// in lists a namespace's autoscalers; none if this user may not list them.
func (a *autoscalers) in(r *Release, namespace string) kube.ResourceList {
	a.mu.Lock()
	defer a.mu.Unlock()
	if list, known := a.byNamespace[namespace]; known {
		return list
	}
	if a.byNamespace == nil {
		a.byNamespace = map[string]kube.ResourceList{}
	}
	list, err := r.listAutoscalers(namespace)
	if err != nil {
		r.Log("WARNING: autoscalers in namespace %q cannot be listed, so that replicas that one of them has set may be lowered: %v", namespace, err)
		list = nil
	}
	a.byNamespace[namespace] = list
	return list
}

// listAutoscalers lists the HorizontalPodAutoscalers of a namespace.
func (r *Release) listAutoscalers(namespace string) (kube.ResourceList, error) {
	text := fmt.Sprintf("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: any, namespace: %q}\n", namespace)
	built, err := r.Client.Build(strings.NewReader(text), false)
	if err != nil || len(built) != 1 {
		return nil, err
	}
	found, err := resource.NewHelper(built[0].Client, built[0].Mapping).List(namespace, built[0].Mapping.GroupVersionKind.GroupVersion().String(), &metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(found)
	if err != nil {
		return nil, err
	}
	var list kube.ResourceList
	for _, item := range items {
		one := *built[0]
		if err := one.Refresh(item, true); err != nil {
			return nil, err
		}
		list = append(list, &one)
	}
	return list, nil
}
