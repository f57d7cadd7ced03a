package initialize

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
)

// file is a file of the repository, as init writes it.
type file struct {
	path, content string
	values        bool // of a chart
	checks        bool // of smoke
}

// own reports whether a file is the repository's own once it is there: somebody completes it.
func (f file) own() bool { return f.values || f.checks }

// files returns all files of a plan.
func (p plan) files() []file {
	all := []file{{path: p.workflow, content: p.workflowContent()}}
	for _, s := range p.services {
		for i, e := range p.environments {
			if p.hasOtherValues(e) {
				continue
			}
			if name := valuesFile(s, e.name); s.chart == nil || s.chart.Values[e.name] != name {
				all = append(all, file{name, valuesContent(s, e.name, i == len(p.environments)-1), true, false})
			}
		}
		if name := valuesFile(s, previewEnvironment); p.previews != nil && (s.chart == nil || s.chart.Values[previewEnvironment] != name) {
			all = append(all, file{name, valuesContent(s, previewEnvironment, false), true, false})
		}
		all = append(all, file{path: checksFile(s), content: checksContent(s), checks: true})
	}
	if p.promotion {
		all = append(all, file{path: promotionFile, content: p.promotionContent()})
	}
	if p.previews != nil {
		all = append(all, file{path: p.previews.file, content: p.previewContent()})
	}
	if p.policy {
		all = append(all, file{path: ".onedigest.yaml", content: p.policyContent()})
	}
	if p.terraform != nil {
		all = append(all, file{path: p.terraform.file, content: p.terraform.content()})
	}
	return all
}

// distinct refuses two files of the same path, which names of services and environments make together: a *release.InputError.
func distinct(files []file) error {
	for i, one := range files {
		if slices.ContainsFunc(files[:i], func(other file) bool { return other.path == one.path }) {
			return release.BadSetting("environments", fmt.Sprintf("%q is the file of two services or environments, or of an environment and the smoke checks", one.path), "name the environments or the services otherwise")
		}
	}
	return nil
}

// valuesFile returns the path of the values of an environment: the chart's own if it has some for the only service.
func valuesFile(s service, environment string) string {
	if s.name != "" {
		return "deploy/" + s.name + "-" + environment + ".yaml"
	}
	if s.chart != nil && s.chart.Values[environment] != "" {
		return s.chart.Values[environment]
	}
	return "deploy/" + environment + ".yaml"
}

func checksFile(s service) string {
	return path.Join("deploy", strings.TrimPrefix(s.name+"-checks.yaml", "-"))
}

// valuePaths are the paths of values of a chart.
type valuePaths struct{ port, ready, alive string }

// pathsOf returns those of a chart, or of the common one.
func pathsOf(chart *survey.Chart) valuePaths {
	if chart == nil {
		return valuePaths{"containerPort", "probes.readiness.path", "probes.liveness.path"}
	}
	return valuePaths{chart.Port, chart.Ready, chart.Alive}
}

// valuesContent returns the values of an environment. The last one, which users see, has two pods of the common chart.
func valuesContent(s service, environment string, last bool) string {
	if s.chart == nil {
		replicas := 1
		if last {
			replicas = 2
		}
		config := ""
		if s.portVariable != "" {
			config = fmt.Sprintf("config: {%s: %q}\n", s.portVariable, s.port.Value)
		}
		return fmt.Sprintf("# Values of onedigest's common chart for %s. All of them: charts/service/README.md of onedigest.\nreplicas: %d\ncontainerPort: %s\n%sprobes:\n  startup: {path: %s}\n  readiness: {path: %s}\n  liveness: {path: %s}\n",
			environment, replicas, s.port.Value, config, s.alive.Value, s.ready.Value, s.alive.Value)
	}
	at := pathsOf(s.chart)
	text := fmt.Sprintf("# Values of %s for %s. All of them: %s/values.yaml\n", s.chart.Dir, environment, s.chart.Dir)
	tree := node{}
	tree.put(at.port, s.port.Value)
	tree.put(at.ready, s.ready.Value)
	tree.put(at.alive, s.alive.Value)
	if len(tree.keys) == 0 {
		return text + "{}\n"
	}
	return text + tree.yaml("")
}

// node is a mapping of YAML in the order in which its keys were put.
type node struct {
	keys   []string
	values map[string]string
	inner  map[string]*node
}

// put puts a value at a path of keys with dots between them; nothing without both.
func (n *node) put(at, value string) {
	if at == "" || value == "" {
		return
	}
	if n.values == nil {
		n.values, n.inner = map[string]string{}, map[string]*node{}
	}
	key, rest, nested := strings.Cut(at, ".")
	if n.inner[key] == nil && n.values[key] == "" {
		n.keys = append(n.keys, key)
	}
	if !nested {
		n.values[key] = value
		return
	}
	if n.inner[key] == nil {
		n.inner[key] = new(node)
	}
	n.inner[key].put(rest, value)
}

// yaml returns the mapping as YAML.
func (n *node) yaml(indent string) string {
	var text strings.Builder
	for _, key := range n.keys {
		if inner := n.inner[key]; inner != nil {
			fmt.Fprintf(&text, "%s%s:\n%s", indent, key, inner.yaml(indent+"  "))
			continue
		}
		fmt.Fprintf(&text, "%s%s: %s\n", indent, key, n.values[key])
	}
	return text.String()
}

// checksContent returns the smoke checks of a service.
func checksContent(s service) string {
	ready := s.ready.Value
	if ready == "" {
		ready = s.chart.ReadyPath
	}
	return fmt.Sprintf("# What smoke asks of each new revision. All that a check can ask: docs/checks.md of onedigest\nchecks:\n  - name: ready\n    path: %s\n", ready)
}

// policyContent returns the rules of promotion: each environment requires a pass of the one before it.
func (p plan) policyContent() string {
	var text strings.Builder
	text.WriteString("# What an environment requires of an image: a pass of smoke in the one before it. All rules: docs/policy.md of onedigest\nversion: 1\nenvironments:\n")
	if p.previews != nil { // a file that lists environments lists that of previews too
		fmt.Fprintf(&text, "  - name: %s\n    beside: true\n", previewEnvironment)
	}
	for i, e := range p.environments {
		fmt.Fprintf(&text, "  - name: %s\n", e.name)
		if e.signKey != "" {
			fmt.Fprintf(&text, "    signers: [%q]\n", e.signKey)
		}
		if i > 0 {
			fmt.Fprintf(&text, "    requires:\n      smoked: {in: %s}\n", p.environments[i-1].name)
		}
	}
	return text.String()
}
