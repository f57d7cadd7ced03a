package chart

import (
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
)

// MissingKeys returns the sorted dotted paths of the values that the other values files set and that the deployment's own
// files and assignments do not: values that were added for one environment and forgotten for another. A list counts as one value,
// and null as a value. The error is an *release.InputError.
func MissingKeys(deployment release.Deployment, otherFiles []string) ([]string, error) {
	own := mergeLayers(deployment)
	problems, other := own.problems, map[string]any{}
	for _, file := range otherFiles {
		one, wrong := readValuesFile(file)
		for _, problem := range wrong {
			if problem.Setting == settingValues {
				problem.Setting = settingCompare
			}
			problems = append(problems, problem)
		}
		other = manifest.Merge(other, one.values)
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	missing := slices.DeleteFunc(missingPaths(other, own.values, nil), func(path string) bool { return isImagePath(path, deployment) })
	slices.Sort(missing)
	return missing, nil
}

// isImagePath reports whether a deploy may set the value at a path to one of its images.
func isImagePath(path string, deployment release.Deployment) bool {
	paths := []string{"image.repository", "image.digest"}
	for _, image := range deployment.Images {
		paths = append(paths, image.Values...)
	}
	return slices.ContainsFunc(paths, func(set string) bool { return path == set || strings.HasPrefix(path, set+".") })
}

// missingPaths returns the paths, below a parent path, of the values that are in other and not in own.
func missingPaths(other, own map[string]any, parent []string) (paths []string) {
	for name, value := range other {
		path := append(slices.Clone(parent), name)
		ownValue, isSet := own[name]
		otherMap, otherIsMap := value.(map[string]any)
		ownMap, ownIsMap := ownValue.(map[string]any)
		switch {
		case value == nil:
		case otherIsMap && (ownIsMap || !isSet):
			paths = append(paths, missingPaths(otherMap, ownMap, path)...)
		case !isSet:
			paths = append(paths, manifest.DottedPath(path))
		}
	}
	return paths
}
