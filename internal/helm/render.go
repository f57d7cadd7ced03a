package helm

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

const whereChart = "--chart (INPUT_CHART)"

// Check finds everything that is wrong with a deployment's chart and values without asking the cluster: the chart
// loads, every values file is YAML, the values fit the chart's schema, the templates render, and some container runs
// exactly the image. All problems that can be told at once are, as *release.InputError.
func (c *Client) Check(deployment release.Deployment) error {
	read, err := load(deployment)
	if err != nil {
		return err
	}
	if _, err := read.render(deployment); err != nil {
		return err
	}
	c.prepared.put(deployment, read)
	return nil
}

// Render is the manifest as it would be applied, rendered without a cluster, and the objects in it. The errors are those
// of Check.
func (c *Client) Render(deployment release.Deployment) (manifest string, objects []release.Object, err error) {
	manifest, err = render(deployment)
	if err != nil {
		return "", nil, err
	}
	objects, err = listed(manifest, deployment.Namespace)
	return manifest, objects, err
}

func render(deployment release.Deployment) (string, error) {
	read, err := load(deployment)
	if err != nil {
		return "", err
	}
	return read.render(deployment)
}

// render renders without a cluster, for an install.
func (p *prepared) render(deployment release.Deployment) (string, error) {
	install := action.NewInstall(new(action.Configuration))
	install.ClientOnly, install.DryRun = true, true
	install.ReleaseName, install.Namespace = deployment.Name, deployment.Namespace
	install.PostRenderer = stamp{deployment}
	rendered, err := install.Run(p.chart, p.values)
	if err != nil {
		return "", unrendered(err, p.chart)
	}
	return rendered.Manifest, nil
}

// load reads the chart and merges the values: files in their order, then the assignments, then the image.
func load(deployment release.Deployment) (*prepared, error) {
	var problems []release.Problem
	loaded, err := loadChart(deployment.Chart)
	if err != nil {
		problems = append(problems, release.Problem{Where: whereChart, What: oneLine(err.Error()), Do: "name a directory with a Chart.yaml, or a packaged chart"})
	}
	layers, values, wrong := merge(deployment)
	problems = append(problems, wrong...)
	if len(problems) == 0 {
		problems, err = unfit(loaded, values, layers)
		if err != nil {
			return nil, err
		}
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	return &prepared{loaded, values}, nil
}

// merge lays the values on top of each other, and the image on top of all.
func merge(deployment release.Deployment) (layers []layer, values map[string]any, problems []release.Problem) {
	add := func(made layer, problem *release.Problem) bool {
		if problem != nil {
			problems = append(problems, *problem)
			return false
		}
		layers = append(layers, made)
		return true
	}
	values = map[string]any{}
	for _, file := range deployment.ValuesFiles {
		if made, problem := readLayer(file); add(made, problem) {
			values = overlay(values, made.values)
		}
	}
	for _, assignment := range deployment.Set {
		// Helm's own reading, on top of what is there: name[1]=value changes one item of a list.
		made, problem := assign(assignment)
		if !add(made, problem) {
			continue
		}
		if err := apply(values, assignment); err != nil {
			problems = append(problems, release.Problem{Where: made.where, What: "does not fit the values below it", Do: "see the chart's values.yaml"})
		}
	}
	if _, isMap := values["image"].(map[string]any); !isMap && values["image"] != nil {
		problems = append(problems, release.Problem{Where: place(layers, []string{"image"}), What: "image: is no map", Do: "--image gives image.repository and image.digest"})
	}
	image := map[string]any{"repository": deployment.Image.Repository.String(), "digest": deployment.Image.Digest.String()}
	return layers, overlay(values, map[string]any{"image": image}), problems
}

// unfit lists what the schemas have against the values as the templates would see them.
func unfit(loaded *chart.Chart, values map[string]any, layers []layer) ([]release.Problem, error) {
	if err := chartutil.ProcessDependenciesWithMerge(loaded, values); err != nil {
		return nil, release.BadInput(whereChart, oneLine(err.Error()), "mend the chart's dependencies")
	}
	seen, err := chartutil.CoalesceValues(loaded, values)
	if err != nil {
		return nil, release.BadInput(whereChart, oneLine(err.Error()), "mend the chart's values")
	}
	return violations(loaded, seen, nil, layers), nil
}

var (
	refusal  = regexp.MustCompile(`(?s)^execution error at \(([^)]+)\): (.*)$`)
	position = regexp.MustCompile(`\(?\b([\w.-]+/templates/[^\s:()]+:\d+)(?::\d+)?\)?`)
)

// unrendered words what a template, or the post-renderer, has against the values.
func unrendered(err error, loaded *chart.Chart) error {
	var input *release.InputError
	if errors.As(err, &input) {
		return input
	}
	where, what := fmt.Sprintf("chart %q", loaded.Name()), err.Error()
	if match := refusal.FindStringSubmatch(what); match != nil { // the chart's own words
		return release.BadInput(where, oneLine(match[2]), "mend the values")
	}
	if match := position.FindStringSubmatch(what); match != nil {
		where = match[1]
	}
	return release.BadInput(where, oneLine(what), "mend the values or the chart")
}
