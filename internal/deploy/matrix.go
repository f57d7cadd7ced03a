package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"go.yaml.in/yaml/v3"
)

// Wave is a part of a matrix whose deploys run at once, after all of the wave before it are done.
type Wave struct {
	Name    string
	Deploys []Settings
}

// Bounds of a matrix.
const (
	maxWaves   = 32
	maxDeploys = 256
)

// common are the settings that belong to the whole matrix and not to one deploy of it.
var common = []string{"matrix", "concurrency", "job-timeout", "heal", "output"}

// ParseMatrix reads a matrix of deploys. Every deploy is what was given outside of the matrix, with what the matrix gives it
// in its place; names and values are those of the verb's settings. All that is wrong is told at once, with file and line.
func ParseMatrix(file string, content []byte, given []string) ([]Wave, error) {
	var written struct {
		Waves []struct {
			Name    string                 `yaml:"name"`
			Deploys []map[string]yaml.Node `yaml:"deploys"`
		} `yaml:"waves"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&written); err != nil && !errors.Is(err, io.EOF) {
		return nil, release.BadInput(file, strings.TrimPrefix(err.Error(), "yaml: "), "write waves:, each with a name and deploys")
	}
	m := matrix{file: file, given: given}
	if len(written.Waves) == 0 || len(written.Waves) > maxWaves {
		m.problem(0, fmt.Sprintf("has %d waves, not 1 to %d", len(written.Waves), maxWaves))
	}
	var waves []Wave
	for i, wave := range written.Waves {
		name := wave.Name
		if name == "" {
			name = fmt.Sprintf("wave %d", i+1)
		}
		if len(wave.Deploys) == 0 {
			m.problem(0, fmt.Sprintf("wave %q has no deploys", name))
		}
		read := Wave{Name: name}
		for _, deploy := range wave.Deploys {
			if settings, ok := m.deploy(deploy); ok {
				read.Deploys = append(read.Deploys, settings)
			}
		}
		waves = append(waves, read)
	}
	m.distinct(waves)
	if len(m.problems) > 0 {
		return nil, &release.InputError{Problems: m.problems}
	}
	return waves, nil
}

type matrix struct {
	file     string
	given    []string
	deploys  int
	problems []release.Problem
}

func (m *matrix) problem(line int, what string) {
	where := m.file
	if line > 0 {
		where = fmt.Sprintf("%s:%d", m.file, line)
	}
	m.problems = append(m.problems, release.Problem{Where: where, What: what})
}

// deploy makes the settings of one deploy.
func (m *matrix) deploy(written map[string]yaml.Node) (Settings, bool) {
	if m.deploys++; m.deploys > maxDeploys {
		if m.deploys == maxDeploys+1 {
			m.problem(0, fmt.Sprintf("has more than %d deploys", maxDeploys))
		}
		return Settings{}, false
	}
	var settings Settings
	set, line, before := settings.Declare(), 0, len(m.problems)
	var own []string
	for name, node := range written {
		if line == 0 || node.Line < line {
			line = node.Line
		}
		switch {
		case slices.Contains(common, name):
			m.problem(node.Line, fmt.Sprintf("%q is of the whole matrix, not of one deploy", name))
		case set.Lookup(name) == nil:
			m.problem(node.Line, fmt.Sprintf("there is no setting %q", name))
		default:
			own = append(own, m.flags(name, node)...)
		}
	}
	if len(m.problems) > before {
		return settings, false
	}
	slices.Sort(own)
	err := set.Parse(append(m.beside(written), own...), nil)
	var input *release.InputError
	if errors.As(err, &input) {
		for _, problem := range input.Problems {
			m.problem(line, problem.String())
		}
	}
	return settings, err == nil
}

// beside is what was given outside of the matrix, but for what the deploy gives itself and what is of the whole matrix.
func (m *matrix) beside(written map[string]yaml.Node) (flags []string) {
	for _, flag := range m.given {
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		if _, own := written[name]; !own && !slices.Contains(common, name) {
			flags = append(flags, flag)
		}
	}
	return flags
}

// flags are a setting's value or values.
func (m *matrix) flags(name string, node yaml.Node) (flags []string) {
	nodes := []*yaml.Node{&node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	for _, value := range nodes {
		if value.Kind != yaml.ScalarNode {
			m.problem(node.Line, fmt.Sprintf("%q takes a value or a list of values", name))
			return nil
		}
		flags = append(flags, "--"+name+"="+value.Value)
	}
	return flags
}

// distinct refuses two deploys of one release: the second would wait for the first, and undo it.
func (m *matrix) distinct(waves []Wave) {
	seen := map[string]bool{}
	for _, wave := range waves {
		for _, deploy := range wave.Deploys {
			name := strings.Join([]string{deploy.Kubeconfig, deploy.Context, deploy.Region, deploy.Cluster, deploy.Namespace, deploy.Release}, "\x00")
			if seen[name] {
				m.problem(0, fmt.Sprintf("release %q in namespace %q of the same cluster is there twice", deploy.Release, deploy.Namespace))
			}
			seen[name] = true
		}
	}
}
