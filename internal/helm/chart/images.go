package chart

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/chartutil"
)

// defaultPath is the value for the main image if no path is given and the chart has this value, as a map with a repository.
const defaultPath = "image"

// Keys of a value that describes an image, in the forms that charts have: the repository's key, and the others.
var (
	repositoryKeys = []string{"repository", "name", "repo", "image"}
	otherKeys      = []string{"registry", "tag", "digest", "sha"}
)

// unknownCommit is used for a commit that is not known yet, so that the values can be checked.
const unknownCommit = release.Commit("0000000000000000000000000000000000000000")

// setImages sets the chart values of the deployment's images: at the given paths, or else at the value image. It sets only keys
// that the chart's or the given values have. It returns problems of the paths.
func (c *Chart) setImages(deployment release.Deployment) ([]release.Problem, error) {
	all, err := chartutil.CoalesceValues(c.Chart, c.given)
	if err != nil {
		return nil, release.BadSetting(settingChart, err.Error(), "fix the chart's values")
	}
	var problems []release.Problem
	values := manifest.Merge(c.given, nil)
	c.replaced = map[string]bool{}
	for i, image := range deployment.Images {
		paths := image.Values
		if i == 0 && len(paths) == 0 {
			if keys := c.imageKeysInTemplates(); c.Chart.Values[defaultPath] == nil && isMapOrNil(all[defaultPath]) && len(keys) > 0 {
				given, _ := all[defaultPath].(map[string]any)
				all[defaultPath] = manifest.Merge(keys, given)
			}
			if value, isMap := all[defaultPath].(map[string]any); isMap && c.isDefault(value, image) {
				paths = []string{defaultPath}
			} else if own, isMap := c.Chart.Values[defaultPath].(map[string]any); isMap && !isMapOrNil(c.given[defaultPath]) && keyOf(own, repositoryKeys) != "" {
				problems = append(problems, release.Problem{Where: sourceLocation(c.layers, []string{defaultPath}), What: "image: is not a map", Do: "--image gives image.repository and image.digest"})
			}
		}
		for _, path := range paths {
			changed, problem := c.setImage(values, all, image, path)
			if problem != "" {
				problems = append(problems, release.Problem{Setting: settingImageValues, What: fmt.Sprintf("%s: %s", path, problem), Do: "see the chart's values.yaml"})
				continue
			}
			values = changed
		}
	}
	c.Values = values
	return problems, nil
}

var imageKey = regexp.MustCompile(`\.Values\.image\.(registry|repository|tag|digest)\b`)

// imageKeysInTemplates returns the keys of .Values.image that the chart's templates read. It is for a chart whose default values do not
// contain them.
func (c *Chart) imageKeysInTemplates() map[string]any {
	keys := map[string]any{}
	for _, template := range c.Chart.Templates {
		for _, match := range imageKey.FindAllSubmatch(template.Data, -1) {
			keys[string(match[1])] = ""
		}
	}
	return keys
}

func isMapOrNil(value any) bool {
	_, isMap := value.(map[string]any)
	return isMap || value == nil
}

// isDefault reports whether the value image describes the main image: it has a repository, which must be empty or one of the
// names that the deployment gives the image, if it gives any.
func (c *Chart) isDefault(value map[string]any, image release.BuiltImage) bool {
	if keyOf(value, repositoryKeys) != "repository" {
		return false
	}
	own := repositoryIn(value)
	return len(image.Aliases) == 0 || own == "" || slices.Contains(image.Repositories(), own)
}

// setImage returns values with an image set at a path: a map gets its parts, a string whose key names a part gets that part, and
// any other string or empty value gets the whole reference.
func (c *Chart) setImage(values, all map[string]any, image release.BuiltImage, path string) (map[string]any, string) {
	at, err := release.ParseAssignment(path + "=")
	if err != nil {
		return nil, err.Error()
	}
	current, found := valueAt(all, at.Path)
	if !found {
		return nil, "neither the chart's values nor the given ones have it"
	}
	var wanted any
	switch current := current.(type) {
	case map[string]any:
		parts := imageParts(current, image)
		if len(parts) == 0 {
			return nil, "is a map without any of the keys " + strings.Join(slices.Concat(repositoryKeys, otherKeys), ", ")
		}
		c.replaced[repositoryIn(current)] = true
		if below, isMap := valueOrNil(values, at.Path).(map[string]any); isMap {
			parts = manifest.Merge(below, parts)
		}
		wanted = parts
	case string, nil:
		text, _ := current.(string)
		wanted = image.Image.String()
		part, isPart := partOf(at.Path[len(at.Path)-1], image, c.hasSiblingRegistry(all, at.Path))
		switch {
		case isPart && part == "":
			return values, "" // the image names no commit
		case isPart:
			wanted = part
		}
		if repository, _ := release.SplitReference(text); text != "" {
			c.replaced[repository] = true
		}
	default:
		return nil, "is neither a string nor a map"
	}
	changed, err := assign(withLists(values, all, at), at, 0, wanted)
	if err != nil {
		return nil, err.Error()
	}
	fields, _ := changed.(map[string]any) // the path has a step that is a key
	return fields, ""
}

// imageParts returns the keys of a map that describe an image, with the image's values for them.
func imageParts(current map[string]any, image release.BuiltImage) map[string]any {
	parts := map[string]any{}
	if keyOf(current, repositoryKeys) == "" {
		return parts // a registry, a tag or a digest alone would name another repository's image
	}
	_, hasRegistry := current["registry"]
	for _, key := range append([]string{keyOf(current, repositoryKeys)}, otherKeys...) {
		if _, has := current[key]; !has {
			continue
		}
		if part, isPart := partOf(key, image, hasRegistry); isPart && part != "" {
			parts[key] = part
		}
	}
	return parts
}

// partOf returns the part of an image for a key; "" if the image does not have it, such as the tag of an image without a commit.
func partOf(key string, image release.BuiltImage, hasRegistry bool) (part string, isPart bool) {
	repository := image.Image.Repository
	switch key {
	case "registry":
		return repository.Host(), true
	case "repository", "name", "repo", "image":
		if hasRegistry {
			return repository.Path(), true
		}
		return repository.String(), true
	case "tag":
		return image.Commit.String(), true
	case "digest":
		return image.Image.Digest.String(), true
	case "sha":
		return strings.TrimPrefix(image.Image.Digest.String(), "sha256:"), true
	}
	return "", false
}

// keyOf returns the first of the keys that a map has with a string or null, "" if it has none.
func keyOf(value map[string]any, keys []string) string {
	for _, key := range keys {
		switch value[key].(type) {
		case string, nil:
			if _, has := value[key]; has {
				return key
			}
		}
	}
	return ""
}

// repositoryIn returns the full repository in a map that describes an image; "" if there is none.
func repositoryIn(value map[string]any) string {
	repository, _ := value[keyOf(value, repositoryKeys)].(string)
	if registry, _ := value["registry"].(string); registry != "" && repository != "" {
		repository = registry + "/" + repository
	}
	if repository == "" {
		return ""
	}
	full, _ := release.SplitReference(repository)
	return full
}

// hasSiblingRegistry reports whether the map that contains the value at a path also has the key registry.
func (c *Chart) hasSiblingRegistry(all map[string]any, path []string) bool {
	_, found := valueAt(all, append(slices.Clone(path[:len(path)-1]), "registry"))
	return found
}

// withLists returns values in which the lists on a path are complete, so that one of their items can be set.
func withLists(values, all map[string]any, at release.Assignment) map[string]any {
	index := slices.Index(at.Index, true)
	if index < 0 {
		return values
	}
	list, _ := valueAt(all, at.Path[:index])
	to := release.Assignment{Path: at.Path[:index], Index: at.Index[:index]}
	if given, found := valueAt(values, to.Path); found && given != nil {
		return values
	}
	changed, err := assign(values, to, 0, list)
	if fields, isMap := changed.(map[string]any); err == nil && isMap {
		return fields
	}
	return values
}

// valueAt returns the value at a path of keys and indexes.
func valueAt(value any, path []string) (any, bool) {
	for _, step := range path {
		switch at := value.(type) {
		case map[string]any:
			inner, has := at[step]
			if !has {
				return nil, false
			}
			value = inner
		case chartutil.Values:
			inner, has := at[step]
			if !has {
				return nil, false
			}
			value = inner
		case []any:
			index, err := strconv.Atoi(step)
			if err != nil || index < 0 || index >= len(at) {
				return nil, false
			}
			value = at[index]
		default:
			return nil, false
		}
	}
	return value, true
}

func valueOrNil(value any, path []string) any {
	found, _ := valueAt(value, path)
	return found
}

// unread is a marker image: if it appears in the rendered chart, the chart reads the value.
var unread = func() release.BuiltImage {
	image, err := release.ParseImage("unread.invalid/onedigest@sha256:" + strings.Repeat("0", 64))
	if err != nil {
		panic(err)
	}
	return release.BuiltImage{Image: image, Commit: unknownCommit}
}()

// CheckPaths refuses the deployment's paths of values that the chart ignores: another image there would change nothing that is rendered.
func (c *Chart) CheckPaths(deployment release.Deployment, target Target, rendered *Rendered) error {
	all, err := chartutil.CoalesceValues(c.Chart, c.given)
	if err != nil {
		return renderError(err, c.Chart)
	}
	var problems []release.Problem
	for _, image := range deployment.Images {
		for _, path := range image.Values {
			probe := *c
			probe.replaced = map[string]bool{}
			values, problem := probe.setImage(c.Values, all, unread, path)
			if problem != "" {
				continue // Load has reported it
			}
			probe.Values = values
			files, _, err := probe.renderFiles(deployment, target)
			if err == nil && maps.Equal(files, rendered.files) {
				problems = append(problems, release.Problem{Setting: settingImageValues, What: fmt.Sprintf("%s: the chart does not use this value: another image in it changes nothing that is rendered", path),
					Do: "omit it, or name the value from which the chart builds the image"})
			}
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}
