package source

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Limits of a chart's dependencies.
const (
	maxDependencies = 100
	maxDepth        = 5 // of file:// dependencies
)

// complete adds the dependencies that a chart names and does not contain. It refuses a lock that does not belong to Chart.yaml, and packages
// in charts/ that the lock does not name: what would run is then not what was resolved.
func (f *Finder) complete(ctx context.Context, from origin, depth int) ([]*loader.BufferedFile, error) {
	loaded, err := loader.LoadFiles(from.files)
	if err != nil {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("%q is not a chart: %s", from.name, text.Line(err.Error(), text.NoLimit)), "name a directory with a Chart.yaml, or a packaged chart")
	}
	wanted := loaded.Metadata.Dependencies
	if len(wanted) > maxDependencies || depth > maxDepth {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("%q has more than %d dependencies, or more than %d levels of them", from.name, maxDependencies, maxDepth), "make it smaller")
	}
	d := dependencies{finder: f, chart: loaded, from: from, depth: depth}
	if err := d.checkLock(); err != nil {
		return nil, err
	}
	files := slices.Clone(from.files)
	for i, dependency := range wanted {
		if dependency == nil {
			continue
		}
		missing, err := d.isMissing(dependency, i)
		if err != nil {
			return nil, err
		}
		if !missing {
			continue
		}
		more, err := d.fetch(ctx, dependency, i)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

// dependencies are those of one chart.
type dependencies struct {
	finder *Finder
	chart  *helmchart.Chart
	from   origin
	depth  int
}

// lockName returns the name of the chart's lock file: Chart.lock, or requirements.lock for a chart of API version v1.
func (d dependencies) lockName() string {
	if d.chart.Metadata.APIVersion == helmchart.APIVersionV1 {
		return "requirements.lock"
	}
	return "Chart.lock"
}

func (d dependencies) refuse(what, command string) error {
	return release.BadSetting(settingChart, fmt.Sprintf("chart %q: %s", d.from.name, what), fmt.Sprintf("run helm dependency %s, and commit %s", command, d.lockName()))
}

// checkLock refuses a lock of other dependencies than the chart's, by the digest that Helm writes into it. A package is left as it was published.
// Source: helm.sh/helm/v3, internal/resolver, HashReq and HashV2Req.
func (d dependencies) checkLock() error {
	if d.chart.Lock == nil || d.from.dir == "" {
		return nil
	}
	for _, wanted := range [][]*helmchart.Dependency{d.chart.Metadata.Dependencies, d.withLockedAddresses()} {
		if d.chart.Lock.Digest == hashOf([2][]*helmchart.Dependency{wanted, d.chart.Lock.Dependencies}) || d.chart.Lock.Digest == hashOf(map[string]any{"dependencies": wanted}) {
			return nil
		}
	}
	return d.refuse(d.lockName()+" is out of date: it was made for other dependencies than the chart names", "update")
}

// withLockedAddresses returns the chart's dependencies with the addresses that the lock has for those of a repository's name: Helm replaces the
// name by the address before it writes the digest (helm.sh/helm/v3, pkg/downloader, resolveRepoNames).
func (d dependencies) withLockedAddresses() []*helmchart.Dependency {
	wanted := slices.Clone(d.chart.Metadata.Dependencies)
	for i, dependency := range wanted {
		locked := d.locked(dependency, i)
		if dependency == nil || locked == nil || !strings.HasPrefix(dependency.Repository, "@") && !strings.HasPrefix(dependency.Repository, "alias:") {
			continue
		}
		addressed := *dependency
		addressed.Repository = locked.Repository
		wanted[i] = &addressed
	}
	return wanted
}

func hashOf(value any) string {
	content, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return release.DigestOf(content).String()
}

// locked returns the lock's entry of the dependency at an index, nil if there is none.
func (d dependencies) locked(dependency *helmchart.Dependency, index int) *helmchart.Dependency {
	if d.chart.Lock == nil || index >= len(d.chart.Lock.Dependencies) {
		return nil
	}
	entry := d.chart.Lock.Dependencies[index]
	if entry == nil || entry.Name != dependency.Name {
		return nil
	}
	return entry
}

// isMissing reports whether the chart does not contain a dependency. One that it contains in another version is refused.
func (d dependencies) isMissing(dependency *helmchart.Dependency, index int) (bool, error) {
	var versions []string
	for _, contained := range d.chart.Dependencies() {
		if contained.Name() == dependency.Name {
			versions = append(versions, contained.Metadata.Version)
		}
	}
	if len(versions) == 0 || d.from.dir == "" {
		return len(versions) == 0, nil
	}
	want := dependency.Version
	if locked := d.locked(dependency, index); locked != nil {
		want = locked.Version
	}
	if !slices.ContainsFunc(versions, func(version string) bool { return satisfies(version, want) }) {
		return false, d.refuse(fmt.Sprintf("charts/ has %s %s, and %s is wanted", dependency.Name, strings.Join(versions, ", "), want), "build")
	}
	return false, nil
}

// satisfies reports whether a version is within a range. Like Helm, it accepts any version if the
// range cannot be parsed.
func satisfies(version, wanted string) bool {
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return true
	}
	parsed, err := semver.NewVersion(version)
	return err == nil && constraint.Check(parsed)
}

// fetch returns the files of a dependency, in charts/.
func (d dependencies) fetch(ctx context.Context, dependency *helmchart.Dependency, index int) ([]*loader.BufferedFile, error) {
	repository, version := dependency.Repository, dependency.Version
	if locked := d.locked(dependency, index); locked != nil {
		repository, version = locked.Repository, locked.Version
	}
	if path, local := strings.CutPrefix(repository, "file://"); local {
		return d.fetchLocal(ctx, dependency, path)
	}
	switch {
	case !strings.HasPrefix(repository, "https://") && !strings.HasPrefix(repository, "http://") && !strings.HasPrefix(repository, ociScheme):
		return nil, d.refuse(fmt.Sprintf("charts/ lacks %s %s, and its repository %q is known to your Helm only", dependency.Name, version, text.Line(repository, 200)), "build where Helm knows it, commit charts/")
	case !isExact(version):
		return nil, d.refuse(fmt.Sprintf("charts/ lacks %s, and which version of %q is meant is not locked", dependency.Name, text.Line(version, 100)), "update")
	}
	packed, err := d.finder.download(ctx, repository, dependency.Name, version, false)
	if err != nil {
		return nil, unreachable(err, "fetching dependency %q %s of chart %q from %q", dependency.Name, version, d.from.name, text.Line(repository, 200))
	}
	found, err := unpacked(dependency.Name, packed)
	if err != nil {
		return nil, err
	}
	inner, err := loader.LoadFiles(found.files)
	if err != nil {
		return nil, notAChart(dependency.Name, err)
	}
	if inner.Name() != dependency.Name || !satisfies(inner.Metadata.Version, version) {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("dependency %q %s of chart %q is actually chart %q %s", dependency.Name, version, d.from.name, inner.Name(), inner.Metadata.Version),
			"correct the dependency or its repository")
	}
	return []*loader.BufferedFile{{Name: fmt.Sprintf("charts/%s-%s.tgz", dependency.Name, version), Data: packed}}, nil
}

// isExact reports whether a version is one version and no range.
func isExact(version string) bool {
	_, err := semver.StrictNewVersion(strings.TrimPrefix(version, "v"))
	return err == nil
}

// fetchLocal reads a dependency of the work tree, and completes it.
func (d dependencies) fetchLocal(ctx context.Context, dependency *helmchart.Dependency, path string) ([]*loader.BufferedFile, error) {
	if d.from.dir == "" {
		return nil, d.refuse(fmt.Sprintf("charts/ lacks %s, and a package has no directory beside it (file://%s)", dependency.Name, text.Line(path, 200)), "build before helm package")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.from.dir, path)
	}
	inside, err := d.finder.options.Inside(path)
	if err != nil {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("dependency %q of chart %q: %s", dependency.Name, d.from.name, err), "correct its repository in Chart.yaml")
	}
	found, err := read(inside, inside)
	if err != nil {
		return nil, err
	}
	files, err := d.finder.complete(ctx, found, d.depth+1)
	if err != nil {
		return nil, err
	}
	loaded, err := loader.LoadFiles(found.files)
	if err != nil {
		return nil, notAChart(inside, err)
	}
	if loaded.Name() != dependency.Name || !satisfies(loaded.Metadata.Version, dependency.Version) {
		return nil, d.refuse(fmt.Sprintf("%q is chart %s %s, and %s %s is wanted", inside, loaded.Name(), loaded.Metadata.Version, dependency.Name, dependency.Version), "update")
	}
	placed := make([]*loader.BufferedFile, 0, len(files))
	for _, file := range files {
		if file.Name != ".helmignore" {
			placed = append(placed, &loader.BufferedFile{Name: "charts/" + dependency.Name + "/" + file.Name, Data: file.Data})
		}
	}
	return placed, nil
}
