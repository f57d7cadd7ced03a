package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"go.yaml.in/yaml/v3"
)

// maxValues bounds a values file, in bytes.
const maxValues = 1 << 20

// The settings that problems are about.
const (
	settingChart   = "chart"
	settingValues  = "values"
	settingSet     = "set"
	settingSetJSON = "set-json"
	settingCompare = "compare-values"

	settingSecretValues = "secret-values"

	settingImageValues = "image-values"
	settingImageAlias  = "image-alias"
)

// sourceSet begins the source of an assignment of a string: "--set name".
const sourceSet = "--set "

// layer is one source of values. A later layer overrides an earlier one.
type layer struct {
	source string         // the file or the setting
	values map[string]any // of a file
	tree   *yaml.Node     // of a file, for its line numbers
	notes  []string       // of a file: the values that the chart reads differently from how they are written
	path   []string       // of an assignment; nil for a file
	value  any            // of an assignment
}

// merged is the values of all layers, and what is wrong with them.
type merged struct {
	layers   []layer
	values   map[string]any
	problems []release.Problem
}

// mergeLayers merges the values files in their order, then the assignments.
func mergeLayers(deployment release.Deployment) merged {
	m := merged{values: map[string]any{}}
	for _, file := range deployment.ValuesFiles {
		one, problems := readValuesFile(file)
		if len(problems) > 0 {
			m.problems = append(m.problems, problems...)
			continue
		}
		m.layers, m.values = append(m.layers, one), manifest.Merge(m.values, one.values)
	}
	m.applyAssignments(deployment)
	return m
}

// notes returns the notes of all values files: the values that the chart reads differently from how they are written, such as on as true.
func (m merged) notes() (notes []string) {
	for _, one := range m.layers {
		notes = append(notes, one.notes...)
	}
	return notes
}

// readValuesFile reads a values file. The problems name the file and the line.
func readValuesFile(file string) (layer, []release.Problem) {
	content, err := readRegularFile(file, maxValues)
	if err != nil {
		return layer{}, []release.Problem{{Setting: settingValues, What: err.Error(), Do: "name a YAML file of values"}}
	}
	tree, err := parseSingleMap(content)
	if err != nil {
		return layer{}, []release.Problem{yamlProblem(file, err)}
	}
	// Templates see the values as Helm's own parser reads them: as YAML 1.1, in which "on" is true.
	values, err := decodeValues(content)
	if err != nil {
		return layer{}, []release.Problem{yamlProblem(file, err)}
	}
	notes, problems := checkYAML(file, tree)
	return layer{values: values, source: file, tree: tree, notes: notes}, problems
}

// parseSingleMap parses a file that contains one map of values, or nothing.
func parseSingleMap(content []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	tree := new(yaml.Node)
	if err := decoder.Decode(tree); errors.Is(err, io.EOF) {
		return tree, nil
	} else if err != nil {
		return nil, err
	}
	// Decoding into a map refuses duplicate keys, which decoding into a node does not.
	if err := tree.Decode(new(map[string]any)); err != nil {
		return nil, err
	}
	next := new(yaml.Node)
	if err := decoder.Decode(next); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("yaml: line %d: a second document begins, and Helm reads only the first", max(next.Line, tree.Line))
	}
	return tree, nil
}

// readRegularFile reads a file of at most limit bytes. It refuses pipes, which never end, and devices.
func readRegularFile(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%q does not exist", file)
	case err != nil:
		return nil, fmt.Errorf("reading %q: %w", file, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is not a regular file", file)
	case info.Size() > limit:
		return nil, fmt.Errorf("%q has %d bytes, limit %d", file, info.Size(), limit)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", file, err)
	}
	return content, nil
}

var yamlLine = regexp.MustCompile(`(?:^|: )(?:yaml: )?(?:unmarshal errors:\s+)?line (\d+): (.*)`)

// yamlProblem moves the line number of a YAML error into the problem's location.
func yamlProblem(file string, err error) release.Problem {
	where, what := file, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		where, what = file+":"+match[1], match[2]
	}
	return release.Problem{Where: where, What: "is not a YAML map of values: " + text.Line(what, text.NoLimit)}
}
