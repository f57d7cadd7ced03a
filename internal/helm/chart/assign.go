package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// applyAssignments sets the deployment's assignments on the values: first those in JSON, then the strings, in Helm's order, then the
// secrets.
// Neither a layer's source nor a problem contains a value, which may be a secret.
func (m *merged) applyAssignments(deployment release.Deployment) {
	for _, given := range deployment.SetJSON {
		m.apply(settingSetJSON, given, parseJSON)
	}
	for _, given := range deployment.Set {
		m.apply(settingSet, given, asString)
	}
	for _, secret := range deployment.SecretValues {
		m.apply(settingSecretValues, secret.Path+"="+secret.Value, asString)
	}
}

func asString(text string) (any, error) { return text, nil }

// Recorded returns the chart's values as the release's record has them: references in the place of secrets.
func (c *Chart) Recorded(deployment release.Deployment) (map[string]any, error) {
	recorded := merged{values: c.Values}
	for _, secret := range deployment.SecretValues {
		recorded.apply(settingSecretValues, secret.Path+"="+secret.Reference.String(), asString)
	}
	if len(recorded.problems) > 0 { // the same path was set before
		return nil, &release.InputError{Problems: recorded.problems}
	}
	return recorded.values, nil
}

// apply sets one path=value; parse turns its text into the value.
func (m *merged) apply(setting, given string, parse func(string) (any, error)) {
	assignment, err := release.ParseAssignment(given)
	if err != nil {
		m.problems = append(m.problems, release.Problem{Setting: setting, What: "a value " + err.Error(), Do: "write it as path=value"})
		return
	}
	one := layer{path: assignment.Path, source: fmt.Sprintf("--%s %s", setting, text.Line(manifest.DottedPath(assignment.Path), text.NoLimit))}
	value, err := parse(assignment.Text)
	if err != nil {
		m.problems = append(m.problems, release.Problem{Where: one.source, What: err.Error(), Do: "write the value as JSON"})
		return
	}
	one.value = value
	changed, err := assign(m.values, assignment, 0, value)
	if err != nil {
		m.problems = append(m.problems, release.Problem{Where: one.source, What: err.Error(), Do: "see the chart's values.yaml"})
		return
	}
	values, isMap := changed.(map[string]any)
	if !isMap {
		m.problems = append(m.problems, release.Problem{Where: one.source, What: "it would replace all values", Do: "see the chart's values.yaml"})
		return
	}
	m.layers, m.values = append(m.layers, one), values
}

// assign returns a copy of current with the value at the assignment's path set, from the step at depth on. It creates a map or a
// list that is absent or null. A list item beyond the end is refused unless it is the next one.
func assign(current any, a release.Assignment, depth int, value any) (any, error) {
	if depth == len(a.Path) {
		return value, nil
	}
	path := manifest.DottedPath(a.Path[:depth])
	if a.Index[depth] {
		list, isList := current.([]any)
		if current != nil && !isList {
			return nil, fmt.Errorf("%s is not a list", path)
		}
		index, err := strconv.Atoi(a.Path[depth])
		if err != nil {
			return nil, err
		}
		if index > len(list) {
			return nil, fmt.Errorf("%s has %d items in the values that are given, so that item %d cannot be set", path, len(list), index)
		}
		list = slices.Clone(list)
		if index == len(list) {
			list = append(list, nil)
		}
		list[index], err = assign(list[index], a, depth+1, value)
		return list, err
	}
	fields, isMap := current.(map[string]any)
	if current != nil && !isMap {
		return nil, fmt.Errorf("%s is not a map", path)
	}
	if fields = maps.Clone(fields); fields == nil {
		fields = map[string]any{}
	}
	var err error
	fields[a.Path[depth]], err = assign(fields[a.Path[depth]], a, depth+1, value)
	return fields, err
}

// parseJSON parses one JSON value. Numbers keep all digits. The error does not contain the text.
func parseJSON(text string) (any, error) {
	if !json.Valid([]byte(text)) {
		return nil, errors.New("is not JSON")
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return decodeJSON(decoder)
}

// decodeJSON reads the next value of valid JSON.
func decodeJSON(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		value, exact := parseNumber(token.String())
		if !exact {
			return nil, errors.New("has a number with more digits than are kept: write it as a string")
		}
		return value, nil
	case json.Delim:
		if token == '[' {
			return decodeJSONList(decoder)
		}
		return decodeJSONMap(decoder)
	default:
		return token, nil
	}
}

func decodeJSONList(decoder *json.Decoder) (any, error) {
	list := []any{}
	for decoder.More() {
		item, err := decodeJSON(decoder)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	_, err := decoder.Token()
	return list, err
}

func decodeJSONMap(decoder *json.Decoder) (any, error) {
	fields := map[string]any{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, isName := token.(string)
		if !isName {
			return nil, io.ErrUnexpectedEOF
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("has the key %q twice", name)
		}
		if fields[name], err = decodeJSON(decoder); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return fields, err
}
