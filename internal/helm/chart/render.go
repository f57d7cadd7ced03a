package chart

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/client-go/rest"
)

// Chart is a chart with the merged values of a deployment, both checked.
type Chart struct {
	Chart  *helmchart.Chart
	Values map[string]any
	Notes  []string // what the chart sees otherwise than it is written in the values files, one line each
}

// Load reads the chart and merges the values of a deployment: the files in their order, then the assignments, then the image.
// All problems are reported at once, as *release.InputError.
func Load(deployment release.Deployment) (*Chart, error) {
	var problems []release.Problem
	loaded, err := readChart(deployment.Chart)
	if err != nil {
		problems = append(problems, release.Problem{Setting: settingChart, What: text.Line(err.Error(), text.NoLimit), Do: "name a directory with a Chart.yaml, or a packaged chart"})
	}
	merged := mergeLayers(deployment)
	problems = append(problems, merged.problems...)
	if len(problems) == 0 {
		problems, err = checkValues(loaded, merged.values, merged.layers)
		if err != nil {
			return nil, err
		}
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	read := &Chart{Chart: loaded, Values: merged.values, Notes: merged.notes()}
	read.useFloatsIfNeeded(deployment)
	return read, nil
}

// checkValues validates the values as the templates will see them.
func checkValues(loaded *helmchart.Chart, values map[string]any, layers []layer) ([]release.Problem, error) {
	if err := chartutil.ProcessDependenciesWithMerge(loaded, values); err != nil {
		return nil, release.BadSetting(settingChart, text.Line(err.Error(), text.NoLimit), "fix the chart's dependencies")
	}
	coalesced, err := chartutil.CoalesceValues(loaded, values)
	if err != nil {
		return nil, release.BadSetting(settingChart, text.Line(err.Error(), text.NoLimit), "fix the chart's values")
	}
	return checkSchemas(loaded, coalesced, nil, layers), nil
}

// Render renders the manifest of a first install, without a cluster.
func (c *Chart) Render(deployment release.Deployment) (manifest string, err error) {
	rendered, err := c.FirstRevision(deployment)
	if err != nil {
		return "", err
	}
	return rendered.Manifest, nil
}

// FirstRevision renders a first install, without a cluster, as Helm would record it.
func (c *Chart) FirstRevision(deployment release.Deployment) (*helmrelease.Release, error) {
	install := action.NewInstall(new(action.Configuration))
	install.ClientOnly, install.DryRun = true, true
	install.ReleaseName, install.Namespace = deployment.Name, deployment.Namespace
	install.PostRenderer = Stamp{deployment}
	rendered, err := install.Run(c.Chart, c.Values)
	if err != nil {
		return nil, renderError(err, c.Chart)
	}
	return rendered, nil
}

// Target is what a revision is rendered for.
type Target struct {
	Config       *rest.Config // the cluster that the templates' lookups ask
	Capabilities *chartutil.Capabilities
	Revision     int
	Install      bool // an install, not an upgrade
}

// Rendered is a revision as it would be applied.
type Rendered struct {
	Manifest string
	Hooks    []*helmrelease.Hook
	install  bool
}

// RenderRevision renders what Helm would render for the next revision. It sends no request, except for the lookups of the
// templates.
func (c *Chart) RenderRevision(deployment release.Deployment, target Target) (*Rendered, error) {
	if err := chartutil.ProcessDependenciesWithMerge(c.Chart, c.Values); err != nil {
		return nil, renderError(err, c.Chart)
	}
	version := target.Capabilities.KubeVersion.String()
	if want := c.Chart.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, version) {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("the chart wants Kubernetes %s, and the cluster has %s", want, version),
			"use a chart that supports the cluster's version")
	}
	options := chartutil.ReleaseOptions{Name: deployment.Name, Namespace: deployment.Namespace, Revision: target.Revision, IsInstall: target.Install, IsUpgrade: !target.Install}
	if target.Install {
		options.Revision = 1 // as Helm has it, even after installs that failed
	}
	values, err := chartutil.ToRenderValuesWithSchemaValidation(c.Chart, c.Values, options, target.Capabilities, true)
	if err != nil {
		return nil, renderError(err, c.Chart)
	}
	files, err := engine.New(target.Config).Render(c.Chart, values)
	if err != nil {
		return nil, renderError(err, c.Chart)
	}
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, renderError(err, c.Chart)
	}
	var rendered bytes.Buffer
	for _, one := range manifests {
		fmt.Fprintf(&rendered, "---\n# Source: %s\n%s\n", one.Name, one.Content)
	}
	stamped, err := Stamp{deployment}.Run(&rendered)
	if err != nil {
		return nil, err
	}
	return &Rendered{Manifest: stamped.String(), Hooks: hooks, install: target.Install}, nil
}

// PreHooks returns the hooks that run before the objects are applied.
func (r *Rendered) PreHooks() []*helmrelease.Hook {
	if r.install {
		return r.hooksOf(helmrelease.HookPreInstall)
	}
	return r.hooksOf(helmrelease.HookPreUpgrade)
}

// PostHooks returns the hooks that run after the objects are applied.
func (r *Rendered) PostHooks() []*helmrelease.Hook {
	if r.install {
		return r.hooksOf(helmrelease.HookPostInstall)
	}
	return r.hooksOf(helmrelease.HookPostUpgrade)
}

func (r *Rendered) hooksOf(event helmrelease.HookEvent) (list []*helmrelease.Hook) {
	for _, hook := range r.Hooks {
		for _, at := range hook.Events {
			if at == event {
				list = append(list, hook)
			}
		}
	}
	return list
}

var (
	failCall = regexp.MustCompile(`(?s)^execution error at \(([^)]+)\): (.*)$`)
	position = regexp.MustCompile(`\(?\b([\w.-]+/templates/[^\s:()]+:\d+)(?::\d+)?\)?`)
)

// renderError turns an error of a template or of the post-renderer into an *release.InputError. A message of the template
// function "fail" is the chart author's, so that it is reported without the template's position.
func renderError(err error, loaded *helmchart.Chart) error {
	var input *release.InputError
	if errors.As(err, &input) {
		return input
	}
	where, what := fmt.Sprintf("chart %q", loaded.Name()), err.Error()
	if match := failCall.FindStringSubmatch(what); match != nil {
		return release.BadInput(where, text.Line(match[2], text.NoLimit), "fix the values")
	}
	if match := position.FindStringSubmatch(what); match != nil {
		where = match[1]
	}
	return release.BadInput(where, text.Line(what, text.NoLimit), "fix the values or the chart")
}
