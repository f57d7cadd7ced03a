package helm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"helm.sh/helm/v3/pkg/chart"
)

// schemaFile is what a chart's schema is called in messages; nothing of that name is opened.
const schemaFile = "file:///values.schema.json"

// violations holds the values against the schemas of a chart and of its subcharts. Helm would do the same, but tells no
// file and no line, and follows a schema's references to any file and any server.
func violations(c *chart.Chart, values map[string]any, above []string, layers []layer) []release.Problem {
	var problems []release.Problem
	if len(c.Schema) > 0 {
		err := validate(c.Schema, values)
		var invalid *jsonschema.ValidationError
		switch {
		case errors.As(err, &invalid):
			problems = tell(invalid, above, layers, c.Name())
		case err != nil:
			problems = []release.Problem{{Where: "--chart (INPUT_CHART)", What: fmt.Sprintf("the schema of chart %q cannot be used: %s", c.Name(), oneLine(err.Error())),
				Do: "mend its values.schema.json, which may refer to itself only"}}
		}
	}
	for _, below := range c.Dependencies() {
		if values, given := values[below.Name()].(map[string]any); given {
			problems = append(problems, violations(below, values, append(slices.Clone(above), below.Name()), layers)...)
		}
	}
	return problems
}

func validate(schema []byte, values map[string]any) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // of no scheme: nothing is loaded
	if err := compiler.AddResource(schemaFile, document); err != nil {
		return err
	}
	compiled, err := compiler.Compile(schemaFile)
	if err != nil {
		return err
	}
	return compiled.Validate(values)
}

// tell lists a tree of violations by its leaves, each with the place that gave the value.
func tell(violation *jsonschema.ValidationError, above []string, layers []layer, name string) []release.Problem {
	path := append(slices.Clone(above), violation.InstanceLocation...)
	problem := func(path []string, what string) release.Problem {
		made := release.Problem{Where: place(layers, path), What: what, Do: "see the chart's values.yaml"}
		if len(path) > 0 {
			made.What = dotted(path) + ": " + what
		}
		if made.Where == "" {
			made.Where = fmt.Sprintf("chart %q", name)
		}
		return made
	}
	switch violated := violation.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		problems := make([]release.Problem, len(violated.Properties))
		for i, property := range violated.Properties {
			problems[i] = problem(append(slices.Clone(path), property), "the chart knows no such value")
		}
		return problems
	case *kind.Type:
		made := problem(path, fmt.Sprintf("is of type %s, want %s", violated.Got, strings.Join(violated.Want, " or ")))
		if strings.HasPrefix(made.Where, whereSet) {
			made.Do = "--set gives strings only; write this value into a values file"
		}
		return []release.Problem{made}
	case *kind.AnyOf, *kind.OneOf:
		var alternatives []string
		for _, cause := range violation.Causes {
			for _, inner := range tell(cause, above, layers, name) {
				alternatives = append(alternatives, inner.What)
			}
		}
		return []release.Problem{problem(path, "none of the alternatives fits: "+strings.Join(alternatives, ", or "))}
	}
	if len(violation.Causes) == 0 {
		return []release.Problem{problem(path, worded(violation.ErrorKind))}
	}
	var problems []release.Problem
	for _, cause := range violation.Causes {
		problems = append(problems, tell(cause, above, layers, name)...)
	}
	return problems
}

var english = message.NewPrinter(language.English)

// worded says what is wrong without telling the value, which may be a secret.
func worded(violated jsonschema.ErrorKind) string {
	switch violated := violated.(type) {
	case *kind.FalseSchema:
		return "may not be set"
	case *kind.Pattern:
		return fmt.Sprintf("does not match %s", violated.Want)
	case *kind.Format:
		return fmt.Sprintf("is no %s", violated.Want)
	}
	return oneLine(violated.LocalizedString(english))
}
