package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/pmezard/go-difflib/difflib"
)

// difference is one field in which two versions of an object differ.
type difference struct {
	path          []step
	note          string // the aspect of the field that differs, "" for its value
	before, after any
}

// samePlace reports whether two differences are about the same field.
func (d difference) samePlace(other difference) bool { return d.place() == other.place() }

// place identifies the field, and what differs about it: "spec.template.spec.containers (order)".
func (d difference) place() string { return formatPath(d.path) + d.note }

// differences returns the fields in which two versions of an object differ, sorted by their paths.
//
// The walk is our own, because the plan names list items by the fields that identify them (containers[app].image), hides
// secrets by their path, and looks up each field's manager by its path. go-cmp is for tests; r3labs/diff and JSON patches
// identify items by their index; structured-merge-diff would need the cluster's OpenAPI schema. Lines are compared by
// go-difflib, as in k8s.io/apimachinery.
func differences(before, after map[string]any) []difference {
	var d differ
	d.compareMaps(nil, before, after)
	return d.found
}

type differ struct{ found []difference }

func (d *differ) add(path []step, note string, before, after any) {
	d.found = append(d.found, difference{path: path, note: note, before: before, after: after})
}

// maxWhole is the largest value, in bytes of JSON, that is reported whole when it is added or removed. A larger one is reported
// field by field.
const maxWhole = 120

// compare adds the differences between two values at a path.
func (d *differ) compare(path []step, before, after any) {
	if manifest.Equal(before, after) {
		return
	}
	beforeMap, beforeIsMap := before.(map[string]any)
	afterMap, afterIsMap := after.(map[string]any)
	byField := len(manifest.JSON(before))+len(manifest.JSON(after)) > maxWhole || len(path) == 1 && path[0].field == "data" // its keys show what is removed
	if beforeIsMap && afterIsMap || byField && (beforeIsMap && after == nil || afterIsMap && before == nil) {
		d.compareMaps(path, beforeMap, afterMap)
		return
	}
	beforeList, beforeIsList := before.([]any)
	afterList, afterIsList := after.([]any)
	if (beforeIsList || before == nil) && (afterIsList || after == nil) && d.compareLists(path, beforeList, afterList) {
		return
	}
	beforeText, _ := before.(string)
	afterText, _ := after.(string)
	if strings.Contains(beforeText, "\n") && strings.Contains(afterText, "\n") && d.compareLines(path, beforeText, afterText) {
		return
	}
	d.add(path, "", manifest.WithoutEmpty(before), manifest.WithoutEmpty(after))
}

// compareMaps adds the differences between two maps, key by key.
func (d *differ) compareMaps(path []step, before, after map[string]any) {
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, both := before[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		d.compare(append(slices.Clone(path), step{field: name}), before[name], after[name])
	}
}

// compareLists compares lists of maps item by item: by the field that identifies an item, or else by index if they have the same
// length. It returns false for other lists, which are compared as a whole.
func (d *differ) compareLists(path []step, before, after []any) bool {
	key := identifyingField(before, after)
	if key == "" {
		if len(before) != len(after) || !allMaps(before) || !allMaps(after) {
			return false
		}
		for i := range before {
			item, _ := before[i].(map[string]any)
			d.compare(append(slices.Clone(path), step{key: strconv.Itoa(i), item: item}), before[i], after[i])
		}
		return true
	}
	beforeNames, beforeItems := itemsBy(key, before)
	afterNames, afterItems := itemsBy(key, after)
	isNew := func(name string) bool { return beforeItems[name] == nil }
	isGone := func(name string) bool { return afterItems[name] == nil }
	for _, name := range slices.Concat(beforeNames, slices.DeleteFunc(slices.Clone(afterNames), func(name string) bool { return !isNew(name) })) {
		item := beforeItems[name]
		if item == nil {
			item = afterItems[name]
		}
		d.compare(append(slices.Clone(path), step{key: name, item: item}), orNil(beforeItems[name]), orNil(afterItems[name]))
	}
	// The order can matter: of init containers, of variables that refer to each other.
	keptBefore, keptAfter := slices.DeleteFunc(beforeNames, isGone), slices.DeleteFunc(afterNames, isNew)
	if !slices.Equal(keptBefore, keptAfter) {
		d.add(path, " (order)", toList(keptBefore), toList(keptAfter))
	}
	return true
}

// identifyingFields identify the items of Kubernetes' lists, as in strategic merge patches.
// Source: k8s.io/api, patchMergeKey in the tags of the fields.
var identifyingFields = []string{"name", "containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey", "key", "type", "uid"}

// identifyingField returns the first field that has a unique scalar value in every item of each list, "" if none has.
func identifyingField(lists ...[]any) string {
	for _, field := range identifyingFields {
		if !slices.ContainsFunc(lists, func(list []any) bool { return !isUnique(field, list) }) {
			return field
		}
	}
	return ""
}

// isUnique reports whether every item of a list has the field, with a scalar value that no other item has.
func isUnique(field string, list []any) bool {
	seen := map[string]bool{}
	for _, item := range list {
		fields, _ := item.(map[string]any)
		switch fields[field].(type) {
		case map[string]any, []any, nil:
			return false
		}
		name := manifest.JSON(fields[field])
		if seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

// itemsBy returns a list's items by the value of a field, and these values in the order of the list.
func itemsBy(field string, list []any) (names []string, items map[string]map[string]any) {
	items = map[string]map[string]any{}
	for _, item := range list {
		fields, _ := item.(map[string]any)
		name := fmt.Sprint(fields[field])
		names, items[name] = append(names, name), fields
	}
	return names, items
}

func allMaps(list []any) bool {
	return !slices.ContainsFunc(list, func(item any) bool { _, ok := item.(map[string]any); return !ok })
}

// orNil returns an untyped nil for a nil map.
func orNil(fields map[string]any) any {
	if fields == nil {
		return nil
	}
	return fields
}

func toList(names []string) []any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}

// maxLines limits the lines that are compared, not counting common lines at the start and the end. The time of the comparison
// grows with the square of the lines, or faster.
const maxLines = 400

// compareLines compares two texts, such as the files of a ConfigMap, line by line. It returns false if they are too long.
func (d *differ) compareLines(path []step, before, after string) bool {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	for len(a) > start && len(b) > start && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	a, b = a[start:], b[start:]
	if len(a) > maxLines || len(b) > maxLines {
		return false
	}
	for _, op := range difflib.NewMatcherWithJunk(a, b, false, nil).GetOpCodes() {
		if op.Tag == 'e' {
			continue
		}
		for i, j := op.I1, op.J1; i < op.I2 || j < op.J2; i, j = i+1, j+1 {
			var (
				removed, added any
				line           = i
			)
			if i < op.I2 {
				removed = a[i]
			} else {
				line = j
			}
			if j < op.J2 {
				added = b[j]
			}
			d.add(path, fmt.Sprintf(" line %d", start+line+1), removed, added)
		}
	}
	return true
}

// step is one step of a path into an object: a field, or an item of a list.
type step struct {
	field string         // "" for an item
	key   string         // of an item: the value of its identifying field, or its index
	item  map[string]any // as it is in the cluster, or else as it will be
}

// formatPath formats a path for people: spec.template.spec.containers[app].image, metadata.annotations["a.b/c"].
func formatPath(path []step) string {
	var formatted strings.Builder
	for i, step := range path {
		switch {
		case step.field == "":
			fmt.Fprintf(&formatted, "[%s]", step.key)
		case !manifest.IsPlainStep(step.field):
			fmt.Fprintf(&formatted, "[%s]", strconv.Quote(step.field))
		case i > 0:
			formatted.WriteString("." + step.field)
		default:
			formatted.WriteString(step.field)
		}
	}
	return text.Line(formatted.String(), text.NoLimit)
}
