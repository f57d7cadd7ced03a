package setting

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Input is the text given for a setting by a flag, an environment variable or a matrix.
type Input struct {
	Texts  []string
	Origin string // where it came from, for messages: "--image"
}

// Values maps a setting's name to its input.
type Values map[string]Input

// Apply validates the inputs and assigns them to the settings. A setting without an input gets its default. The error is a
// *release.InputError with all problems.
func (s *Set) Apply(values Values) error {
	var problems []release.Problem
	for name := range values {
		if s.Find(name) == nil {
			problems = append(problems, release.Problem{Where: values[name].Origin, What: fmt.Sprintf("there is no setting %q", name)})
		}
	}
	for _, setting := range s.settings {
		input, isGiven := values[setting.Name]
		former, formerly := values[setting.Former]
		switch {
		case formerly && isGiven && s.Lookup(setting.Former) == nil && !slices.Equal(former.Texts, input.Texts):
			problems = append(problems, release.Problem{Setting: setting.Name, Where: input.Origin, What: "differs from " + former.Origin + ", its former name", Do: "give one of them"})
		case formerly && !isGiven && s.Lookup(setting.Former) == nil:
			input = former
		}
		setting.setInput(input)
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

// ApplyDefaults sets all settings to their defaults, calls assign, which overrides fields, and checks the rules between settings.
// It is for callers that have typed values instead of texts. The error is a *release.InputError.
func (s *Set) ApplyDefaults(assign func()) error {
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

// Inputs returns the inputs that were applied, so that they can be applied to another set of the same verb. It does not contain
// defaults.
func (s *Set) Inputs() Values {
	values := Values{}
	for _, setting := range s.settings {
		if setting.hasInput {
			values[setting.Name] = Input{Texts: setting.texts, Origin: setting.origin}
		}
	}
	return values
}

// setInput assigns the texts of an input to a setting, or the default's if the input is empty.
func (s *Setting) setInput(input Input) {
	s.hasInput, s.origin, s.texts = len(input.Texts) > 0, input.Origin, s.split(input.Texts)
	if !s.hasInput && s.Default != "" {
		s.texts = s.split([]string{s.Default})
	}
}

// split splits the values of a list at commas, if the list allows commas.
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

// validate parses the input of a setting and assigns it. It returns the problems of the input.
func (s *Set) validate(setting *Setting) (problems []release.Problem) {
	problem := func(what, do string) {
		problems = append(problems, release.Problem{Setting: setting.Name, Where: setting.origin, What: what, Do: do})
	}
	switch {
	case len(setting.texts) == 0:
		if setting.Required && !slices.ContainsFunc(setting.Unless, s.isOn) {
			problem("is required", setting.hint())
		}
	case slices.ContainsFunc(setting.texts, func(text string) bool { return strings.TrimSpace(text) == "" }):
		problem("is given empty", strings.TrimSuffix("leave it out or "+setting.hint(), " or "))
	default:
		for _, what := range setting.accept(setting.texts) {
			problem(what, "")
		}
	}
	return problems
}

// hint describes the valid values; "" if the declaration does not list them.
func (s *Setting) hint() string {
	switch {
	case s.Switch:
		return "give true or false"
	case s.Value == "":
		return ""
	}
	return "give " + s.Value
}

// isOn reports whether a setting has an input; a switch must also not be "false".
func (s *Set) isOn(name string) bool {
	setting := s.Lookup(name)
	return setting != nil && setting.hasInput && !(setting.Switch && slices.Equal(setting.texts, []string{"false"}))
}

// checkRules returns the problems that the rules of Check report.
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
