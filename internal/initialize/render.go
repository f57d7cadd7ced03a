package initialize

import (
	"encoding/json"
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

// maxLines is how long the workflow of one service is at most.
const maxLines = 15

// workflowContent returns the workflow that calls pipeline.yaml.
func (p plan) workflowContent() string {
	several, granted := p.services[0].name != "", "contents: read, id-token: write"
	if several { // the last successful run is asked for
		granted += ", actions: read"
	}
	if p.comment {
		granted += ", pull-requests: write"
	}
	lines := []string{"name: delivery # " + written, fmt.Sprintf("on: {push: {branches: [%s]}}", p.branch), "permissions: {" + granted + "}",
		"jobs:", "  pipeline:", "    uses: onedigest/onedigest/.github/workflows/pipeline.yaml@" + p.pin, "    with:"}
	input := func(name, value string) {
		if value != "" {
			lines = append(lines, "      "+name+": "+value)
		}
	}
	input("repository", p.repository.String())
	input("role", p.role)
	input("region", p.region)
	input("build-runner", p.buildRunner)
	input("runner", p.runner)
	if p.comment {
		input("comment", "true")
	}
	if !several {
		s := p.services[0].json()
		input("context", s.Context)
		input("builder", s.Builder)
		input("main", s.Main)
		input("dockerfile", s.Dockerfile)
		input("chart", s.Chart)
		input("checks", s.Checks)
	}
	environments, services := p.environmentLines(), p.serviceLines()
	if length := len(lines) + 1 + len(environments) + len(services); length < maxLines || length == maxLines && !several {
		lines = append(lines, "      environments: |")
		lines = append(lines, indented(environments)...)
	} else { // no text in it has a quotation mark of YAML
		for i := range environments {
			environments[i] = strings.TrimSpace(environments[i])
		}
		lines = append(lines, "      environments: '"+strings.Join(environments, " ")+"'")
	}
	if several {
		lines = append(lines, "      services: |")
		lines = append(lines, indented(services)...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// promotionContent returns the workflow that promotes a commit by hand, and goes back to an earlier one.
func (p plan) promotionContent() string {
	granted, last := "contents: read, id-token: write", p.environments[len(p.environments)-1].name
	if p.comment {
		granted += ", pull-requests: write"
	}
	lines := []string{"name: promote # " + written + ": promotes a commit by hand, or goes back to an earlier one", "run-name: promote ${{ inputs.commit || inputs.digest }} to " + last, "on:", "  workflow_dispatch:", "    inputs:"}
	to, group := last, "promote"
	if len(p.environments) > 2 {
		var names []string
		for _, e := range p.environments[1:] {
			names = append(names, e.name)
		}
		lines[1] = "run-name: promote ${{ inputs.commit || inputs.digest }} to ${{ inputs.to }}"
		lines = append(lines, fmt.Sprintf("      to: {description: Environment, type: choice, options: [%s], default: %s, required: true}", strings.Join(names, ", "), last))
		to = "${{ inputs.to }}"
		group += "-" + to
	}
	several := p.services[0].name != ""
	if several {
		var names []string
		for _, s := range p.services {
			names = append(names, s.name)
		}
		lines = append(lines, fmt.Sprintf("      service: {description: Service, type: choice, options: [%s], required: true}", strings.Join(names, ", ")))
		group += "-${{ inputs.service }}"
	}
	lines = append(lines,
		"      commit: {description: 'Commit to promote, or to go back to (or give a digest)', type: string}",
		"      digest: {description: 'Digest to promote, sha256:… (or give a commit)', type: string}",
		"      max-age: {description: 'How old the pass of the environment before may be; more to go back further', type: string, default: 720h}",
		"      allow-rollback: {description: 'Allow a commit older than the live one, and pin the environment there', type: boolean}",
		"      allow-diverged: {description: 'Allow a commit whose history lacks live commits', type: boolean}",
		"      unpin: {description: 'Remove the pin that a rollback has set', type: boolean}",
		"permissions: {"+granted+"}",
		"concurrency: # one promotion at a time of a service into an environment, in their order; a rollback waits for none of them",
		"  group: "+group+"${{ inputs.allow-rollback && '-rollback' || '' }}",
		"  cancel-in-progress: false",
		"  queue: max",
		"jobs:", "  pipeline:", "    uses: onedigest/onedigest/.github/workflows/pipeline.yaml@"+p.pin, "    with:")
	input := func(name, value string) {
		if value != "" {
			lines = append(lines, "      "+name+": "+value)
		}
	}
	input("to", to)
	if several {
		input("service", "${{ inputs.service }}")
	}
	for _, name := range []string{"commit", "digest", "max-age", "allow-rollback", "allow-diverged", "unpin"} {
		input(name, "${{ inputs."+name+" }}")
	}
	input("repository", p.repository.String())
	input("region", p.region)
	input("build-runner", p.buildRunner)
	input("runner", p.runner)
	if p.comment {
		input("comment", "true")
	}
	if !several {
		s := p.services[0].json()
		input("chart", s.Chart)
		input("checks", s.Checks)
	}
	lines = append(append(lines, "      environments: |"), indented(p.promotionEnvironments())...)
	if several {
		lines = append(append(lines, "      services: |"), indented(p.serviceLines())...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// promotionEnvironments returns the list of environments of promotions. One behind another is planned before its approval, unless its job assumes a role: a plan needs
// one of its own then, which nothing here names.
func (p plan) promotionEnvironments() []string {
	planned := p
	planned.environments = slices.Clone(p.environments)
	for i := range planned.environments {
		planned.environments[i].plan = i > 0 && planned.environments[i].role == ""
	}
	return planned.environmentLines()
}

// previewContent returns the workflow that calls preview.yaml: a job for each service.
func (p plan) previewContent() string {
	lines := []string{"name: preview # " + written, "on: {pull_request: {types: [opened, synchronize, reopened, closed]}, schedule: [{cron: '17 * * * *'}], workflow_dispatch: {}}", "permissions: {}", "jobs:"}
	for _, s := range p.services {
		repository, name, job := p.previews.repository.String(), path.Base(p.repository.Path()), "preview"
		if s.name != "" {
			repository, name, job = repository+"/"+s.name, s.name, "preview-"+s.name
		}
		lines = append(lines, "  "+job+":", "    permissions: {contents: read, id-token: write, pull-requests: write, deployments: write}",
			"    uses: "+survey.PreviewWorkflow+p.pin, "    with:")
		entry := s.json()
		for _, input := range [][2]string{{"repository", repository}, {"role", p.previews.role}, {"region", p.previews.region}, {"cluster", p.previews.cluster}, {"build-runner", p.buildRunner}, {"runner", p.runner},
			{"context", entry.Context}, {"builder", entry.Builder}, {"main", entry.Main}, {"dockerfile", entry.Dockerfile}, {"chart", entry.Chart}, {"release", name}, {"values", valuesFile(s, previewEnvironment)}, {"checks", entry.Checks}} {
			if input[1] != "" {
				lines = append(lines, "      "+input[0]+": "+input[1])
			}
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func indented(lines []string) (all []string) {
	for _, line := range lines {
		all = append(all, "        "+line)
	}
	return all
}

// environmentLines returns the list of environments as JSON, one a line.
func (p plan) environmentLines() []string {
	var lines []string
	for i, e := range p.environments {
		values := valuesFile(p.services[0], e.name)
		if p.services[0].name != "" {
			values = valuesFile(service{name: "{0}"}, e.name)
		}
		entry := survey.CalledEnvironment{Name: e.name, Cluster: e.cluster, Role: e.role, Values: values, SignKey: e.signKey, Plan: e.plan}
		if p.policy && i < len(p.environments)-1 {
			entry.VerifyKey = byPolicy
		}
		lines = append(lines, " "+spaced(entry)+",")
	}
	return bracketed("[", lines, "]")
}

// serviceLines returns the services as JSON, one a line; none for one without a name.
func (p plan) serviceLines() []string {
	var lines []string
	for _, s := range p.services {
		if s.name != "" {
			lines = append(lines, fmt.Sprintf(" %q: %s,", s.name, spaced(s.json())))
		}
	}
	return bracketed("{", lines, "}")
}

// bracketed puts brackets in the place of the first space and the last comma.
func bracketed(open string, lines []string, end string) []string {
	if len(lines) > 0 {
		lines[0] = open + lines[0][1:]
		last := &lines[len(lines)-1]
		*last = strings.TrimSuffix(*last, ",") + end
	}
	return lines
}

// spaced returns a value as JSON on one line, with a space after each colon and comma. No value has one of these before a quote.
func spaced(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // structs of texts
	}
	return strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(string(text))
}

// json returns what pipeline.yaml is told of a service. What it finds out by itself is left out.
func (s service) json() survey.CalledService {
	entry := survey.CalledService{Checks: checksFile(s), Dockerfile: s.dockerfile}
	if s.context != "." {
		entry.Context = s.context
	}
	if s.main != "." {
		entry.Main = s.main
	}
	if len(s.build.Mains) > 0 && len(s.build.Dockerfiles) > 0 {
		entry.Builder = s.builder
	}
	if !strings.Contains(s.dockerfile, "/") {
		entry.Dockerfile = ""
	}
	if s.chart != nil {
		entry.Chart = s.chart.Dir
	}
	if len(s.paths) > 0 {
		entry.Paths = append(slices.Clone(s.paths), "deploy/"+s.name+"-*")
		if s.chart != nil && !survey.Contains(s.context, s.chart.Dir) {
			entry.Paths = append(entry.Paths, s.chart.Dir+"/**")
		}
	}
	return entry
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
		return fmt.Sprintf("# Values of onedigest's common chart for %s. All of them: charts/service/README.md of onedigest.\nreplicas: %d\ncontainerPort: %s\nprobes:\n  startup: {path: %s}\n  readiness: {path: %s}\n  liveness: {path: %s}\n",
			environment, replicas, s.port.Value, s.alive.Value, s.ready.Value, s.alive.Value)
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
