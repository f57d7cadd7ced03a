package plan

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// fieldOwner is a manager with the fields of an object that it has set.
// Source: kubernetes.io, "Server-Side Apply", managed fields; FieldsV1 of metav1.ManagedFieldsEntry.
type fieldOwner struct {
	manager string
	fields  map[string]any
}

// fieldOwners returns the managers of a live object, in the cluster's order: by time.
func fieldOwners(object map[string]any) (list []fieldOwner) {
	entries, _, _ := unstructured.NestedSlice(object, "metadata", "managedFields")
	for _, entry := range entries {
		fields, ok := entry.(map[string]any)
		if !ok {
			continue
		}
		manager, _ := fields["manager"].(string)
		owned, _ := fields["fieldsV1"].(map[string]any)
		list = append(list, fieldOwner{manager, owned})
	}
	return list
}

// otherManager returns the last manager, other than this pipeline, that has set a field; "" if there is none.
func otherManager(owners []fieldOwner, path []step) (manager string) {
	for _, owner := range owners {
		if owner.manager != manifest.FieldManager && owner.owns(path) {
			manager = text.Line(owner.manager, text.NoLimit)
		}
	}
	return manager
}

// owns reports whether the fields contain a path, or a leaf above it, such as a list that is set as a whole.
func (o fieldOwner) owns(path []step) bool {
	fields := o.fields
	for _, step := range path {
		child, found := fields["f:"+step.field].(map[string]any)
		if step.field == "" {
			child, found = ownedItem(fields, step)
		}
		if !found {
			return false
		}
		if len(child) == 0 {
			return true
		}
		fields = child
	}
	return true
}

// ownedItem returns the owned fields of a list item. FieldsV1 identifies an item by its index or by the values of its key fields.
func ownedItem(fields map[string]any, step step) (map[string]any, bool) {
	for name, inner := range fields {
		child, _ := inner.(map[string]any)
		if index, ok := strings.CutPrefix(name, "i:"); ok && index == step.key {
			return child, true
		}
		text, ok := strings.CutPrefix(name, "k:")
		if !ok {
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
			return child, true
		}
	}
	return nil, false
}
