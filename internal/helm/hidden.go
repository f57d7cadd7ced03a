package helm

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
)

// secrets knows what must not be shown: the values of Secrets, those that the chart's schema marks, and whatever looks like
// one.
type secrets struct{ values []string }

// leastSecret is how long a value must be to be looked for in other places: shorter ones, as "true", are everywhere.
const leastSecret = 6

// secretsOf gathers the values of all Secrets among the objects, and of the chart's values that its schema marks.
func secretsOf(read *prepared, manifests ...[]map[string]any) *secrets {
	found := new(secrets)
	for _, objects := range manifests {
		for _, object := range objects {
			found.learn(object)
		}
	}
	if read != nil {
		found.marked(read.chart, read.values)
	}
	found.settle()
	return found
}

func (s *secrets) settle() {
	slices.SortFunc(s.values, func(a, b string) int { return len(b) - len(a) }) // a secret inside another goes with it
	s.values = slices.Compact(s.values)
}

// learn takes the values of a Secret.
func (s *secrets) learn(object map[string]any) {
	if !isSecret(object) {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		values, _ := object[field].(map[string]any)
		for _, value := range values {
			value, _ := value.(string)
			s.add(value)
			if plain, err := base64.StdEncoding.DecodeString(value); err == nil && field == "data" {
				s.add(string(plain))
			}
		}
	}
}

func (s *secrets) add(value string) {
	for _, line := range append([]string{value}, strings.Split(value, "\n")...) {
		if line = strings.TrimSpace(line); len(line) >= leastSecret {
			s.values = append(s.values, line)
		}
	}
}

func isSecret(object map[string]any) bool {
	kind, _ := object["kind"].(string)
	return strings.HasSuffix(kind, "Secret")
}

// marked takes the values that a chart's schema marks as such: "writeOnly": true, or "format": "password".
// Source: JSON Schema validation draft 7, 9.4 (writeOnly); OpenAPI 3.0, Data Types (password).
func (s *secrets) marked(c *chart.Chart, values map[string]any) {
	var schema any
	if len(c.Schema) > 0 && json.Unmarshal(c.Schema, &schema) == nil {
		s.markedBy(schema, schema, overlay(c.Values, values), 0)
	}
	for _, below := range c.Dependencies() {
		if inner, is := values[below.Name()].(map[string]any); is {
			s.marked(below, inner)
		}
	}
}

// deepest bounds how far a schema that refers to itself is followed.
const deepest = 32

func (s *secrets) markedBy(root, schema, value any, depth int) {
	rules, is := schema.(map[string]any)
	if !is || value == nil || depth > deepest {
		return
	}
	if reference, is := rules["$ref"].(string); is {
		s.markedBy(root, referred(root, reference), value, depth+1)
	}
	if rules["writeOnly"] == true || rules["format"] == "password" {
		s.addAll(value)
	}
	for _, several := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := rules[several].([]any)
		for _, one := range list {
			s.markedBy(root, one, value, depth+1)
		}
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			s.markedBy(root, rules["items"], item, depth+1)
		}
	case map[string]any:
		properties, _ := rules["properties"].(map[string]any)
		patterns, _ := rules["patternProperties"].(map[string]any)
		for name, inner := range value {
			s.markedBy(root, properties[name], inner, depth+1)
			s.markedBy(root, rules["additionalProperties"], inner, depth+1)
			for pattern, rule := range patterns {
				if matches, err := regexp.MatchString(pattern, name); err == nil && matches {
					s.markedBy(root, rule, inner, depth+1)
				}
			}
		}
	}
}

// referred is what a reference inside a schema names. Source: RFC 6901.
func referred(root any, reference string) any {
	path, inside := strings.CutPrefix(reference, "#/")
	if !inside {
		return nil
	}
	for _, step := range strings.Split(path, "/") {
		held, _ := root.(map[string]any)
		root = held[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
	}
	return root
}

func (s *secrets) addAll(value any) {
	switch value := value.(type) {
	case string:
		s.add(value)
	case []any:
		for _, inner := range value {
			s.addAll(inner)
		}
	case map[string]any:
		for _, inner := range value {
			s.addAll(inner)
		}
	}
}

// redacted is a text with every known secret in it replaced.
func (s *secrets) redacted(text string) string {
	for _, value := range s.values {
		text = strings.ReplaceAll(text, value, "***")
	}
	return text
}

func (s *secrets) in(value any) bool {
	switch value := value.(type) {
	case string:
		return slices.ContainsFunc(s.values, func(secret string) bool { return strings.Contains(value, secret) })
	case []any:
		return slices.ContainsFunc(value, s.in)
	case map[string]any:
		for _, inner := range value {
			if s.in(inner) {
				return true
			}
		}
	}
	return false
}

// secretName is what people call a variable that holds a secret.
var secretName = regexp.MustCompile(`(?i)passw(or)?d|passphrase|secret|token|credential|api[_-]?key|private[_-]?key|access[_-]?key|dsn$|connection[_-]?string`)

// hides tells whether the value at a path must not be shown.
func (s *secrets) hides(object map[string]any, path []step, before, after any) bool {
	if len(path) == 0 {
		return isSecret(object)
	}
	top := path[0].field
	if isSecret(object) && top != "metadata" && top != "type" && top != "immutable" {
		return true
	}
	last := path[len(path)-1]
	if top == "metadata" || holdsAnnotations(path) {
		if strings.HasPrefix(last.field, "checksum/") || strings.Contains(strings.ToLower(last.field), "checksum") {
			return true // of something short, it could be guessed
		}
	}
	if top == "data" && secretName.MatchString(last.field) {
		return true
	}
	if env := variable(path); env != "" && secretName.MatchString(env) && last.field == "value" {
		return true
	}
	return s.in(before) || s.in(after) || namesSecret(before) || namesSecret(after)
}

func holdsAnnotations(path []step) bool {
	return len(path) > 1 && path[len(path)-2].field == "annotations"
}

// variable is the name of the environment variable that a path is in, "" if it is in none.
func variable(path []step) string {
	for i, step := range path {
		if step.item != nil && i > 0 && path[i-1].field == "env" {
			name, _ := step.item["name"].(string)
			return name
		}
	}
	return ""
}

// namesSecret tells whether a whole value holds a variable that is called like a secret and given in the open.
func namesSecret(value any) bool {
	switch value := value.(type) {
	case []any:
		return slices.ContainsFunc(value, namesSecret)
	case map[string]any:
		if name, is := value["name"].(string); is && value["value"] != nil && secretName.MatchString(name) {
			return true
		}
		for _, inner := range value {
			if namesSecret(inner) {
				return true
			}
		}
	}
	return false
}
