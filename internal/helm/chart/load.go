// Package chart reads a chart with the values of a deployment, checks both, and renders them. Only rendering a revision for a
// cluster needs that cluster's version and kinds; all else works offline.
package chart

import (
	"fmt"

	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// readChart reads a chart, a directory or a packaged one, and requires it to be complete and within the limits.
func readChart(path string) (*helmchart.Chart, error) {
	files, err := ReadFiles(path)
	if err != nil {
		return nil, fmt.Errorf("reading chart %q: %w", path, err)
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("%q is not a chart: %w", path, err)
	}
	if err := loaded.Validate(); err != nil {
		return nil, fmt.Errorf("chart %q: %w", path, err)
	}
	if missing := action.CheckDependencies(loaded, loaded.Metadata.Dependencies); missing != nil {
		return nil, fmt.Errorf("chart %q: %w", path, missing)
	}
	keepDigits(loaded)
	return loaded, nil
}
