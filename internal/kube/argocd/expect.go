package argocd

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Expected is what an Application must apply, so that what a run checks is what Argo CD applies.
type Expected struct {
	SameRepository func(address string) bool
	Repository     string // its address, for messages
	Branch         string
	DefaultBranch  bool                   // the branch is the repository's default one
	Chart          string                 // directory of the chart in the repository; "" if the chart is from elsewhere
	Elsewhere      string                 // ChartAddress of that
	HasFile        func(name string) bool // in the directory of the chart in the repository
	Values         []string               // values files in the repository, in their order
	Manifests      string                 // directory of rendered manifests in the repository, instead of a chart with values; HasFile is about it then
	Release        string
	Namespace      string
}

// inCluster are the names of the cluster that Argo CD itself runs in.
var inCluster = []string{"https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local", "in-cluster"}

// compare lists what differs between an Application and what it must apply, and returns the index of the source that is the repository.
func (e Expected) compare(a application, name string) (index int, problems []release.Problem) {
	add := func(what, do string) {
		problems = append(problems, release.Problem{Setting: "application", What: fmt.Sprintf("%q %s", name, what), Do: do})
	}
	sources := a.sources()
	index = slices.IndexFunc(sources, func(s source) bool { return e.SameRepository(s.RepoURL) })
	if index < 0 {
		add(fmt.Sprintf("does not apply the repository %q", e.Repository), "name the Application that does, or its repository with config-repository")
		return 0, problems
	}
	repository := sources[index]
	if !e.isBranch(repository.TargetRevision) {
		add(fmt.Sprintf("applies %q of the repository, not branch %q", repository.TargetRevision, e.Branch), "give its branch with config-branch")
	}
	if server := a.Spec.Destination; !slices.Contains(inCluster, server.Server) && !slices.Contains(inCluster, server.Name) {
		add(fmt.Sprintf("applies to another cluster than its own (%s%s), which this run could not watch", server.Server, server.Name), "let the Application apply to the cluster that Argo CD runs in")
	}
	if a.Spec.Destination.Namespace != e.Namespace {
		add(fmt.Sprintf("applies to namespace %q, not to %q", a.Spec.Destination.Namespace, e.Namespace), "give its namespace with namespace")
	}
	rendered := slices.DeleteFunc(slices.Clone(sources), func(s source) bool { return s.Ref != "" && s.Chart == "" && s.Path == "" })
	if len(rendered) != 1 {
		add(fmt.Sprintf("renders %d sources, not one", len(rendered)), "let it render the chart alone; other sources have a ref and no path")
		return index, problems
	}
	chart := rendered[0]
	if e.Manifests != "" {
		e.compareManifests(a, chart, repository, add)
		return index, problems
	}
	if chart.Helm == nil {
		chart.Helm = new(helm)
	}
	own := e.SameRepository(chart.RepoURL) && chart.TargetRevision == repository.TargetRevision
	if releaseName := firstOf(chart.Helm.ReleaseName, a.Metadata.Name); releaseName != e.Release {
		add(fmt.Sprintf("names the release %q, not %q", releaseName, e.Release), "give its name with release, or set spec.source.helm.releaseName")
	}
	e.compareChart(a, chart, own, add)
	var values []string
	for _, file := range chart.Helm.ValueFiles {
		values = append(values, chart.valueFile(file, own, repository.Ref))
	}
	if !slices.Equal(values, e.Values) {
		add(fmt.Sprintf("uses the values files %q, not %q", values, e.Values), "give its values files with values, in its order")
	}
	if set := chart.Helm; set.Values != "" || len(set.ValuesObject)+len(set.Parameters)+len(set.FileParameters) > 0 {
		add("sets values of its own, which override those of the repository", "move them to a values file of the repository")
	}
	return index, problems
}

// compareChart lists what differs between the source that is rendered and the chart that the run checks.
func (e Expected) compareChart(a application, s source, own bool, add func(what, do string)) {
	found, want := path.Clean(strings.Trim(s.Path, "/")), firstOf(e.Chart, e.Elsewhere)
	if e.Chart == "" || s.Chart != "" || !own {
		found = ChartAddress(s.RepoURL, s.Chart+strings.Trim(s.Path, "./"), s.TargetRevision)
	}
	if found != want {
		add(fmt.Sprintf("applies the chart %q, not %q", found, want), "give its chart with chart, and with chart-repo and chart-version if it is from elsewhere")
	}
	e.refuseOthers(a, "kustomize, plugin or helm.namespace", s.Kustomize != nil || s.Plugin != nil || s.Helm.Namespace != "", add)
}

// isBranch reports whether a source's revision is the branch.
func (e Expected) isBranch(target string) bool {
	return target == e.Branch || target == "refs/heads/"+e.Branch || e.DefaultBranch && (target == "" || target == "HEAD")
}

// compareManifests lists what differs between the source that is rendered and the directory of manifests. The repository's first source may be another one, with another revision.
func (e Expected) compareManifests(a application, s, repository source, add func(what, do string)) {
	if found := path.Clean("./" + strings.Trim(s.Path, "/")); s.Chart != "" || !e.SameRepository(s.RepoURL) || found != e.Manifests {
		add(fmt.Sprintf("applies %q, not the directory %q", found, e.Manifests), "give its directory with config-path, or let it render the chart and leave config-path out")
	}
	if s.TargetRevision != repository.TargetRevision && !e.isBranch(s.TargetRevision) {
		add(fmt.Sprintf("applies %q of the manifests, not branch %q", s.TargetRevision, e.Branch), "give all its sources of the repository the same targetRevision")
	}
	other := s.Kustomize != nil || s.Plugin != nil || s.Helm != nil
	for name := range s.Directory {
		other = other || name != "recurse"
	}
	e.refuseOthers(a, "helm, kustomize, plugin, or more than recurse under directory", other, add)
}

// refuseOthers refuses fields, if they are set, and files by which Argo CD renders something else.
func (e Expected) refuseOthers(a application, fields string, set bool, add func(what, do string)) {
	has := func(name string, set bool) {
		if set {
			add(fmt.Sprintf("has %s, by which Argo CD renders something else", name), "remove it")
		}
	}
	has(fields, set)
	for _, file := range []string{".argocd-source.yaml", ".argocd-source-" + a.Metadata.Name + ".yaml"} { // Source: argo-cd.readthedocs.io, "Parameter Overrides"
		has(file, e.HasFile(file))
	}
}

// ChartAddress names a chart that is not in the repository; without the scheme of a registry, which Argo CD leaves out.
func ChartAddress(repository, chart, version string) string {
	return strings.TrimSuffix(strings.Replace(strings.Trim(strings.TrimSuffix(repository, "/")+"/"+chart, "/"), "oci://", "", 1)+":"+version, ":")
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
