package chart

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"sigs.k8s.io/yaml"
)

// parseNumber returns the value of a decimal number, and whether it keeps every digit. Helm reads every number as float64, which
// templates print as 1.23456789012e+11. A whole number that would be printed so is an int64 or uint64 instead. Any other number
// stays a float64: templates distinguish the kinds.
func parseNumber(text string) (value any, exact bool) {
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		if float := float64(whole); whole == 0 || fmt.Sprint(float) == text {
			return float, true
		}
		return whole, true
	}
	if whole, err := strconv.ParseUint(text, 10, 64); err == nil {
		return whole, true
	}
	float, err := strconv.ParseFloat(text, 64)
	return float, err == nil && sameNumber(text, float)
}

// maxDigits bounds the text of a number that is compared exactly.
const maxDigits = 400

// sameNumber reports whether a float is exactly the number in the text.
func sameNumber(text string, float float64) bool {
	if float == 0 {
		mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
		return strings.Trim(mantissa, "+-0.") == ""
	}
	written, ok := new(big.Rat), len(text) <= maxDigits
	if ok {
		_, ok = written.SetString(text)
	}
	kept, _ := new(big.Rat).SetString(strconv.FormatFloat(float, 'g', -1, 64))
	return ok && kept != nil && written.Cmp(kept) == 0
}

// decodeValues reads a file of values as Helm does, as YAML 1.1, but keeps the digits of numbers.
func decodeValues(content []byte) (map[string]any, error) {
	var values map[string]any
	useNumber := func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d }
	if err := yaml.Unmarshal(content, &values, useNumber); err != nil {
		return nil, err
	}
	if values == nil {
		return map[string]any{}, nil
	}
	replaceScalars(values, func(number any) any {
		if text, ok := number.(json.Number); ok {
			number, _ = parseNumber(text.String())
		}
		return number
	})
	return values, nil
}

// replaceScalars replaces every scalar in a value, in place, and returns the value.
func replaceScalars(value any, replace func(any) any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			value[name] = replaceScalars(inner, replace)
		}
		return value
	case []any:
		for i, inner := range value {
			value[i] = replaceScalars(inner, replace)
		}
		return value
	}
	return replace(value)
}

// keepDigits replaces the values of a chart and of its subcharts by the same with every digit of their numbers.
func keepDigits(c *helmchart.Chart) {
	for _, file := range c.Raw {
		if file.Name != "values.yaml" {
			continue
		}
		if values, err := decodeValues(file.Data); err == nil { // Helm has read it
			c.Values = values
		}
	}
	for _, subchart := range c.Dependencies() {
		keepDigits(subchart)
	}
}

// wantsFloats matches the output and the errors of a template that expects float64, such as {{ printf "%.0f" .Values.id }}.
var wantsFloats = regexp.MustCompile(`%![a-zA-Z]\(u?int64=|incompatible types for comparison`)

// maxFloat is the greatest whole number up to which a float64 keeps every digit.
const maxFloat = 1 << 53

// useFloatsIfNeeded gives the templates float64 for whole numbers, as Helm does, if they have rendered with nothing else and no digit is lost. It
// decides once, and reports whether it has changed values.
func (c *Chart) useFloatsIfNeeded(files map[string]string, renderErr error) bool {
	if c.floatsDecided {
		return false
	}
	c.floatsDecided = true
	wants := renderErr != nil && wantsFloats.MatchString(renderErr.Error())
	for _, content := range files {
		wants = wants || wantsFloats.MatchString(content)
	}
	if !wants {
		return false
	}
	fit := true
	c.eachValue(func(value any) any {
		switch value := value.(type) {
		case int64:
			fit = fit && value <= maxFloat && value >= -maxFloat
		case uint64:
			fit = fit && value <= maxFloat
		}
		return value
	})
	if !fit {
		return false
	}
	c.eachValue(func(value any) any {
		switch value := value.(type) {
		case int64:
			return float64(value)
		case uint64:
			return float64(value)
		}
		return value
	})
	return true
}

// eachValue replaces every scalar among the values of the deployment, of the chart and of its subcharts.
func (c *Chart) eachValue(replace func(any) any) {
	replaceScalars(c.given, replace)
	replaceScalars(c.Values, replace)
	var visit func(*helmchart.Chart)
	visit = func(chart *helmchart.Chart) {
		replaceScalars(chart.Values, replace)
		for _, subchart := range chart.Dependencies() {
			visit(subchart)
		}
	}
	visit(c.Chart)
}
