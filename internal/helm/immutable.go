package helm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// fixed are the fields that an apiserver does not let anybody change, by group and kind, each with the value that stands for
// none. Source: kubernetes.io, API reference of each kind; k8s.io/kubernetes, pkg/apis/*/validation, Validate…Update.
var fixed = map[string]map[string]any{
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

// unchangeable are the fields in which two versions of an object differ, and which cannot be changed from one to the other.
func unchangeable(from, to map[string]any) (fields []string) {
	kind := groupKind(from)
	for path, absent := range fixed[kind] {
		if !alike(valueAt(from, path, absent), valueAt(to, path, absent)) {
			fields = append(fields, path)
		}
	}
	switch kind {
	case "/ConfigMap", "/Secret":
		fields = append(fields, sealed(from, to)...)
	case "/PersistentVolumeClaim":
		fields = append(fields, claimed(from, to)...)
	case "/Service":
		// One that is left out stays what it is.
		if now := valueAt(to, "spec.clusterIP", ""); now != "" && now != valueAt(from, "spec.clusterIP", "") && valueAt(to, "spec.type", "") != "ExternalName" {
			fields = append(fields, "spec.clusterIP")
		}
	case "/Pod":
		if !alike(frame(from), frame(to)) {
			fields = append(fields, "spec")
		}
	}
	slices.Sort(fields)
	return fields
}

// sealed are the fields of a ConfigMap or Secret that is marked as immutable.
func sealed(from, to map[string]any) (fields []string) {
	if from["immutable"] != true {
		return nil
	}
	for _, field := range []string{"immutable", "data", "binaryData", "stringData"} {
		if !alike(from[field], to[field]) {
			fields = append(fields, field)
		}
	}
	return fields
}

// claimed are the fields of a volume claim: what it asks for may only grow.
func claimed(from, to map[string]any) (fields []string) {
	before, _, _ := unstructured.NestedMap(from, "spec")
	after, _, _ := unstructured.NestedMap(to, "spec")
	size := []string{"resources", "requests", "storage"}
	was, asked := quantityAt(before, size...), quantityAt(after, size...)
	if was != nil && asked != nil && asked.Cmp(*was) < 0 {
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
		absent := any(nil)
		if name == "volumeMode" {
			absent = "Filesystem"
		}
		if !alike(valueAt(before, name, absent), valueAt(after, name, absent)) {
			fields = append(fields, "spec."+name)
		}
	}
	return fields
}

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

// frame is a pod's spec without what may be changed of it.
func frame(pod map[string]any) any {
	spec, _, _ := unstructured.NestedMap(pod, "spec")
	for _, name := range []string{"tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates"} {
		delete(spec, name)
	}
	for _, list := range []string{"containers", "initContainers"} {
		containers, _ := spec[list].([]any)
		for _, container := range containers {
			if container, is := container.(map[string]any); is {
				delete(container, "image")
			}
		}
	}
	return spec
}

func groupKind(object map[string]any) string {
	kind := (&unstructured.Unstructured{Object: object}).GroupVersionKind()
	return kind.Group + "/" + kind.Kind
}

// valueAt is what is at a dotted path, or else what stands for none.
func valueAt(object map[string]any, path string, absent any) any {
	value, found, _ := unstructured.NestedFieldNoCopy(object, strings.Split(path, ".")...)
	if !found || value == nil {
		return absent
	}
	return value
}

// alike tells whether two values mean the same: what is empty is none, and a number is what it is written as.
func alike(a, b any) bool { return text(bare(a)) == text(bare(b)) }

// bare is a value without what is empty in it.
func bare(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, inner := range value {
			if inner = bare(inner); inner != nil {
				kept[name] = inner
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		if len(value) == 0 {
			return nil
		}
		kept := make([]any, len(value))
		for i, inner := range value {
			kept[i] = bare(inner)
		}
		return kept
	case string:
		if value == "" {
			return nil
		}
	}
	return value
}

// text is a value as one line of JSON, "" for none.
func text(value any) string {
	if value == nil {
		return ""
	}
	written, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(written)
}

// pairs are the objects that two manifests have both, each as it is in the one and in the other.
func pairs(from, to []map[string]any, namespace string) (list [][2]map[string]any) {
	byName := map[string]map[string]any{}
	for _, object := range from {
		byName[identity(object, namespace)] = object
	}
	for _, object := range to {
		if before := byName[identity(object, namespace)]; before != nil {
			list = append(list, [2]map[string]any{before, object})
		}
	}
	return list
}

// identity names an object, whatever version of its kind it is written in.
func identity(object map[string]any, namespace string) string {
	u := unstructured.Unstructured{Object: object}
	space := u.GetNamespace()
	if space == "" {
		space = namespace
	}
	return strings.Join([]string{groupKind(object), space, u.GetName()}, " ")
}

// nameOf is how an object is called in a message.
func nameOf(object runtime.Unstructured) string {
	u := unstructured.Unstructured{Object: object.UnstructuredContent()}
	return u.GetKind() + "/" + u.GetName()
}
