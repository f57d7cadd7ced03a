package setting

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Given is what somebody gave for a setting, as text.
type Given struct {
	Texts  []string
	Origin string // where it came from, for messages: "--image"
}

// Values are what was given, by the names of the settings.
type Values map[string]Given

// Apply validates what was given and sets the settings; one that was not given gets its default. The error is a
// *release.InputError with every problem.
func (s *Set) Apply(values Values) error {
	var problems []release.Problem
	for name := range values {
		if s.Lookup(name) == nil {
			problems = append(problems, release.Problem{Where: values[name].Origin, What: fmt.Sprintf("there is no setting %q", name)})
		}
	}
	for _, setting := range s.settings {
		setting.take(values[setting.Name])
	}
	for _, setting := range s.settings {
		problems = append(problems, s.validate(setting)...)
	}
	if len(problems) == 0 {
		problems = s.checkRules()
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// Fill sets the settings to their defaults, calls assign to set the fields that are to differ, and runs the rules between
// settings. It is for a caller that has values of their own types instead of texts. The error is a *release.InputError.
func (s *Set) Fill(assign func()) error {
	for _, setting := range s.settings {
		if setting.Default != "" {
			setting.accept(setting.split([]string{setting.Default}))
		}
	}
	assign()
	if problems := s.checkRules(); len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// Given returns what was given, so that another set of the same verb can be given the same. Defaults are not in it.
func (s *Set) Given() Values {
	values := Values{}
	for _, setting := range s.settings {
		if setting.given {
			values[setting.Name] = Given{Texts: setting.texts, Origin: setting.origin}
		}
	}
	return values
}

func (s *Setting) take(given Given) {
	s.given, s.origin, s.texts = len(given.Texts) > 0, given.Origin, s.split(given.Texts)
	if !s.given && s.Default != "" {
		s.texts = s.split([]string{s.Default})
	}
}

// split separates the values of a list that may be written with commas.
func (s *Setting) split(texts []string) (values []string) {
	if !s.Commas {
		return slices.Clone(texts)
	}
	for _, text := range texts {
		for value := range strings.SplitSeq(text, ",") {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

func (s *Set) validate(setting *Setting) (problems []release.Problem) {
	problem := func(what, do string) {
		problems = append(problems, release.Problem{Setting: setting.Name, Where: setting.origin, What: what, Do: do})
	}
	switch {
	case len(setting.texts) == 0:
		if setting.Required && !slices.ContainsFunc(setting.Unless, s.on) {
			problem("is required", setting.give())
		}
	case slices.ContainsFunc(setting.texts, func(text string) bool { return strings.TrimSpace(text) == "" }):
		problem("is given empty", strings.TrimSuffix("leave it out or "+setting.give(), " or "))
	default:
		for _, what := range setting.accept(setting.texts) {
			problem(what, "")
		}
	}
	return problems
}

// give is advice to give a value, "" where the declaration does not say what a value looks like.
func (s *Setting) give() string {
	switch {
	case s.Switch:
		return "give true or false"
	case s.Value == "":
		return ""
	}
	return "give " + s.Value
}

// on tells whether a setting was given, and as a switch was not given as false.
func (s *Set) on(name string) bool {
	setting := s.Lookup(name)
	return setting != nil && setting.given && !(setting.Switch && slices.Equal(setting.texts, []string{"false"}))
}

func (s *Set) checkRules() (problems []release.Problem) {
	for _, rule := range s.rules {
		err := rule()
		if err == nil {
			continue
		}
		var input *release.InputError
		if errors.As(err, &input) {
			problems = append(problems, input.Problems...)
			continue
		}
		problems = append(problems, release.Problem{What: err.Error()})
	}
	return problems
}
