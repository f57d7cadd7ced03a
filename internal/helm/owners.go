package helm

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ownership is what a manager has set of an object.
// Source: kubernetes.io, "Server-Side Apply", managed fields; FieldsV1 of metav1.ManagedFieldsEntry.
type ownership struct {
	manager string
	fields  map[string]any
}

// ownersOf are the managers of a live object, in the order in which the cluster lists them: by time.
func ownersOf(object map[string]any) (list []ownership) {
	entries, _, _ := unstructured.NestedSlice(object, "metadata", "managedFields")
	for _, entry := range entries {
		fields, is := entry.(map[string]any)
		if !is {
			continue
		}
		manager, _ := fields["manager"].(string)
		owned, _ := fields["fieldsV1"].(map[string]any)
		list = append(list, ownership{manager, owned})
	}
	return list
}

// ownerOf is who has set a field, other than this pipeline; "" if nobody else has.
func ownerOf(owners []ownership, path []step) (manager string) {
	for _, owner := range owners {
		if owner.manager != fieldManager && owner.has(path) {
			manager = oneLine(owner.manager)
		}
	}
	return manager
}

// has tells whether the fields hold a path, or an end above it: a list that is set as a whole.
func (o ownership) has(path []step) bool {
	held := o.fields
	for _, step := range path {
		next, found := held["f:"+step.field].(map[string]any)
		if step.field == "" {
			next, found = item(held, step)
		}
		if !found {
			return false
		}
		if len(next) == 0 {
			return true
		}
		held = next
	}
	return true
}

// item is what is held of a list's item, which is named by the values of some of its fields.
func item(held map[string]any, step step) (map[string]any, bool) {
	for name, inner := range held {
		fields, _ := inner.(map[string]any)
		if index, is := strings.CutPrefix(name, "i:"); is && index == step.by {
			return fields, true
		}
		text, is := strings.CutPrefix(name, "k:")
		if !is {
			continue
		}
		var keys map[string]any
		if json.Unmarshal([]byte(text), &keys) != nil || len(keys) == 0 {
			continue
		}
		all := true
		for key, value := range keys {
			all = all && fmt.Sprint(step.item[key]) == fmt.Sprint(value)
		}
		if all {
			return fields, true
		}
	}
	return nil, false
}
