package initialize

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
)

// maxLines is how long the workflow of one service is at most, unless it has inputs that somebody added.
const maxLines = 15

// workflowContent returns the workflow that calls pipeline.yaml.
func (p plan) workflowContent() string {
	several := p.services[0].name != ""
	lines := []string{"name: delivery # " + written, fmt.Sprintf("on: {push: {branches: [%s]}}", p.branch), "permissions: {" + p.granted(several) + "}"}
	lines = append(append(lines, p.calling()...), inputLines(p.inputs())...)
	environments, services := p.environmentLines(), p.serviceLines()
	if length := len(lines) + 1 + len(environments) + len(services); length < maxLines || length == maxLines && !several {
		lines = append(append(lines, "      environments: |"), indented(environments)...)
	} else { // no text in it has a quotation mark of YAML
		for i := range environments {
			environments[i] = strings.TrimSpace(environments[i])
		}
		lines = append(lines, "      environments: '"+strings.Join(environments, " ")+"'")
	}
	return strings.Join(append(append(lines, block("services", services)...), p.secrets...), "\n") + "\n"
}

// promotionContent returns the workflow that promotes a commit by hand, and goes back to an earlier one.
func (p plan) promotionContent() string {
	last := p.environments[len(p.environments)-1].name
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
	own := [][2]string{{"to", to}}
	if p.services[0].name != "" {
		var names []string
		for _, s := range p.services {
			names = append(names, s.name)
		}
		lines = append(lines, fmt.Sprintf("      service: {description: Service, type: choice, options: [%s], required: true}", strings.Join(names, ", ")))
		group += "-${{ inputs.service }}"
		own = append(own, [2]string{"service", "${{ inputs.service }}"})
	}
	lines = append(lines,
		"      commit: {description: 'Commit to promote, or to go back to (or give a digest)', type: string}",
		"      digest: {description: 'Digest to promote, sha256:… (or give a commit)', type: string}",
		"      max-age: {description: 'How old the pass of the environment before may be; more to go back further', type: string, default: 720h}",
		"      allow-rollback: {description: 'Allow a commit older than the live one, and pin the environment there', type: boolean}",
		"      allow-diverged: {description: 'Allow a commit whose history lacks live commits', type: boolean}",
		"      unpin: {description: 'Remove the pin that a rollback has set', type: boolean}",
		"permissions: {"+p.granted(false)+"}",
		"concurrency: # one promotion at a time of a service into an environment, in their order; a rollback waits for none of them",
		"  group: "+group+"${{ inputs.allow-rollback && '-rollback' || '' }}",
		"  cancel-in-progress: false",
		"  queue: max")
	for _, name := range []string{"commit", "digest", "max-age", "allow-rollback", "allow-diverged", "unpin"} {
		own = append(own, [2]string{name, "${{ inputs." + name + " }}"})
	}
	given := slices.DeleteFunc(p.inputs(), func(input [2]string) bool {
		return slices.Contains(ofBuild, input[0]) || slices.ContainsFunc(own, func(o [2]string) bool { return o[0] == input[0] })
	})
	lines = append(append(lines, p.calling()...), inputLines(append(own, given...))...)
	lines = append(append(lines, block("environments", p.promotionEnvironments())...), block("services", p.serviceLines())...)
	return strings.Join(append(lines, p.secrets...), "\n") + "\n"
}

// ofBuild are the inputs of pipeline.yaml that the build alone reads. A promotion builds nothing.
var ofBuild = []string{"role", "context", "builder", "main", "dockerfile", "platforms", "sign-key"}

// granted returns the permissions of a job that calls pipeline.yaml.
func (p plan) granted(asksForRuns bool) string {
	granted := "contents: read, id-token: write"
	if asksForRuns { // the last successful run
		granted += ", actions: read"
	}
	if p.comment {
		granted += ", pull-requests: write"
	}
	for _, extra := range p.extra {
		switch extra {
		case [2]string{"github-deployment", "true"}:
			granted += ", deployments: write"
		case [2]string{"artifact-record", "true"}:
			granted += ", artifact-metadata: write"
		}
	}
	return granted
}

// calling returns the start of the job that calls pipeline.yaml.
func (p plan) calling() []string {
	return []string{"jobs:", "  pipeline:", "    uses: onedigest/onedigest/.github/workflows/pipeline.yaml@" + p.pin, "    with:"}
}

// inputs returns what pipeline.yaml is given on every call, but for the environments and the services. The last are those that somebody added.
func (p plan) inputs() [][2]string {
	inputs := [][2]string{{"repository", p.repository.String()}, {"role", p.role}, {"region", p.region}, {"build-runner", p.buildRunner}, {"runner", p.runner}}
	if p.comment {
		inputs = append(inputs, [2]string{"comment", "true"})
	}
	if p.services[0].name == "" {
		inputs = append(inputs, p.services[0].inputs()...)
	}
	return append(inputs, p.extra...)
}

// inputs returns what a reusable workflow is given for one service.
func (s service) inputs() [][2]string {
	entry := s.json()
	return [][2]string{{"context", entry.Context}, {"builder", entry.Builder}, {"main", entry.Main}, {"dockerfile", entry.Dockerfile}, {"chart", entry.Chart}, {"checks", entry.Checks}}
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
		lines = append(lines, inputLines(slices.Concat([][2]string{{"repository", repository}, {"role", p.previews.role}, {"region", p.previews.region}, {"cluster", p.previews.cluster}, {"build-runner", p.buildRunner}, {"runner", p.runner}},
			s.inputs(), [][2]string{{"release", name}, {"values", valuesFile(s, previewEnvironment)}}))...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// inputLines returns inputs of a called workflow, without those that are empty.
func inputLines(inputs [][2]string) (lines []string) {
	for _, input := range inputs {
		if input[1] != "" {
			lines = append(lines, "      "+input[0]+": "+input[1])
		}
	}
	return lines
}

// block returns an input of several lines, nothing without any.
func block(name string, lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"      " + name + ": |"}, indented(lines)...)
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
		entry := e.called
		entry.Name, entry.Cluster, entry.Role, entry.Values, entry.SignKey, entry.Plan = e.name, e.cluster, e.role, p.calledValues(e), e.signKey, e.plan
		if p.policy && i < len(p.environments)-1 {
			entry.VerifyKey = byPolicy
		}
		lines = append(lines, " "+spaced(entry)+",")
	}
	return bracketed("[", lines, "]")
}

// hasOtherValues reports whether somebody gave an environment other values files than init writes.
func (p plan) hasOtherValues(e environment) bool {
	return p.calledValues(e) != p.calledValues(environment{name: e.name})
}

// calledValues returns what the workflow says of an environment's values: those that somebody gave it, else the file that init writes. Those of an environment of
// Argo CD are in the configuration repository.
func (p plan) calledValues(e environment) string {
	switch {
	case e.called.Values != "" || e.called.Via == survey.ViaArgoCD:
		return e.called.Values
	case p.services[0].name != "":
		return valuesFile(service{name: "{0}"}, e.name)
	}
	return valuesFile(p.services[0], e.name)
}

// promotionEnvironments returns the list of environments of promotions. One behind another is planned before its approval, unless its job assumes a role and no role
// is named for the plan, or what is applied is a commit for Argo CD.
func (p plan) promotionEnvironments() []string {
	planned := p
	planned.environments = slices.Clone(p.environments)
	for i := range planned.environments {
		e := &planned.environments[i]
		e.plan = i > 0 && (e.plan || e.role == "" || e.called.PlanRole != "") && e.called.Via != survey.ViaArgoCD
	}
	return planned.environmentLines()
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
	return strings.NewReplacer(`":`, `": `, `,"`, `, "`, `\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(text))
}

// json returns what pipeline.yaml is told of a service. What it finds out by itself is left out.
func (s service) json() survey.CalledService {
	entry := survey.CalledService{Checks: checksFile(s), Dockerfile: s.dockerfile, Repository: s.called.Repository, Release: s.called.Release, Values: s.called.Values}
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
