// Package charts holds the common chart, for programs that run without a checkout of this repository.
package charts

import (
	"embed"
	"io/fs"
)

// The tests and the README are no part of the chart, as its .helmignore says. Helm's partials begin with "_", which needs all:.
//
//go:embed service/.helmignore service/Chart.yaml service/values.yaml service/values.schema.json all:service/dashboards all:service/templates
var files embed.FS

// Service returns the files of the common chart, charts/service.
func Service() fs.FS {
	chart, err := fs.Sub(files, "service")
	if err != nil {
		panic(err) // the path is valid
	}
	return chart
}
