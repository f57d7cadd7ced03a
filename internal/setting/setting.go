// Package setting declares the settings of a verb and validates their inputs. One declaration yields the flag, the action's
// input, the help text, the validation and the reference documentation, so that none of them can disagree. internal/app reads
// flags and environment.
package setting

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Verb describes a command.
type Verb struct {
	Name     string
	Summary  string // one line
	About    string // paragraphs
	Examples []Example
	Outputs  []Output
	Failure  string // output of a run that failed, for the reference; "" if it shows none
}

// Example is a command line and what it does.
//
// Line starts after the program's name, with the first flag: the help and the reference add the program's name.
type Example struct{ Does, Line string }

// Output is a value that a verb gives to later steps of a workflow.
type Output struct{ Name, Help string }

// Setting is one declared setting.
type Setting struct {
	Name     string // kebab-case; the flag's name and the action's input
	Former   string // its name in earlier releases, which is still read; "" if it had none
	Help     string // one sentence without its full stop
	Value    string // placeholder for the value in help: "repo@sha256:…"
	Default  string // as a user would write it
	Fallback string // environment variable read when neither flag nor input is given, or ""
	Required bool
	Unless   []string // settings that replace a required one: it may be missing if one of them is given
	Many     bool     // the flag may be repeated; an input has one value per line
	Commas   bool     // values may also be separated by commas; no value contains a comma
	Secret   bool     // values may be secrets: messages give a value's position only, and the parser's errors do not contain it
	Commit   bool     // a commit; internal/app expands a short id with git before the value is parsed
	Switch   bool     // a flag without a value
	Local    bool     // a flag only, never an input of the action
	Action   string   // default of the action's input only, a GitHub expression

	hasInput bool
	origin   string   // of the input
	texts    []string // of the input, or the default
	accept   func(texts []string) (problems []string)
}

// Set is the settings of one verb, in the order of their declaration.
type Set struct {
	settings []*Setting
	rules    []func() error
}

// All lists the settings in the order of their declaration.
func (s *Set) All() []*Setting { return slices.Clone(s.settings) }

// Lookup finds a setting by name; nil if there is none.
func (s *Set) Lookup(name string) *Setting {
	for _, setting := range s.settings {
		if setting.Name == name {
			return setting
		}
	}
	return nil
}

// Find finds a setting by its name or its former one; nil if there is none.
func (s *Set) Find(name string) *Setting {
	if setting := s.Lookup(name); setting != nil || name == "" {
		return setting
	}
	for _, setting := range s.settings {
		if setting.Former == name {
			return setting
		}
	}
	return nil
}

// Check adds a rule about several settings. It runs after each of them was found valid, and returns a *release.InputError.
func (s *Set) Check(rule func() error) { s.rules = append(s.rules, rule) }

func (s *Set) add(setting *Setting) {
	if s.Lookup(setting.Name) != nil {
		panic("setting: " + setting.Name + " is declared twice")
	}
	s.settings = append(s.settings, setting)
}

// Var declares a setting with one value. parse returns the value, or an error that says what is wrong with the text.
func Var[T any](set *Set, target *T, declared Setting, parse func(string) (T, error)) {
	declared.accept = func(texts []string) []string {
		if len(texts) > 1 {
			return []string{fmt.Sprintf("is given %d times, and takes one value", len(texts))}
		}
		value, err := parse(texts[0])
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
	Map(set, target, declared, parse, nil)
}

// Map declares a setting with any number of values, of which each has a name of its own. A name that is given twice is refused with both
// values, or only their positions if they may be secrets. name returns a value's name; nil if the values have none.
func Map[T any](set *Set, target *[]T, declared Setting, parse func(string) (T, error), name func(T) string) {
	declared.Many = true
	declared.accept = func(texts []string) (problems []string) {
		values, refused, named := make([]T, 0, len(texts)), refusals{}, map[string]int{}
		for i, text := range texts {
			value, err := parse(text)
			switch {
			case err == nil:
				values = append(values, value)
				if name == nil {
					continue
				}
				if first, isTaken := named[name(value)]; isTaken {
					problems = append(problems, givenTwice(name(value), first, i, texts, declared.Secret))
					continue
				}
				named[name(value)] = i
			case declared.Secret && len(texts) > 1:
				refused.add(err.Error(), i+1)
			default:
				problems = append(problems, err.Error())
			}
		}
		*target = values
		return append(problems, refused.format(len(texts))...)
	}
	set.add(&declared)
}

// givenTwice says that the values at two positions, from 0, have one name.
func givenTwice(name string, first, second int, texts []string, secret bool) string {
	if secret {
		return fmt.Sprintf("%q is given twice, by values %d and %d of %d: give one of them", name, first+1, second+1, len(texts))
	}
	return fmt.Sprintf("%q is given twice, by %q and %q: give one of them", name, texts[first], texts[second])
}

// refusals maps each reason for refusing a value to the positions of the refused values in a list. Reasons are in the order of their first
// occurrence.
type refusals struct {
	reasons []string
	at      map[string][]string
}

// add records that the value at a position, from 1, was refused for a reason.
func (p *refusals) add(reason string, position int) {
	if p.at == nil {
		p.at = map[string][]string{}
	}
	if p.at[reason] == nil {
		p.reasons = append(p.reasons, reason)
	}
	p.at[reason] = append(p.at[reason], strconv.Itoa(position))
}

// format returns one line per reason: "value 2, 3 of 4: is not path=value".
func (p *refusals) format(count int) (lines []string) {
	for _, reason := range p.reasons {
		lines = append(lines, fmt.Sprintf("value %s of %d: %s", strings.Join(p.at[reason], ", "), count, reason))
	}
	return lines
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
