package chart

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
)

// Chart is a chart with the merged values of a deployment, both checked.
type Chart struct {
	Chart  *helmchart.Chart
	Values map[string]any // with the deployment's images
	Notes  []string       // values that the chart reads differently from how they are written in the files, one line each

	given         map[string]any  // the values of the files and the assignments
	layers        []layer         // that they come from
	replaced      map[string]bool // repositories, in full, that the values had where they got an image
	floatsDecided bool
}

// Load reads the chart and merges the values of a deployment: the files in their order, then the assignments, then the images.
// All problems are reported at once, as *release.InputError.
func Load(deployment release.Deployment) (*Chart, error) { return LoadWith(deployment, nil) }

// LoadWith is Load with a reader of the schemas to which the chart's schemas refer; nil reads none.
func LoadWith(deployment release.Deployment, schemas SchemaLoader) (*Chart, error) {
	var problems []release.Problem
	loaded, err := readChart(deployment.Chart)
	if err != nil {
		problems = append(problems, release.Problem{Setting: settingChart, What: text.Line(err.Error(), text.NoLimit), Do: "name a directory with a Chart.yaml, or a packaged chart"})
	}
	merged := mergeLayers(deployment)
	problems = append(problems, merged.problems...)
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	c := &Chart{Chart: loaded, Notes: merged.notes(), given: merged.values, layers: merged.layers}
	if problems, err = c.checkValues(deployment, schemas); err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	return c, nil
}

// checkValues validates the values as the templates will see them. The tag of an image whose commit is not known yet is a placeholder.
func (c *Chart) checkValues(deployment release.Deployment, schemas SchemaLoader) ([]release.Problem, error) {
	if err := chartutil.ProcessDependenciesWithMerge(c.Chart, c.given); err != nil {
		return nil, release.BadSetting(settingChart, text.Line(err.Error(), text.NoLimit), "fix the chart's dependencies")
	}
	deployment.Images = slices.Clone(deployment.Images)
	for i := range deployment.Images {
		deployment.Images[i].Commit = cmp.Or(deployment.Images[i].Commit, unknownCommit)
	}
	problems, err := c.setImages(deployment)
	if err != nil || len(problems) > 0 {
		return problems, err
	}
	coalesced, err := chartutil.CoalesceValues(c.Chart, c.Values)
	if err != nil {
		return nil, release.BadSetting(settingChart, text.Line(err.Error(), text.NoLimit), "fix the chart's values")
	}
	return checkSchemas(c.Chart, coalesced, nil, c.layers, schemas), nil
}

// Target describes the revision and the cluster to render for.
type Target struct {
	Render       func(*helmchart.Chart, chartutil.Values) (map[string]string, error) // renders templates; nil: Helm's engine does, and lookups find nothing
	Capabilities *chartutil.Capabilities
	Revision     int
	Install      bool // an install, not an upgrade
}

// Rendered is a revision as it would be applied.
type Rendered struct {
	Manifest string
	Hooks    []*helmrelease.Hook
	Images   []release.ImageUse // where it runs the deployment's images
	Warnings []string
	files    map[string]string // as the templates render them
	notes    map[string]string // NOTES.txt of the chart and its subcharts
	install  bool
}

// RenderRevision renders what Helm would render for the next revision. It sends no request, except for the lookups of the
// templates. It refuses a cluster whose version the chart does not support, an image that nothing would run and a reference to one that would stay
// unpinned, with an *release.InputError.
func (c *Chart) RenderRevision(deployment release.Deployment, target Target) (*Rendered, error) {
	if err := chartutil.ProcessDependenciesWithMerge(c.Chart, c.Values); err != nil {
		return nil, renderError(err, c.Chart)
	}
	version := target.Capabilities.KubeVersion.String()
	if want := c.Chart.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, version) {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("the chart wants Kubernetes %s, and the cluster has %s", want, version),
			"use a chart that supports the cluster's version")
	}
	files, notes, err := c.renderFiles(deployment, target)
	if c.useFloatsIfNeeded(files, err) {
		files, notes, err = c.renderFiles(deployment, target)
	}
	if err != nil {
		return nil, renderError(err, c.Chart)
	}
	hooks, manifests, err := releaseutil.SortManifests(maps.Clone(files), nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, renderError(err, c.Chart)
	}
	var rendered bytes.Buffer
	for _, one := range manifests {
		fmt.Fprintf(&rendered, "---\n# Source: %s\n%s\n", one.Name, one.Content)
	}
	pinner := newPinner(deployment)
	pinned, err := PostRenderer{deployment}.run(&rendered, pinner)
	if err == nil {
		err = pinner.pinHooks(hooks)
	}
	if err = cmp.Or(err, pinner.checkUnpinned(), pinner.checkUsed(c.replaced)); err != nil {
		return nil, renderError(err, c.Chart)
	}
	texts := []string{pinned.String()}
	for _, hook := range hooks {
		texts = append(texts, hook.Manifest)
	}
	if err := checkExposed(deployment, texts...); err != nil {
		return nil, err
	}
	return &Rendered{Manifest: pinned.String(), Hooks: hooks, Images: pinner.uses, Warnings: pinner.warnings(), files: files, notes: notes, install: target.Install}, nil
}

// renderFiles renders the chart's templates, and apart from them its notes.
func (c *Chart) renderFiles(deployment release.Deployment, target Target) (files, notes map[string]string, err error) {
	options := chartutil.ReleaseOptions{Name: deployment.Name, Namespace: deployment.Namespace, Revision: target.Revision, IsInstall: target.Install, IsUpgrade: !target.Install}
	if target.Install {
		options.Revision = 1 // as Helm has it, even after installs that failed
	}
	values, err := chartutil.ToRenderValuesWithSchemaValidation(c.Chart, c.Values, options, target.Capabilities, true)
	if err != nil {
		return nil, nil, err
	}
	renders := target.Render
	if renders == nil {
		renders = engine.Render
	}
	files, err = renders(c.Chart, values)
	notes = map[string]string{}
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			notes[name] = text
			delete(files, name)
		}
	}
	return files, notes, err
}

// Record returns the revision as Helm would record it.
func (c *Chart) Record(deployment release.Deployment, rendered *Rendered) *helmrelease.Release {
	return &helmrelease.Release{Name: deployment.Name, Namespace: deployment.Namespace, Chart: c.Chart, Config: c.Values, Manifest: rendered.Manifest, Hooks: rendered.Hooks,
		Version: 1, Info: &helmrelease.Info{Status: helmrelease.StatusPendingInstall}}
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

// hooksOf returns the hooks of an event, in the order in which Helm runs them.
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
	var (
		input *release.InputError
		fault *release.Fault
	)
	switch {
	case errors.As(err, &input):
		return input
	case errors.As(err, &fault), errors.Is(err, context.Canceled):
		return err
	}
	where, what := fmt.Sprintf("chart %q", loaded.Name()), err.Error()
	if match := failCall.FindStringSubmatch(what); match != nil {
		return release.BadInput(where, text.Line(match[2], text.NoLimit), "fix the values")
	}
	if match := position.FindStringSubmatch(what); match != nil {
		where = match[1]
	}
	advice := "fix the values or the chart"
	if strings.Contains(strings.ToLower(what), "invalid semantic version") {
		advice = "if it is the tag of the image that the chart compares as a version: the tag is set to the commit, unless the parts of the image are named without it, as by " +
			"--image-values image.repository --image-values image.digest; a chart may also have a value for the version"
	}
	return release.BadInput(where, text.Line(what, text.NoLimit), advice)
}
