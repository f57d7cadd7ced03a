package helm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// step is one step of a path into an object: a field, or the item of a list.
type step struct {
	field string         // "" for an item
	by    string         // how the item is called: its name, or its index
	item  map[string]any // as the cluster has it, or else as it is to be; nil if it is no map
}

// spelled is a path as people write it: spec.template.spec.containers[app].image, metadata.annotations["a.b/c"].
func spelled(path []step) string {
	var text strings.Builder
	for i, step := range path {
		switch {
		case step.field == "":
			fmt.Fprintf(&text, "[%s]", step.by)
		case !plainStep.MatchString(step.field):
			fmt.Fprintf(&text, "[%s]", strconv.Quote(step.field))
		case i > 0:
			text.WriteString("." + step.field)
		default:
			text.WriteString(step.field)
		}
	}
	return text.String()
}

// difference is one field in which two versions of an object differ.
type difference struct {
	path          []step
	note          string // of what about it, "" for its value
	before, after any
}

func (d difference) same(other difference) bool {
	return spelled(d.path) == spelled(other.path) && d.note == other.note
}

// told is a difference as it can be shown.
func (d difference) told(object map[string]any, hidden *secrets) release.FieldChange {
	change := release.FieldChange{Path: hidden.redacted(oneLine(spelled(d.path) + d.note))}
	if hidden.hides(object, d.path, d.before, d.after) {
		change.Hidden = true
		return change
	}
	change.Before, change.After = shortened(text(d.before), text(d.after))
	return change
}

// longest bounds a value that is shown, in bytes.
const longest = 200

// shortened cuts two long values down to where they begin to differ.
func shortened(before, after string) (shortBefore, shortAfter string) {
	if len(before) <= longest && len(after) <= longest {
		return before, after
	}
	same := 0
	for same < len(before) && same < len(after) && before[same] == after[same] {
		same++
	}
	from := max(0, same-longest/4)
	cut := func(text string) string {
		if len(text) <= longest {
			return text
		}
		begin, end := min(from, len(text)), min(from+longest, len(text))
		short := strings.ToValidUTF8(text[begin:end], "")
		if begin > 0 {
			short = "…" + short
		}
		if end < len(text) {
			short += "…"
		}
		return short
	}
	return cut(before), cut(after)
}

// differences are the fields in which two versions of an object differ, in the order of their paths.
func differences(before, after map[string]any) (list []difference) {
	compare(nil, asWritten(before), asWritten(after), &list)
	return list
}

func asWritten(object map[string]any) any {
	if object == nil {
		return nil
	}
	return object
}

// wide is how much of a value that comes or goes is told in one piece, in bytes; what is larger is told field by field.
const wide = 120

func compare(path []step, before, after any, list *[]difference) {
	if alike(before, after) {
		return
	}
	a, aIs := before.(map[string]any)
	b, bIs := after.(map[string]any)
	if aIs && bIs || len(path) == 0 || (aIs || bIs) && (before == nil || after == nil) && len(text(before))+len(text(after)) > wide {
		compareMaps(path, a, b, list)
		return
	}
	c, cIs := before.([]any)
	d, dIs := after.([]any)
	if (cIs || before == nil) && (dIs || after == nil) {
		compareLists(path, c, d, before, after, list)
		return
	}
	one, oneIs := before.(string)
	other, otherIs := after.(string)
	if oneIs && otherIs && strings.Contains(one, "\n") && strings.Contains(other, "\n") {
		compareLines(path, one, other, list)
		return
	}
	*list = append(*list, difference{path: path, before: bare(before), after: bare(after)})
}

func compareMaps(path []step, a, b map[string]any, list *[]difference) {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		compare(append(slices.Clone(path), step{field: name}), a[name], b[name], list)
	}
}

// itemKeys are the fields by which an item of a list is known, as strategic merges know them too.
// Source: k8s.io/api, patchMergeKey of the fields' tags.
var itemKeys = []string{"name", "containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey", "key", "type", "uid"}

// keyOfItems is the field by which every item of both lists is known, "" if there is none.
func keyOfItems(lists ...[]any) string {
	for _, key := range itemKeys {
		fits := true
		for _, list := range lists {
			seen := map[string]bool{}
			for _, item := range list {
				fields, is := item.(map[string]any)
				name := text(fields[key])
				fits = fits && is && name != "" && !seen[name] && scalar(fields[key])
				seen[name] = true
			}
		}
		if fits {
			return key
		}
	}
	return ""
}

func scalar(value any) bool {
	switch value.(type) {
	case map[string]any, []any, nil:
		return false
	}
	return true
}

func compareLists(path []step, a, b []any, before, after any, list *[]difference) {
	key := keyOfItems(a, b)
	if key == "" {
		if len(a) == len(b) && allMaps(a) && allMaps(b) {
			for i := range a {
				item, _ := a[i].(map[string]any)
				compare(append(slices.Clone(path), step{by: strconv.Itoa(i), item: item}), a[i], b[i], list)
			}
			return
		}
		*list = append(*list, difference{path: path, before: bare(before), after: bare(after)})
		return
	}
	old, fresh := byKey(a, key), byKey(b, key)
	var names, common, now []string
	for _, item := range a {
		names = append(names, nameOfItem(item, key))
	}
	for _, item := range b {
		name := nameOfItem(item, key)
		if _, both := old[name]; both {
			now = append(now, name)
			continue
		}
		names = append(names, name)
	}
	for _, name := range names {
		if fresh[name] != nil && old[name] != nil {
			common = append(common, name)
		}
		item, _ := old[name].(map[string]any)
		if item == nil {
			item, _ = fresh[name].(map[string]any)
		}
		compare(append(slices.Clone(path), step{by: name, item: item}), old[name], fresh[name], list)
	}
	if !slices.Equal(common, now) { // an order can matter: of init containers, of variables that name each other
		*list = append(*list, difference{path: path, note: " (order)", before: listOf(common), after: listOf(now)})
	}
}

func allMaps(list []any) bool {
	return !slices.ContainsFunc(list, func(item any) bool { _, is := item.(map[string]any); return !is })
}

func listOf(names []string) []any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}

func byKey(list []any, key string) map[string]any {
	named := map[string]any{}
	for _, item := range list {
		named[nameOfItem(item, key)] = item
	}
	return named
}

func nameOfItem(item any, key string) string {
	fields, _ := item.(map[string]any)
	return fmt.Sprint(fields[key])
}

// volatile are the fields that say nothing of what was asked for.
var volatile = [][]string{
	{"status"},
	{"metadata", "managedFields"}, {"metadata", "resourceVersion"}, {"metadata", "generation"}, {"metadata", "uid"},
	{"metadata", "creationTimestamp"}, {"metadata", "selfLink"},
	{"metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"},
	{"metadata", "annotations", "deployment.kubernetes.io/revision"},
	{"metadata", "annotations", "deprecated.daemonset.template.generation"},
	{"metadata", "annotations", release.AnnotationRun},
	{"metadata", "annotations", release.AnnotationActor},
}

// lasting is an object without its volatile fields.
func lasting(object map[string]any) map[string]any {
	if object == nil {
		return nil
	}
	kept := runtime.DeepCopyJSON(object)
	for _, path := range volatile {
		unstructured.RemoveNestedField(kept, path...)
	}
	return kept
}
