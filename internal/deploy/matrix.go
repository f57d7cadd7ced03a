package deploy

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

// Wave is a group of deploys that run concurrently, after those of the wave before it have ended.
type Wave struct {
	Name    string
	Deploys []Settings
}

// Bounds of a matrix.
const (
	maxWaves   = 32
	maxDeploys = 256
)

// matrixSettings apply to the whole matrix and cannot be set for one deploy of it.
var matrixSettings = []string{"matrix", "concurrency", "job-timeout", "heal", "rollback-failed-smoke", "output"}

// trustSettings are given outside the matrix file and apply to the whole matrix: the file is part of the work tree, which cannot declare
// itself trusted.
var trustSettings = []string{"allow-work-tree-kubeconfig", "chart-host"}

// ParseMatrix reads a matrix of deploys. The settings of a deploy are those given outside the file, overridden by the
// deploy's own keys; names and values are those of the verb. All problems are reported together, with file and line, as a
// *release.InputError.
func ParseMatrix(file string, content []byte, given setting.Values) ([]Wave, error) {
	var document struct {
		Waves []struct {
			Name    string                 `yaml:"name"`
			Deploys []map[string]yaml.Node `yaml:"deploys"`
		} `yaml:"waves"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, release.BadInput(file, strings.TrimPrefix(err.Error(), "yaml: "), "write waves:, each with a name and deploys")
	}
	m := matrixParser{file: file, given: given}
	if len(document.Waves) == 0 || len(document.Waves) > maxWaves {
		m.problem(0, fmt.Sprintf("has %d waves, not 1 to %d", len(document.Waves), maxWaves))
	}
	var waves []Wave
	for i, wave := range document.Waves {
		name := wave.Name
		if name == "" {
			name = fmt.Sprintf("wave %d", i+1)
		}
		if len(wave.Deploys) == 0 {
			m.problem(0, fmt.Sprintf("wave %q has no deploys", name))
		}
		parsed := Wave{Name: name}
		for _, deploy := range wave.Deploys {
			if settings, ok := m.deploy(deploy); ok {
				parsed.Deploys = append(parsed.Deploys, settings)
			}
		}
		waves = append(waves, parsed)
	}
	m.refuseDuplicates(waves)
	if len(m.problems) > 0 {
		return nil, &release.InputError{Problems: m.problems}
	}
	return waves, nil
}

// matrixParser parses a matrix and collects its problems.
type matrixParser struct {
	file     string
	given    setting.Values // outside the file
	deploys  int            // seen so far
	problems []release.Problem
}

// problem records a problem; line 0 means the whole file.
func (m *matrixParser) problem(line int, what string) {
	where := m.file
	if line > 0 {
		where = fmt.Sprintf("%s:%d", m.file, line)
	}
	m.problems = append(m.problems, release.Problem{Where: where, What: what})
}

// deploy parses the settings of one deploy; it returns false if they have a problem.
func (m *matrixParser) deploy(keys map[string]yaml.Node) (Settings, bool) {
	if m.deploys++; m.deploys > maxDeploys {
		if m.deploys == maxDeploys+1 {
			m.problem(0, fmt.Sprintf("has more than %d deploys", maxDeploys))
		}
		return Settings{}, false
	}
	var settings Settings
	set, line, before := settings.Declare(), 0, len(m.problems)
	values := m.inheritedValues()
	for name, node := range keys {
		if line == 0 || node.Line < line {
			line = node.Line
		}
		switch {
		case slices.Contains(matrixSettings, name) || slices.Contains(trustSettings, name):
			m.problem(node.Line, fmt.Sprintf("%q applies to the whole matrix and cannot be set for one deploy", name))
		case set.Lookup(name) == nil:
			m.problem(node.Line, fmt.Sprintf("there is no setting %q", name))
		default:
			values[name] = setting.Input{Texts: m.texts(name, node), Origin: "--" + name}
		}
	}
	if len(m.problems) > before {
		return settings, false
	}
	err := set.Apply(values)
	var input *release.InputError
	if errors.As(err, &input) {
		for _, problem := range input.Problems {
			m.problem(line, problem.String())
		}
	}
	return settings, err == nil
}

// inheritedValues returns the settings that each deploy inherits: those given beside the matrix, without those that apply to the
// whole matrix.
func (m *matrixParser) inheritedValues() setting.Values {
	values := maps.Clone(m.given)
	maps.DeleteFunc(values, func(name string, _ setting.Input) bool { return slices.Contains(matrixSettings, name) })
	if values == nil {
		values = setting.Values{}
	}
	return values
}

// texts returns the value of a key as a list.
func (m *matrixParser) texts(name string, node yaml.Node) (texts []string) {
	nodes := []*yaml.Node{&node}
	if node.Kind == yaml.ScalarNode && node.Value == "" || node.Tag == "!!null" {
		return nil // it clears what the command line gives to all
	}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	for _, value := range nodes {
		if value.Kind != yaml.ScalarNode {
			m.problem(node.Line, fmt.Sprintf("%q takes a value or a list of values", name))
			return nil
		}
		texts = append(texts, value.Value)
	}
	return texts
}

// refuseDuplicates refuses two deploys of one release: the second would overwrite the first.
func (m *matrixParser) refuseDuplicates(waves []Wave) {
	seen := map[string]bool{}
	for _, wave := range waves {
		for _, deploy := range wave.Deploys {
			name := strings.Join([]string{deploy.Kubeconfig, deploy.Context, deploy.Region, deploy.Cluster, deploy.Namespace, deploy.Release}, "\x00")
			if seen[name] {
				m.problem(0, fmt.Sprintf("release %q in namespace %q of the same cluster is listed twice", deploy.Release, deploy.Namespace))
			}
			seen[name] = true
		}
	}
}
