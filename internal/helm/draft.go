package helm

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
)

// draft is a release as it would be applied, rendered with the cluster's own version and kinds.
type draft struct {
	manifest string
	hooks    []*helmrelease.Hook
	install  bool
}

// draft renders what Helm would render for the next revision. It asks the cluster for nothing that the templates do not look
// up themselves.
func (s *session) draft(deployment release.Deployment, read *prepared, base footing) (*draft, error) {
	if err := chartutil.ProcessDependenciesWithMerge(read.chart, read.values); err != nil {
		return nil, unrendered(err, read.chart)
	}
	capabilities := s.known.Load().capabilities
	if wants := read.chart.Metadata.KubeVersion; wants != "" && !chartutil.IsCompatibleRange(wants, capabilities.KubeVersion.String()) {
		return nil, release.BadInput(whereChart, fmt.Sprintf("the chart wants Kubernetes %s, and the cluster has %s", wants, capabilities.KubeVersion.String()),
			"take a chart that fits the cluster")
	}
	options := chartutil.ReleaseOptions{Name: deployment.Name, Namespace: deployment.Namespace, Revision: base.next(), IsInstall: base.install, IsUpgrade: !base.install}
	if base.install {
		options.Revision = 1 // Helm's own, even if failed ones came before
	}
	values, err := chartutil.ToRenderValuesWithSchemaValidation(read.chart, read.values, options, capabilities, true)
	if err != nil {
		return nil, unrendered(err, read.chart)
	}
	files, err := engine.New(s.config).Render(read.chart, values)
	if err != nil {
		return nil, unrendered(err, read.chart)
	}
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, unrendered(err, read.chart)
	}
	var text bytes.Buffer
	for _, manifest := range manifests {
		fmt.Fprintf(&text, "---\n# Source: %s\n%s\n", manifest.Name, manifest.Content)
	}
	stamped, err := stamp{deployment}.Run(&text)
	if err != nil {
		return nil, err
	}
	return &draft{manifest: stamped.String(), hooks: hooks, install: base.install}, nil
}

// runs are the hooks that a deploy of the draft would run, before or after the objects are applied.
func (d *draft) runs(before bool) (list []*helmrelease.Hook) {
	event := map[[2]bool]helmrelease.HookEvent{
		{true, true}: helmrelease.HookPreInstall, {true, false}: helmrelease.HookPostInstall,
		{false, true}: helmrelease.HookPreUpgrade, {false, false}: helmrelease.HookPostUpgrade,
	}[[2]bool{d.install, before}]
	for _, hook := range d.hooks {
		for _, at := range hook.Events {
			if at == event {
				list = append(list, hook)
			}
		}
	}
	return list
}

// same tells whether two drafts' hooks, or a revision's, are the same.
func sameHooks(a, b []*helmrelease.Hook) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Path != b[i].Path || strings.TrimSpace(a[i].Manifest) != strings.TrimSpace(b[i].Manifest) {
			return false
		}
	}
	return true
}
