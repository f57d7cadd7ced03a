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
)

// parseJSON reads one document (RFC 8259) and nothing after it. Numbers become int64 or uint64 where they are whole
// and fit, stay as they are where they are whole and do not fit, else float64.
func parseJSON(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the JSON document")
	}
	return convertNumbers(document), nil
}

// convertNumbers replaces each json.Number in a decoded document.
func convertNumbers(value any) any {
	switch value := value.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole
		}
		if whole, err := strconv.ParseUint(value.String(), 10, 64); err == nil {
			return whole
		}
		if number, err := value.Float64(); err == nil && !isWhole(value.String()) {
			return number
		}
		return value // beyond what a machine's type holds
	case []any:
		for i := range value {
			value[i] = convertNumbers(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = convertNumbers(value[key])
		}
	}
	return value
}

// isWhole reports whether a number is written as a whole one, in digits alone.
func isWhole(text string) bool {
	return strings.Trim(strings.TrimLeft(text, "+-"), "0123456789") == ""
}

// jsonTypes are the types of RFC 8259, section 3, by the names that json-type accepts.
var jsonTypes = []string{"array", "boolean", "null", "number", "object", "string"}

func jsonTypeOf(value any) string {
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

// equalJSON compares by type and value: 1 and 1.0 are the same number, "1" is not a number.
func equalJSON(want, got any) bool {
	if jsonTypeOf(want) != jsonTypeOf(got) {
		return false
	}
	switch want := want.(type) {
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(want, list, equalJSON)
	case map[string]any:
		object, ok := got.(map[string]any)
		return ok && maps.EqualFunc(want, object, equalJSON)
	case nil, bool, string:
		return want == got
	}
	want, got = alike(want, got)
	left, right := rational(want), rational(got)
	if left == nil || right == nil {
		return fmt.Sprint(want) == fmt.Sprint(got)
	}
	return left.Cmp(right) == 0
}

// alike makes a whole number that no machine type holds a float64 if the other one is a float64: a server may write it with an exponent, and has no more digits.
func alike(left, right any) (any, any) {
	whole := func(value, other any) any {
		if number, isNumber := value.(json.Number); isNumber {
			if _, isFloat := other.(float64); isFloat {
				if float, err := number.Float64(); err == nil {
					return float
				}
			}
		}
		return value
	}
	return whole(left, right), whole(right, left)
}

// maxDigits is how many digits of a whole number are compared by value; longer ones are compared by their text.
const maxDigits = 400

// rational is a number's exact value; nil for one with an exponent that no machine type holds, which could take all memory to expand.
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
	case json.Number:
		if isWhole(value.String()) && len(value) <= maxDigits {
			whole, _ := new(big.Rat).SetString(value.String())
			return whole
		}
	}
	return nil
}

// renderJSON is a value as JSON, so that "1" and 1 look different.
func renderJSON(value any) string {
	document, encoded := encodeJSON(value)
	if !encoded {
		return quote(fmt.Sprint(value))
	}
	return excerpt(document)
}

// encodeJSON returns a value as JSON, and false if it cannot be encoded.
func encodeJSON(value any) (string, bool) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", false
	}
	return strings.TrimSpace(b.String()), true
}
