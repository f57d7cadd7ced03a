// Package setting declares what a verb can be told. One declaration yields the flag, the INPUT_ variable of the action,
// the help text, the validation and the reference documentation, so that none of them can disagree.
package setting

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Verb says what a command is for.
type Verb struct {
	Name     string
	Summary  string // one line
	About    string // paragraphs
	Examples []Example
	Outputs  []Output
	Failure  string // what a run that failed has printed, for the reference; "" if it shows none
}

// Example is a command line and what it does.
type Example struct{ Does, Line string }

// Output is a value that a verb leaves for the steps after it.
type Output struct{ Name, Help string }

// Setting is one declared input.
type Setting struct {
	Name     string // kebab-case; the flag's name and the action's input
	Help     string // one sentence without its full stop
	Value    string // what stands for the value in help: "repo@sha256:…"
	Default  string // as it would be written by a person
	Fallback string // environment variable read when neither flag nor input is given, or ""
	Required bool
	Unless   []string // settings that make a required one optional when they are given
	Many     bool     // a flag that may be repeated; an input with one value a line
	Switch   bool     // a flag without a value
	Local    bool     // a flag only, never an input of the action

	raw    []string
	origin string
	accept func(raw []string) (problems []string)
}

// Variable is the environment variable that carries the setting into the action's process.
func (s *Setting) Variable() string {
	return "INPUT_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Given tells whether anybody gave the setting a value.
func (s *Setting) Given() bool { return s.origin != "" }

// Origin names where the value came from, for messages: the flag, the variable, or both if nobody gave it.
func (s *Setting) Origin() string {
	switch {
	case s.origin != "":
		return s.origin
	case s.Local:
		return "--" + s.Name
	}
	return fmt.Sprintf("--%s (%s)", s.Name, s.Variable())
}

// Set is the settings of one verb, in the order of their declaration.
type Set struct {
	settings []*Setting
	crossed  []func() error
}

// All lists the settings in the order of their declaration.
func (s *Set) All() []*Setting { return slices.Clone(s.settings) }

// Lookup finds a setting by name, nil if there is none.
func (s *Set) Lookup(name string) *Setting {
	for _, setting := range s.settings {
		if setting.Name == name {
			return setting
		}
	}
	return nil
}

// Check adds a rule that holds settings against each other. It runs when each of them was valid alone, and returns an
// *release.InputError.
func (s *Set) Check(rule func() error) { s.crossed = append(s.crossed, rule) }

// Args are the flags that say what anybody gave, so that another set of the same verb can be told the same. Defaults are not
// in them.
func (s *Set) Args() (args []string) {
	for _, setting := range s.settings {
		if !setting.Given() {
			continue
		}
		for _, value := range setting.raw {
			args = append(args, "--"+setting.Name+"="+value)
		}
	}
	return args
}

func (s *Set) add(setting *Setting) {
	if s.Lookup(setting.Name) != nil {
		panic("setting: " + setting.Name + " is declared twice")
	}
	s.settings = append(s.settings, setting)
}

// Var declares a setting with one value. parse turns the text into the value or says what is wrong with it.
func Var[T any](set *Set, target *T, declared Setting, parse func(string) (T, error)) {
	declared.accept = func(raw []string) []string {
		if len(raw) > 1 {
			return []string{fmt.Sprintf("is given %d times, and takes one value", len(raw))}
		}
		value, err := parse(raw[0])
		if err != nil {
			return []string{err.Error()}
		}
		*target = value
		return nil
	}
	set.add(&declared)
}

// List declares a setting with any number of values.
func List[T any](set *Set, target *[]T, declared Setting, parse func(string) (T, error)) {
	declared.Many = true
	declared.accept = func(raw []string) (problems []string) {
		values := make([]T, 0, len(raw))
		for _, text := range raw {
			value, err := parse(text)
			if err != nil {
				problems = append(problems, err.Error())
				continue
			}
			values = append(values, value)
		}
		*target = values
		return problems
	}
	set.add(&declared)
}

// Bool declares a switch, off by default: --name on a command line, "true" or "false" as an input.
func Bool(set *Set, target *bool, declared Setting) {
	declared.Switch, declared.Default = true, "false"
	Var(set, target, declared, func(text string) (bool, error) {
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, fmt.Errorf("%q is neither true nor false", text)
	})
}

// Text accepts any text of one line without control characters: a name or a path never needs them, and a log line
// that holds them says something else than it seems to.
func Text(text string) (string, error) {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", fmt.Errorf("%q holds a control character or a line break", text)
	}
	return text, nil
}
