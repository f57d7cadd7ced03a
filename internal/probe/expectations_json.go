package probe

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ohler55/ojg/jp"
	"go.yaml.in/yaml/v3"
)

func (p *parser) json(node *yaml.Node) map[string]any {
	values := map[string]any{}
	for _, entry := range p.entries(node, "json") {
		p.jsonPath(entry)
		values[entry.name] = p.jsonValue(entry.value, 0)
	}
	return values
}

func (p *parser) jsonType(node *yaml.Node) map[string]string {
	types := map[string]string{}
	for _, entry := range p.entries(node, "json-type") {
		p.jsonPath(entry)
		name := p.scalar(entry.value, "json-type")
		if !slices.Contains(jsonTypes, name) {
			p.problem(entry.value, "use one of "+strings.Join(jsonTypes, ", "), "%s is not a type of JSON", quote(name))
		}
		types[entry.name] = name
	}
	return types
}

func (p *parser) jsonPath(entry entry) {
	if _, err := parsePath(entry.name); err != nil {
		p.problem(entry.key, "write it as $.environment", "%s", err)
	}
}

// parsePath accepts a JSONPath from the root (RFC 9535, section 2.2).
func parsePath(text string) (jp.Expr, error) {
	if !strings.HasPrefix(text, "$") {
		return nil, fmt.Errorf("%s is not a JSONPath: it must start with $", quote(text))
	}
	expr, err := jp.ParseString(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a JSONPath: %s", quote(text), excerpt(err.Error()))
	}
	return expr, nil
}

// errTruncated is the error of a body of which only the start was read.
var errTruncated = errors.New("the body is longer than what is read of it")

// compareJSON compares the values, and the types, at each path. A path must match at least one place, and every place that
// it matches must be as expected.
func compareJSON(check compiledCheck, got response) (differences []string) {
	if len(check.JSON)+len(check.JSONType) == 0 {
		return nil
	}
	document, err := parseJSON(got.body)
	notJSON := "a body that is not JSON"
	switch {
	case got.truncated:
		err, notJSON = errTruncated, "a body that is longer than what is read"
		differences = append(differences, fmt.Sprintf("body: expected JSON, got a body of more than %d bytes, which is not read whole", len(got.body)))
	case err != nil:
		differences = append(differences, fmt.Sprintf("body: expected JSON, got %s (%s)", got.excerpt(), excerpt(err.Error())))
	}
	compareAt := func(path, expected string, matches func(any) bool) {
		differ := func(actual string) {
			differences = append(differences, fmt.Sprintf("json %s: expected %s, got %s", excerpt(path), expected, actual))
		}
		if err != nil {
			differ(notJSON)
			return
		}
		found := check.paths[path].Get(document)
		if len(found) == 0 {
			differ("nothing there")
		}
		if i := slices.IndexFunc(found, func(value any) bool { return !matches(value) }); i >= 0 {
			differ(renderJSON(found[i])) // the first of many is enough
		}
	}
	for _, path := range slices.Sorted(maps.Keys(check.JSON)) {
		want := check.JSON[path]
		compareAt(path, renderJSON(want), func(value any) bool { return equalJSON(want, value) })
	}
	for _, path := range slices.Sorted(maps.Keys(check.JSONType)) {
		want := check.JSONType[path]
		compareAt(path, "a value of type "+want, func(value any) bool { return jsonTypeOf(value) == want })
	}
	return differences
}
