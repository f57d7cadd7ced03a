package probe

import (
	"maps"
	"net/url"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reference matches ${NAME}, the escape $${, and any other ${.
var reference = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{`)

// valueName is the name of a captured value.
var valueName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkReferences reports the references of a text to values that no earlier check captures.
func (p *parser) checkReferences(node *yaml.Node) {
	for _, match := range reference.FindAllStringSubmatch(node.Value, -1) {
		switch name := match[1]; {
		case match[0] == "$${" || p.captured[name] > 0:
		case name == "":
			p.problem(node, "write ${NAME} for a captured value, $${ for the characters", "${ does not begin a captured value")
		default:
			p.problem(node, "capture it in an earlier check, or write $${ for the characters", "%s is captured by no check before this one", match[0])
		}
	}
}

// expandText replaces the references of a text by their values, as they are.
func expandText(text string, value func(name string) string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	return reference.ReplaceAllStringFunc(text, func(match string) string {
		if len(match) < 4 { // $${
			return "${"
		}
		return value(match[2 : len(match)-1])
	})
}

// expandPath replaces the references of a path. A value at the beginning is not escaped, because it may have several segments; any other value
// is escaped as one segment, or as one part of the query.
func expandPath(path string, value func(name string) string) string {
	if !strings.Contains(path, "${") {
		return path
	}
	var expanded strings.Builder
	end := 0
	for _, place := range reference.FindAllStringIndex(path, -1) {
		before := path[end:place[0]]
		expanded.WriteString(before)
		inQuery := strings.Contains(path[:place[0]], "?")
		match := path[place[0]:place[1]]
		end = place[1]
		switch {
		case len(match) < 4:
			expanded.WriteString("${")
		case place[0] == 0:
			expanded.WriteString(value(match[2 : len(match)-1]))
		case inQuery:
			expanded.WriteString(url.QueryEscape(value(match[2 : len(match)-1])))
		default:
			expanded.WriteString(url.PathEscape(value(match[2 : len(match)-1])))
		}
	}
	expanded.WriteString(path[end:])
	return expanded.String()
}

func expandValues(texts map[string]string, value func(name string) string) map[string]string {
	expanded := maps.Clone(texts)
	for key, text := range texts {
		expanded[key] = expandText(text, value)
	}
	return expanded
}

func expandList(texts []string, value func(name string) string) []string {
	var expanded []string
	for _, text := range texts {
		expanded = append(expanded, expandText(text, value))
	}
	return expanded
}
