package release

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RecipeSettings are the settings that an image was built with, by name, each in a form that two spellings of one setting
// share. Settings that have their default and do not shape the image are absent, so that a new setting changes no recipe.
//
// They are stored with the image (AnnotationRecipe), so that a later build of the commit can tell whether it is the image that
// was asked for.
type RecipeSettings map[string]string

// Encode returns the settings as a JSON object with sorted keys, as they are stored with an image.
func (s RecipeSettings) Encode() string {
	text, _ := json.Marshal(s) // a map of strings
	return string(text)
}

// ParseRecipeSettings reads what Encode wrote.
func ParseRecipeSettings(text string) (RecipeSettings, error) {
	var settings RecipeSettings
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return nil, fmt.Errorf("reading the recipe: %w", err)
	}
	if len(settings) == 0 {
		return nil, fmt.Errorf("reading the recipe: it is empty")
	}
	return settings, nil
}

// Limits of a description of differences: the settings of an image come from a registry.
const (
	maxDifferences = 10
	maxShown       = 120 // of a value, in bytes
)

// Differences says of each setting that differs what it is in the image that has these settings, and what it is in wanted.
// It is "" if none does.
func (s RecipeSettings) Differences(wanted RecipeSettings) string {
	names := maps.Clone(s)
	maps.Copy(names, wanted)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		held, isHeld := s[name]
		asked, isAsked := wanted[name]
		if held != asked || isHeld != isAsked {
			all = append(all, fmt.Sprintf("%s is %s there and %s here", shown(name), value(held, isHeld), value(asked, isAsked)))
		}
	}
	if more := len(all) - maxDifferences; more > 0 {
		all = append(all[:maxDifferences], fmt.Sprintf("and %d more settings differ", more))
	}
	return strings.Join(all, "; ")
}

// shown is a setting's name without quotes if it is a plain word or two.
func shown(name string) string {
	if quoted := fmt.Sprintf("%.*q", maxShown, name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

func value(text string, isSet bool) string {
	if !isSet {
		return "not set"
	}
	return fmt.Sprintf("%.*q", maxShown, text)
}
