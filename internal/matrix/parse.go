package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"go.yaml.in/yaml/v3"
)

// Bounds of a matrix.
const (
	maxWaves = 32
	maxJobs  = 1024
)

// matrixSettings apply to the whole matrix of any verb.
var matrixSettings = []string{"matrix", "services", "digests", "concurrency", "output", "role", "audience"}

// trustSettings cannot be given in the file, because it is part of the work tree. They declare something trusted, weaken what a promotion has to prove or a
// deploy is checked for, reject images or lift rejections, or turn deploys into dry runs.
var trustSettings = []string{"allow-diverged", "allow-rollback", "allow-work-tree-kubeconfig", "chart-cache", "chart-host", "chart-login", "config-repository", "config-token", "dry-run", "from", "legacy-signatures",
	"lift-rejection", "max-age", "plain-http", "schema-host", "override-reason", "policy", "proved-in", "reject", "sign-key", "unpin", "verify-key"}

// keys are the settings in a part of the file, by name.
type keys map[string]yaml.Node

// document is the whole file: either services and environments, or single deploys in waves.
type document struct {
	Defaults     verbKeys      `yaml:",inline"`
	Services     []service     `yaml:"services"`
	Environments []environment `yaml:"environments"`
	Waves        []struct {
		Name    string `yaml:"name"`
		Deploys []keys `yaml:"deploys"`
	} `yaml:"waves"`
}

// verbKeys are settings of each verb.
type verbKeys struct {
	Build   keys `yaml:"build"`
	Deploy  keys `yaml:"deploy"`
	Smoke   keys `yaml:"smoke"`
	Promote keys `yaml:"promote"`
}

func (v verbKeys) of(verb string) keys {
	return map[string]keys{"build": v.Build, "deploy": v.Deploy, "smoke": v.Smoke, "promote": v.Promote}[verb]
}

type service struct {
	Name       string    `yaml:"name"`
	Repository yaml.Node `yaml:"repository"`
	PartOf     yaml.Node `yaml:"part-of"` // service whose release runs this one's image too
	Release    yaml.Node `yaml:"release"`
	Verbs      verbKeys  `yaml:",inline"`
}

type environment struct {
	Name     string   `yaml:"name"`
	Clusters []keys   `yaml:"clusters"`
	Waves    []wave   `yaml:"waves"`
	Verbs    verbKeys `yaml:",inline"`
}

type wave struct {
	Name     string `yaml:"name"`
	Clusters []keys `yaml:"clusters"`
}

// Parse reads a matrix. The settings of a job are those given outside the file, overridden by the keys of the file from the general to the
// particular: the verb's, the service's, the environment's, the cluster's. All problems are reported together, with file and line, as a
// *release.InputError.
func Parse[S any](verb Verb[S], file string, content []byte, options Options) ([]Wave[S], error) {
	read, err := decode(file, content)
	if err != nil {
		return nil, err
	}
	p := &parser[S]{verb: verb, file: file, options: options, document: read}
	waves := p.waves()
	p.refuseSharedTargets(waves)
	if len(p.problems) > 0 {
		return nil, &release.InputError{Problems: p.problems}
	}
	return keepOnly(waves, options.Only), nil
}

// decode decodes a matrix, whose settings are not looked at yet.
func decode(file string, content []byte) (read document, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&read); err != nil && !errors.Is(err, io.EOF) {
		return read, release.BadInput(file, strings.TrimPrefix(err.Error(), "yaml: "), "write services: and environments:, or waves: of deploys (docs/matrix.md)")
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return read, release.BadInput(file, "has more than one document", "write everything into one, without ---")
	}
	return read, nil
}

// Environments lists the environments of a matrix, each once and in the file's order: those that it lists, or those of its deploys. isOfDeploys reports
// whether it lists deploys. The error is a *release.InputError.
func Environments(file string, content []byte) (environments []release.Environment, isOfDeploys bool, err error) {
	read, err := decode(file, content)
	if err != nil {
		return nil, false, err
	}
	var names []string
	for _, each := range read.Environments {
		names = append(names, each.Name)
	}
	for _, wave := range read.Waves {
		for _, deploy := range wave.Deploys {
			node := deploy["environment"]
			names = append(names, node.Value)
		}
	}
	var problems []release.Problem
	for _, name := range names {
		environment, err := release.ParseEnvironment(name)
		if err != nil {
			problems = append(problems, release.Problem{Where: file, What: err.Error(), Do: "name the environment"})
		} else if !slices.Contains(environments, environment) {
			environments = append(environments, environment)
		}
	}
	if len(problems) > 0 {
		return nil, false, &release.InputError{Problems: problems}
	}
	return environments, len(read.Waves) > 0, nil
}

// keepOnly returns the waves with the jobs that the options name; without the waves of which no job is left.
func keepOnly[S any](waves []Wave[S], only []Part) (kept []Wave[S]) {
	if only == nil {
		return waves
	}
	for _, wave := range waves {
		wave.Jobs = slices.DeleteFunc(wave.Jobs, func(job Job[S]) bool { return !slices.ContainsFunc(only, job.Part.IsSameJob) })
		if len(wave.Jobs) > 0 {
			kept = append(kept, wave)
		}
	}
	return kept
}

// parser expands a document and collects its problems.
type parser[S any] struct {
	verb     Verb[S]
	file     string
	options  Options
	document document
	jobs     int // seen so far
	problems []release.Problem
}

// problem records a problem; line 0 means the whole file.
func (p *parser[S]) problem(line int, format string, args ...any) {
	where := p.file
	if line > 0 {
		where = fmt.Sprintf("%s:%d", p.file, line)
	}
	found := release.Problem{Where: where, What: fmt.Sprintf(format, args...)}
	if !slices.Contains(p.problems, found) { // a key that applies to all services is reported once
		p.problems = append(p.problems, found)
	}
}

// waves expands the file into waves of jobs: those of its services, or the deploys that it lists.
func (p *parser[S]) waves() []Wave[S] {
	read := p.document
	switch {
	case len(read.Waves) > 0 && (len(read.Services) > 0 || len(read.Environments) > 0):
		p.problem(0, "has both waves of deploys and services: list the waves in the environments")
	case len(read.Services) > 0:
		return p.services()
	case len(read.Waves) == 0 || len(read.Waves) > maxWaves:
		p.problem(0, "has no services, and %d waves of deploys, not 1 to %d", len(read.Waves), maxWaves)
	case p.verb.Name != "deploy":
		p.problem(0, "lists deploys, which %s does not take: list services and environments (docs/matrix.md)", p.verb.Name)
	default:
		return p.deploys()
	}
	return nil
}

// deploys returns the waves of a file that lists single deploys.
func (p *parser[S]) deploys() (waves []Wave[S]) {
	if len(p.options.Services) > 0 || len(p.options.Digests) > 0 {
		p.problem(0, "lists deploys and no services, so that --services and --digests have no effect: give --image")
	}
	for i, group := range p.document.Waves {
		parsed := Wave[S]{Name: waveName(group.Name, i)}
		if len(group.Deploys) == 0 {
			p.problem(0, "wave %q has no deploys", parsed.Name)
		}
		for _, deploy := range group.Deploys {
			if job, ok := p.job(Part{}, []keys{deploy}, nil, nil); ok {
				job.Title = p.verb.Title(job.Settings)
				parsed.Jobs = append(parsed.Jobs, job)
			}
		}
		waves = append(waves, parsed)
	}
	return waves
}

func waveName(given string, index int) string {
	if given == "" {
		return fmt.Sprintf("wave %d", index+1)
	}
	return given
}

// job applies the settings of one job; it returns false if they have a problem. Later layers override earlier ones. derived are the settings
// that the file's structure implies; a layer may override them. placeholders are pairs of a placeholder and its text.
func (p *parser[S]) job(part Part, layers []keys, derived setting.Values, placeholders []string) (Job[S], bool) {
	job := Job[S]{Part: part}
	if p.jobs++; p.jobs > maxJobs {
		if p.jobs == maxJobs+1 {
			p.problem(0, "has more than %d jobs", maxJobs)
		}
		return job, false
	}
	set, line, before := p.verb.Declare(&job.Settings), 0, len(p.problems)
	values := p.inherited(set)
	maps.Copy(values, derived)
	replace := strings.NewReplacer(placeholders...)
	for _, layer := range layers {
		for name, node := range layer {
			if line == 0 || node.Line < line {
				line = node.Line
			}
			switch {
			case p.isMatrixWide(name) || p.isRefusedInFile(name):
				p.problem(node.Line, "%q applies to the whole matrix and cannot be set for one job of it", name)
			case set.Find(name) == nil:
				p.problem(node.Line, "there is no setting %q", name)
			default:
				current := set.Find(name).Name
				values[current] = setting.Input{Texts: p.texts(name, node, replace), Origin: "--" + name}
			}
		}
	}
	if len(p.problems) > before {
		return job, false
	}
	err := set.Apply(values)
	var input *release.InputError
	if errors.As(err, &input) {
		for _, problem := range input.Problems {
			p.problem(line, "%s", problem.String())
		}
	}
	return job, err == nil
}

// isMatrixWide reports whether a setting applies to the whole matrix and to no job.
func (p *parser[S]) isMatrixWide(name string) bool {
	return slices.Contains(matrixSettings, name) || slices.Contains(p.verb.Whole, name)
}

// isRefusedInFile reports whether a setting of the jobs cannot be given in the file. If the file lists services, that includes the environment.
func (p *parser[S]) isRefusedInFile(name string) bool {
	return slices.Contains(trustSettings, name) || len(p.document.Services) > 0 && (name == "environment" || name == "to")
}

// inherited returns the settings that each job inherits: those of the command, except those that apply to the whole matrix or to the process, such as
// the role that it assumes.
func (p *parser[S]) inherited(set *setting.Set) setting.Values {
	values := maps.Clone(p.options.Inputs)
	maps.DeleteFunc(values, func(name string, _ setting.Input) bool { return p.isMatrixWide(name) || set.Lookup(name) == nil })
	if values == nil {
		values = setting.Values{}
	}
	return values
}

// texts returns the value of a key as a list, with placeholders replaced. It is empty for an empty value, which clears an inherited one.
func (p *parser[S]) texts(name string, node yaml.Node, replace *strings.Replacer) (texts []string) {
	nodes := []*yaml.Node{&node}
	if node.Kind == yaml.ScalarNode && node.Value == "" || node.Tag == "!!null" {
		return nil
	}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	for _, value := range nodes {
		if value.Kind != yaml.ScalarNode {
			p.problem(node.Line, "%q takes a value or a list of values", name)
			return nil
		}
		texts = append(texts, replace.Replace(value.Value))
	}
	return texts
}

// refuseSharedTargets refuses two jobs with the same target, because the second would overwrite the change of the first.
func (p *parser[S]) refuseSharedTargets(waves []Wave[S]) {
	if p.verb.Target == nil {
		return
	}
	seen := map[string]bool{}
	for _, wave := range waves {
		for _, job := range wave.Jobs {
			target, name := p.verb.Target(job.Settings)
			if seen[target] {
				p.problem(0, "%s is listed twice", name)
			}
			seen[target] = true
		}
	}
}
