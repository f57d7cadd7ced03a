package probe

import (
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const maxName = 100 // characters

func (r *reader) name(node *yaml.Node) string {
	name := r.text(node, "name")
	if name == "" || clean(name, maxName) != name {
		r.bad(node, "", "name %s must be 1 to %d printable characters on one line", quote(name), maxName)
	}
	return name
}

func (r *reader) path(node *yaml.Node) string {
	path := r.text(node, "path")
	if why := badPath(path); why != "" {
		r.bad(node, "write it as /healthz or /search?q=1", "path %s %s", quote(path), why)
	}
	return path
}

// The methods of RFC 9110, section 9, and PATCH (RFC 5789), without CONNECT and TRACE, which ask nothing of a service.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions}

func (r *reader) method(node *yaml.Node) string {
	method := r.text(node, "method")
	if !slices.Contains(methods, method) {
		r.bad(node, "use one of "+strings.Join(methods, ", "), "method %s is not one that a check may use", quote(method))
	}
	return method
}

// status wants a final status code: RFC 9110, section 15.
func (r *reader) status(node *yaml.Node) int {
	var status int
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" || node.Decode(&status) != nil || status < 200 || status > 599 {
		r.bad(node, "write a number from 200 to 599", "status %s is not a final HTTP status", quote(node.Value))
	}
	return status
}

// headerName is RFC 9110's token, section 5.6.2.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// headers reads names and values; those of a request may not hold what net/http writes itself.
func (r *reader) headers(node *yaml.Node, request bool) map[string]string {
	headers, lines := map[string]string{}, map[string]int{}
	for _, entry := range r.entries(node, "headers") {
		name := textproto.CanonicalMIMEHeaderKey(entry.name)
		value := r.text(entry.value, "header "+quote(entry.name))
		switch {
		case !headerName.MatchString(entry.name):
			r.bad(entry.key, "", "%s is not the name of a header", quote(entry.name))
		case lines[name] != 0:
			r.bad(entry.key, "", "header %s is set already at line %d", quote(entry.name), lines[name])
		case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			r.bad(entry.value, "", "header %s has a control character in its value", quote(entry.name))
		case request && slices.Contains([]string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade"}, name):
			r.bad(entry.key, "leave it out", "header %s belongs to the connection, not to a check", quote(entry.name))
		}
		headers[name], lines[name] = value, entry.key.Line
	}
	return headers
}

func (r *reader) contains(node *yaml.Node) []string {
	items := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		items = r.sequence(node, "body-contains")
	}
	var texts []string
	for _, item := range items {
		text := r.text(item, "body-contains")
		if text == "" {
			r.bad(item, "", "body-contains is empty, which every body contains")
		}
		texts = append(texts, text)
	}
	return texts
}

func (r *reader) regex(node *yaml.Node) string {
	text := r.text(node, "body-regex")
	if _, err := parseRegex(text); err != nil {
		r.bad(node, "", "%s", err)
	} else if text == "" {
		r.bad(node, "", "body-regex is empty, which every body matches")
	}
	return text
}

func (r *reader) json(node *yaml.Node) map[string]any {
	values := map[string]any{}
	for _, entry := range r.entries(node, "json") {
		r.jsonPath(entry)
		values[entry.name] = r.value(entry.value, 0)
	}
	return values
}

func (r *reader) jsonType(node *yaml.Node) map[string]string {
	types := map[string]string{}
	for _, entry := range r.entries(node, "json-type") {
		r.jsonPath(entry)
		name := r.scalar(entry.value, "json-type")
		if !slices.Contains(jsonTypes, name) {
			r.bad(entry.value, "use one of "+strings.Join(jsonTypes, ", "), "%s is not a type of JSON", quote(name))
		}
		types[entry.name] = name
	}
	return types
}

func (r *reader) jsonPath(entry entry) {
	if _, err := parsePath(entry.name); err != nil {
		r.bad(entry.key, "write it as $.environment", "%s", err)
	}
}

func (r *reader) latency(node *yaml.Node) time.Duration {
	text := r.scalar(node, "max-latency")
	limit, err := time.ParseDuration(text)
	if err != nil || limit <= 0 {
		r.bad(node, "write it with a unit, as 500ms or 2s", "max-latency %s is not a time above zero", quote(text))
	}
	return limit
}

// value is a node as JSON would hold it.
func (r *reader) value(node *yaml.Node, depth int) any {
	if depth > maxDepth {
		r.bad(node, "", "is nested more than %d levels deep", maxDepth)
		return nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for _, entry := range r.entries(node, "an object") {
			object[entry.name] = r.value(entry.value, depth+1)
		}
		return object
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range r.sequence(node, "a list") {
			list = append(list, r.value(item, depth+1))
		}
		return list
	}
	text := r.scalar(node, "a value")
	var value any = text
	switch node.ShortTag() {
	case "!!bool", "!!int", "!!float", "!!null":
		if err := node.Decode(&value); err != nil {
			r.bad(node, "", "%s cannot be read: %s", quote(text), clean(err.Error(), maxExcerpt))
		}
	}
	if number, ok := value.(float64); ok && (math.IsNaN(number) || math.IsInf(number, 0)) {
		r.bad(node, "", "%s is no number that JSON has", quote(text))
	}
	return value
}

// entry is one key of a mapping and its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries lists a mapping in its order, each key once.
func (r *reader) entries(node *yaml.Node, what string) []entry {
	if !r.plain(node) {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		r.bad(node, "write it as key: value", "%s must be a mapping, not %s", what, describe(node))
		return nil
	}
	lines := map[string]int{}
	var all []entry
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		name := r.scalar(key, "a key")
		if line, taken := lines[name]; taken {
			r.bad(key, "", "key %s is repeated; it stands at line %d already", quote(name), line)
			continue
		}
		lines[name] = key.Line
		all = append(all, entry{name: name, key: key, value: node.Content[i+1]})
	}
	return all
}

func (r *reader) sequence(node *yaml.Node, what string) []*yaml.Node {
	if !r.plain(node) {
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		r.bad(node, "begin each with a dash", "%s must be a list, not %s", what, describe(node))
		return nil
	}
	return node.Content
}

// text wants a string; a number or true would be another thing in another YAML, so it must stand in quotes.
func (r *reader) text(node *yaml.Node, what string) string {
	text := r.scalar(node, what)
	if tag := node.ShortTag(); node.Kind == yaml.ScalarNode && tag != "!!str" && tag != "!!timestamp" && !tagged(node) {
		r.bad(node, "put it in quotes", "%s must be text, not %s", what, describe(node))
	}
	return text
}

func (r *reader) scalar(node *yaml.Node, what string) string {
	if r.plain(node) && node.Kind != yaml.ScalarNode {
		r.bad(node, "", "%s must be one value, not %s", what, describe(node))
	}
	return node.Value
}

// plain refuses what makes YAML more than it looks.
func (r *reader) plain(node *yaml.Node) bool {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		r.bad(node, "write the value out", "anchors and aliases are not read here")
	case tagged(node):
		r.bad(node, "leave the tag out", "tag %s is not read here", quote(node.Tag))
	default:
		return true
	}
	return false
}

func tagged(node *yaml.Node) bool { return node.Style&yaml.TaggedStyle != 0 }

func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if node.ShortTag() == "!!null" {
		return "empty"
	}
	return fmt.Sprintf("the %s %s", strings.TrimPrefix(node.ShortTag(), "!!"), quote(node.Value))
}
