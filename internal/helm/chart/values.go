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
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
)

// maxValues bounds a values file, in bytes.
const maxValues = 1 << 20

// The settings that problems are about.
const (
	settingChart   = "chart"
	settingValues  = "values"
	settingSet     = "set"
	settingCompare = "compare-values"
)

// sourceSet begins the source of an assignment: "--set name".
const sourceSet = "--set "

// layer is one source of values. A later layer overrides an earlier one.
type layer struct {
	values map[string]any
	source string     // the file or the setting
	tree   *yaml.Node // of a file, for its line numbers; nil for an assignment
}

// mergeLayers merges the values files in their order, then the assignments, then the image.
func mergeLayers(deployment release.Deployment) (layers []layer, values map[string]any, problems []release.Problem) {
	add := func(one layer, problem *release.Problem) bool {
		if problem != nil {
			problems = append(problems, *problem)
			return false
		}
		layers = append(layers, one)
		return true
	}
	values = map[string]any{}
	for _, file := range deployment.ValuesFiles {
		if one, problem := readValuesFile(file); add(one, problem) {
			values = manifest.Merge(values, one.values)
		}
	}
	for _, assignment := range deployment.Set {
		one, problem := parseAssignment(assignment)
		if !add(one, problem) {
			continue
		}
		// Helm parses it again on top of the values so far: name[1]=value changes one item of a list.
		if err := strvals.ParseIntoString(assignment, values); err != nil {
			problems = append(problems, release.Problem{Where: one.source, What: "does not fit the values that it is set on", Do: "see the chart's values.yaml"})
		}
	}
	if _, isMap := values["image"].(map[string]any); !isMap && values["image"] != nil {
		problems = append(problems, release.Problem{Where: sourceLocation(layers, []string{"image"}), What: "image: is not a map", Do: "--image gives image.repository and image.digest"})
	}
	image := map[string]any{"repository": deployment.Image.Repository.String(), "digest": deployment.Image.Digest.String()}
	return layers, manifest.Merge(values, map[string]any{"image": image}), problems
}

// readValuesFile reads a values file. The problem names the file and the line.
func readValuesFile(file string) (layer, *release.Problem) {
	content, err := readRegularFile(file, maxValues)
	if err != nil {
		return layer{}, &release.Problem{Setting: settingValues, What: err.Error(), Do: "name a YAML file of values"}
	}
	tree, err := parseSingleMap(content)
	if err != nil {
		return layer{}, yamlProblem(file, err)
	}
	// Templates see the values as Helm's own parser reads them: as YAML 1.1, in which "on" is true.
	values, err := chartutil.ReadValues(content)
	if err != nil {
		return layer{}, yamlProblem(file, err)
	}
	return layer{values: values, source: file, tree: tree}, nil
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

// parseAssignment parses one name=value. The value is always a string, so that a commit of digits stays one. Neither the
// layer's source nor a problem contains the value, which may be a secret.
func parseAssignment(assignment string) (layer, *release.Problem) {
	name, _, found := strings.Cut(assignment, "=")
	parsed := layer{values: map[string]any{}, source: sourceSet + name}
	if found && name != "" {
		found = strvals.ParseIntoString(assignment, parsed.values) == nil && len(parsed.values) > 0
	}
	if !found || name == "" {
		return layer{}, &release.Problem{Setting: settingSet, What: fmt.Sprintf("%q cannot be parsed", name),
			Do: `write it as name=value; inside the value a comma is written \,`}
	}
	return parsed, nil
}

var yamlLine = regexp.MustCompile(`(?:^|: )(?:yaml: )?(?:unmarshal errors:\s+)?line (\d+): (.*)`)

// yamlProblem moves the line number of a YAML error into the problem's location.
func yamlProblem(file string, err error) *release.Problem {
	where, what := file, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		where, what = file+":"+match[1], match[2]
	}
	return &release.Problem{Where: where, What: "is not a YAML map of values: " + text.Line(what, text.NoLimit)}
}
