package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// FieldManager is the name under which the apiserver records the fields that a deploy sets.
const FieldManager = "onedigest"

// Fields converts an object to its fields; nil if it cannot be converted.
func Fields(object runtime.Object) map[string]any {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil
	}
	return fields
}

// ValueAt returns the value at a dotted path, or fallback if there is none or it is null.
func ValueAt(object map[string]any, path string, fallback any) any {
	value, found, _ := unstructured.NestedFieldNoCopy(object, strings.Split(path, ".")...)
	if !found || value == nil {
		return fallback
	}
	return value
}

// SetStrings sets the non-empty values in the map of strings at a path, where null counts as an empty map. It leaves a value there
// that is not a map, and the apiserver rejects it.
func SetStrings(object map[string]any, values map[string]string, path ...string) {
	for depth := 1; depth <= len(path); depth++ {
		if value, found, _ := unstructured.NestedFieldNoCopy(object, path[:depth]...); found && value == nil {
			unstructured.RemoveNestedField(object, path[:depth]...)
		}
	}
	current, _, err := unstructured.NestedMap(object, path...)
	if err != nil {
		return
	}
	if current == nil {
		current = map[string]any{}
	}
	for name, value := range values {
		if value != "" {
			current[name] = value
		}
	}
	if len(current) > 0 {
		_ = unstructured.SetNestedMap(object, current, path...)
	}
}

// Equal reports whether two values mean the same to an apiserver: an empty value equals an absent one, and numbers are compared
// by their text.
func Equal(a, b any) bool { return JSON(WithoutEmpty(a)) == JSON(WithoutEmpty(b)) }

// WithoutEmpty returns a value without the empty strings, maps and lists in it; nil if nothing remains. List items keep their
// position.
func WithoutEmpty(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, inner := range value {
			if inner = WithoutEmpty(inner); inner != nil {
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
			kept[i] = WithoutEmpty(inner)
		}
		return kept
	case string:
		if value == "" {
			return nil
		}
	}
	return value
}

// JSON returns a value as one line of JSON, "" for nil.
func JSON(value any) string {
	if value == nil {
		return ""
	}
	line, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(line)
}

// Merge returns base overridden by top, maps recursively; it changes neither. Helm's own function prints values that it drops,
// including secrets, to standard error.
func Merge(base, top map[string]any) map[string]any {
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string]any{}
	}
	for name, value := range top {
		below, isMap := merged[name].(map[string]any)
		if above, both := value.(map[string]any); both && isMap {
			value = Merge(below, above)
		}
		merged[name] = value
	}
	return merged
}

// GroupKind returns an object's group and kind as "group/Kind"; the core group is empty.
func GroupKind(object map[string]any) string {
	kind := (&unstructured.Unstructured{Object: object}).GroupVersionKind()
	return kind.Group + "/" + kind.Kind
}

// Key identifies an object by group, kind, namespace and name, independent of the version of its kind. An object without a
// namespace gets the given one.
func Key(object map[string]any, namespace string) string {
	return strings.Join([]string{GroupKind(object), ObjectID(object, namespace).Namespace, (&unstructured.Unstructured{Object: object}).GetName()}, " ")
}

// KindAndName formats an object for messages: "Deployment/shop".
func KindAndName(object map[string]any) string {
	u := unstructured.Unstructured{Object: object}
	return u.GetKind() + "/" + u.GetName()
}
