package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/ohler55/ojg/jp"
)

// parsePath accepts a JSONPath from the root (RFC 9535, section 2.2).
func parsePath(text string) (jp.Expr, error) {
	if !strings.HasPrefix(text, "$") {
		return nil, fmt.Errorf("%s is not a JSONPath: it must start with $", quote(text))
	}
	expr, err := jp.ParseString(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a JSONPath: %s", quote(text), clean(err.Error(), maxExcerpt))
	}
	return expr, nil
}

// judgeJSON holds each path to its value: it must lead somewhere, and every place it leads to must hold that value.
func (q question) judgeJSON(got reply) []string {
	if len(q.paths) == 0 {
		return nil
	}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	document, err := parseJSON(got.body)
	if err != nil {
		say("body: expected JSON, got %s (%s)", got.excerpt(), clean(err.Error(), maxExcerpt))
	}
	each := func(path, wanted string, holds func(any) bool) {
		if err != nil {
			say("json %s: expected %s, got a body that is not JSON", clean(path, maxExcerpt), wanted)
			return
		}
		found := q.paths[path].Get(document)
		if len(found) == 0 {
			say("json %s: expected %s, got nothing there", clean(path, maxExcerpt), wanted)
		}
		for _, value := range found {
			if !holds(value) {
				say("json %s: expected %s, got %s", clean(path, maxExcerpt), wanted, render(value))
				return // one of many is enough
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(q.check.JSON)) {
		want := q.check.JSON[path]
		each(path, render(want), func(value any) bool { return equal(want, value) })
	}
	for _, path := range slices.Sorted(maps.Keys(q.check.JSONType)) {
		want := q.check.JSONType[path]
		each(path, "a value of type "+want, func(value any) bool { return kind(value) == want })
	}
	return wrong
}

// parseJSON reads one document (RFC 8259) and nothing after it. Numbers become int64 or uint64 where they are whole
// and fit, else float64.
func parseJSON(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the document")
	}
	return plain(document), nil
}

func plain(value any) any {
	switch value := value.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole
		}
		if whole, err := strconv.ParseUint(value.String(), 10, 64); err == nil {
			return whole
		}
		if number, err := value.Float64(); err == nil {
			return number
		}
		return value // beyond what a float64 holds
	case []any:
		for i := range value {
			value[i] = plain(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = plain(value[key])
		}
	}
	return value
}

// jsonTypes are the types of RFC 8259, section 3, by the names that json-type accepts.
var jsonTypes = []string{"array", "boolean", "null", "number", "object", "string"}

func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "number"
}

// equal compares by type and value: 1 and 1.0 are the same number, "1" is none.
func equal(want, got any) bool {
	if kind(want) != kind(got) {
		return false
	}
	switch want := want.(type) {
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(want, list, equal)
	case map[string]any:
		object, ok := got.(map[string]any)
		return ok && maps.EqualFunc(want, object, equal)
	case nil, bool, string:
		return want == got
	}
	left, right := rational(want), rational(got)
	if left == nil || right == nil {
		return fmt.Sprint(want) == fmt.Sprint(got)
	}
	return left.Cmp(right) == 0
}

// rational is a number's exact value; nil for one that no machine type holds, which could take all memory to expand.
func rational(value any) *big.Rat {
	switch value := value.(type) {
	case int:
		return new(big.Rat).SetInt64(int64(value))
	case int64:
		return new(big.Rat).SetInt64(value)
	case uint64:
		return new(big.Rat).SetUint64(value)
	case float64:
		return new(big.Rat).SetFloat64(value)
	}
	return nil
}

// render is a value as JSON, so that "1" and 1 look different.
func render(value any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return quote(fmt.Sprint(value))
	}
	return clean(strings.TrimSpace(b.String()), maxExcerpt)
}
