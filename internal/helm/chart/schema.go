package chart

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	helmchart "helm.sh/helm/v3/pkg/chart"
)

// schemaURL is the name of a chart's schema in messages. No file of that name is opened.
const schemaURL = "file:///values.schema.json"

// checkSchemas validates the values against the schemas of a chart and of its subcharts; parent is the chart's path in the
// values. Helm validates too, but its errors have no file and no line, and it follows a schema's references to any file and server.
// load reads schemas that a schema refers to; nil reads none.
func checkSchemas(c *helmchart.Chart, values map[string]any, parent []string, layers []layer, load SchemaLoader) []release.Problem {
	var problems []release.Problem
	if len(c.Schema) > 0 {
		err := validate(c.Schema, values, load)
		var invalid *jsonschema.ValidationError
		switch {
		case errors.As(err, &invalid):
			problems = schemaProblems(invalid, parent, layers, c.Name())
		case err != nil:
			problems = []release.Problem{{Setting: settingChart, What: fmt.Sprintf("the schema of chart %q cannot be used: %s", c.Name(), text.Line(err.Error(), text.NoLimit)),
				Do: "fix its values.schema.json, which may refer to itself only, and to the hosts that --schema-host names"}}
		}
	}
	for _, subchart := range c.Dependencies() {
		if subvalues, isMap := values[subchart.Name()].(map[string]any); isMap {
			problems = append(problems, checkSchemas(subchart, subvalues, append(slices.Clone(parent), subchart.Name()), layers, load)...)
		}
	}
	return problems
}

// SchemaLoader reads a schema at an address to which a chart's schema refers.
type SchemaLoader func(address string) ([]byte, error)

// Load parses a schema for the compiler.
func (l SchemaLoader) Load(address string) (any, error) {
	content, err := l(address)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(content))
}

// validate validates values against one JSON schema. load reads other documents; nil reads none.
func validate(schema []byte, values map[string]any, load SchemaLoader) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // supports no URL scheme, so that nothing is loaded
	if load != nil {
		compiler.UseLoader(load)
	}
	if err := compiler.AddResource(schemaURL, document); err != nil {
		return err
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return err
	}
	return compiled.Validate(values)
}

// schemaProblems converts a tree of violations to one problem per leaf, each with the location of the value.
func schemaProblems(violation *jsonschema.ValidationError, parent []string, layers []layer, chart string) []release.Problem {
	path := append(slices.Clone(parent), violation.InstanceLocation...)
	problem := func(path []string, what string) release.Problem {
		one := release.Problem{Where: sourceLocation(layers, path), What: what, Do: "see the chart's values.yaml"}
		if len(path) > 0 {
			one.What = manifest.DottedPath(path) + ": " + what
		}
		if one.Where == "" {
			one.Where = fmt.Sprintf("chart %q", chart)
		}
		return one
	}
	switch violated := violation.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		problems := make([]release.Problem, len(violated.Properties))
		for i, property := range violated.Properties {
			problems[i] = problem(append(slices.Clone(path), property), "the chart has no such value")
		}
		return problems
	case *kind.Type:
		one := problem(path, fmt.Sprintf("is of type %s, want %s", violated.Got, strings.Join(violated.Want, " or ")))
		if strings.HasPrefix(one.Where, sourceSet) {
			one.Do = "--set gives strings only; give this value by --set-json or in a values file"
		}
		return []release.Problem{one}
	case *kind.AnyOf, *kind.OneOf:
		var alternatives []string
		for _, cause := range violation.Causes {
			for _, inner := range schemaProblems(cause, parent, layers, chart) {
				alternatives = append(alternatives, inner.What)
			}
		}
		return []release.Problem{problem(path, "none of the alternatives fits: "+strings.Join(alternatives, ", or "))}
	}
	if len(violation.Causes) == 0 {
		return []release.Problem{problem(path, describeViolation(violation.ErrorKind))}
	}
	var problems []release.Problem
	for _, cause := range violation.Causes {
		problems = append(problems, schemaProblems(cause, parent, layers, chart)...)
	}
	return problems
}

var english = message.NewPrinter(language.English)

// describeViolation describes a violation without the value, which may be a secret.
func describeViolation(violated jsonschema.ErrorKind) string {
	switch violated := violated.(type) {
	case *kind.FalseSchema:
		return "may not be set"
	case *kind.Pattern:
		return fmt.Sprintf("does not match %s", violated.Want)
	case *kind.Format:
		return fmt.Sprintf("is not a valid %s", violated.Want)
	}
	return text.Line(violated.LocalizedString(english), text.NoLimit)
}
