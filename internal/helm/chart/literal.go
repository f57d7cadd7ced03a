package chart

import (
	"maps"
	"slices"
	"strings"

	helmchart "helm.sh/helm/v3/pkg/chart"
)

// Literal returns a chart whose templates are the rendered manifests without any template actions, so that Helm applies exactly what was checked, and
// renders it within the limits.
func (c *Chart) Literal(rendered *Rendered) *helmchart.Chart {
	metadata := *c.Chart.Metadata
	metadata.Dependencies = nil // their templates are among the rendered ones
	literal := &helmchart.Chart{Metadata: &metadata, Values: c.Chart.Values}
	for _, files := range []map[string]string{rendered.files, rendered.notes} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			literal.Templates = append(literal.Templates, &helmchart.File{
				Name: strings.TrimPrefix(name, c.Chart.Name()+"/"), Data: []byte(strings.ReplaceAll(files[name], "{{", `{{"{{"}}`)),
			})
		}
	}
	return literal
}
