package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
)

// maxValues bounds a values file, in bytes.
const maxValues = 1 << 20

const (
	whereValues = "--values (INPUT_VALUES)"
	whereSet    = "--set (INPUT_SET)"
)

// layer is one source of values; a later one wins.
type layer struct {
	values map[string]any
	where  string     // the file, or the option
	tree   *yaml.Node // of a file, to tell lines; nil for an option
}

// readLayer reads a values file. The problem says where in the file it is.
func readLayer(file string) (layer, *release.Problem) {
	content, err := readBounded(file, maxValues)
	if err != nil {
		return layer{}, &release.Problem{Where: whereValues, What: err.Error(), Do: "name a YAML file of values"}
	}
	tree, err := onlyDocument(content)
	if err != nil {
		return layer{}, yamlProblem(file, err)
	}
	// Helm's own reader decides what templates see: it is of YAML 1.1, in which "on" is true.
	values, err := chartutil.ReadValues(content)
	if err != nil {
		return layer{}, yamlProblem(file, err)
	}
	return layer{values: values, where: file, tree: tree}, nil
}

// onlyDocument is the tree of a file that holds one map of values, or nothing.
func onlyDocument(content []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	tree := new(yaml.Node)
	if err := decoder.Decode(tree); errors.Is(err, io.EOF) {
		return tree, nil
	} else if err != nil {
		return nil, err
	}
	// A tree may name a key twice, a map may not.
	if err := tree.Decode(new(map[string]any)); err != nil {
		return nil, err
	}
	next := new(yaml.Node)
	if err := decoder.Decode(next); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("yaml: line %d: a second document begins, and Helm reads only the first", max(next.Line, tree.Line))
	}
	return tree, nil
}

// readBounded reads a regular file: a pipe would never end, and a device is no file of values.
func readBounded(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%q does not exist", file)
	case err != nil:
		return nil, fmt.Errorf("reading %q: %w", file, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is no regular file", file)
	case info.Size() > limit:
		return nil, fmt.Errorf("%q has %d bytes, limit %d", file, info.Size(), limit)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", file, err)
	}
	return content, nil
}

// assign reads one name=value; the value is always a string, so that a commit of digits stays one. Neither the layer's
// place nor a problem tells the value: it may be a secret.
func assign(assignment string) (layer, *release.Problem) {
	name, _, found := strings.Cut(assignment, "=")
	made := layer{values: map[string]any{}, where: fmt.Sprintf("%s %s", whereSet, name)}
	if found && name != "" {
		found = strvals.ParseIntoString(assignment, made.values) == nil && len(made.values) > 0
	}
	if !found || name == "" {
		return layer{}, &release.Problem{Where: whereSet, What: fmt.Sprintf("%q cannot be read", name),
			Do: `write it as name=value; inside the value a comma is written \,`}
	}
	return made, nil
}

// apply puts an assignment on top of the values.
func apply(values map[string]any, assignment string) error {
	return strvals.ParseIntoString(assignment, values)
}

// overlay is base with the values of another map on top; neither is changed. Helm's own function tells a value that it
// drops on the standard error stream, secrets too.
func overlay(base, top map[string]any) map[string]any {
	result := maps.Clone(base)
	if result == nil {
		result = map[string]any{}
	}
	for name, value := range top {
		below, isMap := result[name].(map[string]any)
		if above, both := value.(map[string]any); both && isMap {
			value = overlay(below, above)
		}
		result[name] = value
	}
	return result
}

var yamlLine = regexp.MustCompile(`(?:^|: )(?:yaml: )?(?:unmarshal errors:\s+)?line (\d+): (.*)`)

// yamlProblem says where in the file a YAML error is.
func yamlProblem(file string, err error) *release.Problem {
	where, what := file, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		where, what = file+":"+match[1], match[2]
	}
	return &release.Problem{Where: where, What: "is not a YAML map of values: " + oneLine(what)}
}
