package argocd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Expected is what an Application must apply, so that what a run checks is what Argo CD applies.
type Expected struct {
	SameRepository func(address string) bool
	Repository     string // its address, for messages
	Branch         string
	DefaultBranch  bool     // the branch is the repository's default one
	Chart          string   // directory of the chart in the repository; "" if the chart is from elsewhere
	Values         []string // values files in the repository, in their order
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
	if target := repository.TargetRevision; target != e.Branch && target != "refs/heads/"+e.Branch && !(e.DefaultBranch && (target == "" || target == "HEAD")) {
		add(fmt.Sprintf("applies %q of the repository, not branch %q", target, e.Branch), "give its branch with config-branch")
	}
	if server := a.Spec.Destination; !slices.Contains(inCluster, server.Server) && !slices.Contains(inCluster, server.Name) {
		add(fmt.Sprintf("applies to another cluster than its own (%s%s), which this run could not watch", server.Server, server.Name), "let the Application apply to the cluster that Argo CD runs in")
	}
	if a.Spec.Destination.Namespace != e.Namespace {
		add(fmt.Sprintf("applies to namespace %q, not to %q", a.Spec.Destination.Namespace, e.Namespace), "give its namespace with namespace")
	}
	rendered := slices.IndexFunc(sources, func(s source) bool { return s.Ref == "" || s.Chart != "" || s.Path != "" })
	if rendered < 0 {
		rendered = index
	}
	chart := sources[rendered]
	if releaseName := firstOf(chart.Helm.ReleaseName, a.Metadata.Name); releaseName != e.Release {
		add(fmt.Sprintf("names the release %q, not %q", releaseName, e.Release), "give its name with release, or set spec.source.helm.releaseName")
	}
	if e.Chart != "" && strings.Trim(chart.Path, "/") != e.Chart {
		add(fmt.Sprintf("applies the chart %q, not %q", chart.Path, e.Chart), "give its chart with chart")
	}
	var values []string
	for _, file := range chart.Helm.ValueFiles {
		values = append(values, chart.valueFile(file, repository.Ref))
	}
	if !slices.Equal(values, e.Values) {
		add(fmt.Sprintf("uses the values files %q, not %q", values, e.Values), "give its values files with values, in its order")
	}
	if helm := chart.Helm; helm.Values != "" || len(helm.ValuesObject)+len(helm.Parameters)+len(helm.FileParameters) > 0 {
		add("sets values of its own, which override those of the repository", "move them to a values file of the repository")
	}
	return index, problems
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
