package helm

import (
	"slices"

	"github.com/onedigest/onedigest/internal/release"
)

// MissingKeys lists the values, by their dotted paths, that other values files set and that the deployment's own files and
// assignments do not: what one environment has and another was forgotten to be given. A list counts as one value, and a value
// that is given as null as set. It asks no cluster; the error is an *release.InputError.
func (c *Client) MissingKeys(deployment release.Deployment, other []string) ([]string, error) {
	_, own, problems := merge(deployment)
	theirs := map[string]any{}
	for _, file := range other {
		made, problem := readLayer(file)
		if problem != nil {
			if problem.Where == whereValues {
				problem.Where = "--compare-values (INPUT_COMPARE_VALUES)"
			}
			problems = append(problems, *problem)
			continue
		}
		theirs = overlay(theirs, made.values)
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	lacking := unset(theirs, own, nil)
	slices.Sort(lacking)
	return lacking, nil
}

// unset are the paths of the values in one map that another has nothing at.
func unset(theirs, own map[string]any, above []string) (paths []string) {
	for name, value := range theirs {
		path := append(slices.Clone(above), name)
		held, set := own[name]
		inner, isMap := value.(map[string]any)
		below, wasMap := held.(map[string]any)
		switch {
		case value == nil:
		case isMap && (wasMap || !set):
			paths = append(paths, unset(inner, below, path)...)
		case !set:
			paths = append(paths, dotted(path))
		}
	}
	return paths
}
