package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// immutableFields are the fields that the apiserver does not allow to change, by group and kind, each with the default that is used
// for an absent value. Source: kubernetes.io, API reference of each kind; k8s.io/kubernetes, pkg/apis/*/validation, Validate…Update.
var immutableFields = map[string]map[string]any{
	"apps/Deployment":  {"spec.selector": nil},
	"apps/DaemonSet":   {"spec.selector": nil},
	"apps/ReplicaSet":  {"spec.selector": nil},
	"apps/StatefulSet": {"spec.selector": nil, "spec.serviceName": nil, "spec.podManagementPolicy": "OrderedReady", "spec.volumeClaimTemplates": nil},
	"batch/Job": {"spec.selector": nil, "spec.template": nil, "spec.completionMode": "NonIndexed", "spec.podFailurePolicy": nil, "spec.successPolicy": nil,
		"spec.backoffLimitPerIndex": nil, "spec.managedBy": nil},
	"rbac.authorization.k8s.io/RoleBinding":         {"roleRef": nil},
	"rbac.authorization.k8s.io/ClusterRoleBinding":  {"roleRef": nil},
	"storage.k8s.io/StorageClass":                   {"provisioner": nil, "parameters": nil, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
	"scheduling.k8s.io/PriorityClass":               {"value": nil, "preemptionPolicy": "PreemptLowerPriority"},
	"node.k8s.io/RuntimeClass":                      {"handler": nil},
	"networking.k8s.io/IngressClass":                {"spec.controller": nil},
	"discovery.k8s.io/EndpointSlice":                {"addressType": nil},
	"apiextensions.k8s.io/CustomResourceDefinition": {"spec.group": nil, "spec.scope": "Namespaced", "spec.names.kind": nil, "spec.names.plural": nil},
	"/Secret": {"type": "Opaque"},
}

// mayBeImmutable reports whether an object is of a kind with fields that cannot be changed.
func mayBeImmutable(object map[string]any) bool {
	kind := manifest.GroupKind(object)
	return immutableFields[kind] != nil || slices.Contains([]string{"/ConfigMap", "/PersistentVolumeClaim", "/Service", "/Pod"}, kind) || isCustom(object)
}

// immutableChanges returns the fields that differ between two versions of an object and that an update cannot change.
func immutableChanges(from, to map[string]any) (fields []string) {
	kind := manifest.GroupKind(from)
	for path, fallback := range immutableFields[kind] {
		if !manifest.Equal(manifest.ValueAt(from, path, fallback), manifest.ValueAt(to, path, fallback)) {
			fields = append(fields, path)
		}
	}
	switch kind {
	case "/ConfigMap", "/Secret":
		fields = append(fields, immutableDataChanges(from, to)...)
	case "/PersistentVolumeClaim":
		fields = append(fields, claimChanges(from, to)...)
	case "/Service":
		// An IP that the new version does not set stays as it is.
		ip := manifest.ValueAt(to, "spec.clusterIP", "")
		if ip != "" && ip != manifest.ValueAt(from, "spec.clusterIP", "") && manifest.ValueAt(to, "spec.type", "") != "ExternalName" {
			fields = append(fields, "spec.clusterIP")
		}
	case "/Pod":
		if !manifest.Equal(immutablePodSpec(from), immutablePodSpec(to)) {
			fields = append(fields, "spec")
		}
	}
	slices.Sort(fields)
	return fields
}

// immutableDataChanges returns the changed fields of a ConfigMap or Secret with "immutable: true".
func immutableDataChanges(from, to map[string]any) (fields []string) {
	if from["immutable"] != true {
		return nil
	}
	for _, field := range []string{"immutable", "data", "binaryData", "stringData"} {
		if !manifest.Equal(from[field], to[field]) {
			fields = append(fields, field)
		}
	}
	return fields
}

// claimChanges returns the changed fields of a PersistentVolumeClaim that cannot be changed. The requested size may only grow.
func claimChanges(from, to map[string]any) (fields []string) {
	before, _, _ := unstructured.NestedMap(from, "spec")
	after, _, _ := unstructured.NestedMap(to, "spec")
	size := []string{"resources", "requests", "storage"}
	sizeBefore, sizeAfter := quantityAt(before, size...), quantityAt(after, size...)
	if sizeBefore != nil && sizeAfter != nil && sizeAfter.Cmp(*sizeBefore) < 0 {
		fields = append(fields, "spec.resources.requests.storage")
	}
	for _, spec := range []map[string]any{before, after} {
		delete(spec, "resources")
		delete(spec, "volumeAttributesClassName")
	}
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, both := before[name]; !both {
			names = append(names, name)
		}
	}
	for _, name := range names {
		fallback := any(nil)
		if name == "volumeMode" {
			fallback = "Filesystem"
		}
		if !manifest.Equal(manifest.ValueAt(before, name, fallback), manifest.ValueAt(after, name, fallback)) {
			fields = append(fields, "spec."+name)
		}
	}
	return fields
}

// quantityAt returns the quantity at a path, nil if there is none.
func quantityAt(object map[string]any, path ...string) *resource.Quantity {
	value, found, _ := unstructured.NestedFieldNoCopy(object, path...)
	if !found {
		return nil
	}
	quantity, err := resource.ParseQuantity(fmt.Sprint(value))
	if err != nil {
		return nil
	}
	return &quantity
}

// immutablePodSpec returns a pod's spec without the fields that an update can change.
// Source: kubernetes.io, "Pods", Pod update and replacement.
func immutablePodSpec(pod map[string]any) any {
	spec, _, _ := unstructured.NestedMap(pod, "spec")
	for _, name := range []string{"tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates"} {
		delete(spec, name)
	}
	for _, list := range []string{"containers", "initContainers"} {
		containers, _ := spec[list].([]any)
		for _, container := range containers {
			if container, ok := container.(map[string]any); ok {
				delete(container, "image")
			}
		}
	}
	return spec
}
