package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/spf13/pflag"
)

// inputPrefix begins the environment variables that carry an action's inputs.
const inputPrefix = "INPUT_"

// variable is the environment variable that carries a setting into the action's process.
func variable(name string) string {
	return inputPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// readInput collects what the flags and the environment ("NAME=value" each) give; a flag wins over its INPUT_ variable, that
// over the fallback variable. It returns pflag.ErrHelp when help was asked for, otherwise nil or an *release.InputError with
// every problem found; the values are those of what could be read.
func readInput(set *setting.Set, args, environ []string) (setting.Values, error) {
	args, problems := removeUnknownFlags(set, args)
	values, err := readFlags(set, args)
	if errors.Is(err, pflag.ErrHelp) {
		return nil, err
	}
	if err != nil {
		problems = append(problems, release.Problem{Where: "command line", What: err.Error(), Do: "--help lists the flags"})
	}
	variables := environment(environ)
	problems = append(problems, unknownInputs(set, variables)...)
	for _, declared := range set.All() {
		if _, found := values[declared.Name]; found || declared.Local {
			continue
		}
		if input, found := readVariables(declared, variables); found {
			values[declared.Name] = input
		}
	}
	if len(problems) > 0 {
		return values, &release.InputError{Problems: problems}
	}
	return values, nil
}

// flagTexts collects a flag's values unread, so that all are validated together and later.
type flagTexts struct {
	texts       []string
	placeholder string
}

func (f *flagTexts) String() string         { return strings.Join(f.texts, ",") }
func (f *flagTexts) Set(value string) error { f.texts = append(f.texts, value); return nil }
func (f *flagTexts) Type() string           { return f.placeholder }

// addFlags declares a set's settings as flags.
func addFlags(flags *pflag.FlagSet, set *setting.Set) map[string]*flagTexts {
	collected := map[string]*flagTexts{}
	for _, declared := range set.All() {
		collected[declared.Name] = &flagTexts{placeholder: declared.Value}
		flag := flags.VarPF(collected[declared.Name], declared.Name, "", declared.Help)
		if declared.Switch {
			flag.NoOptDefVal = "true"
		}
	}
	return collected
}

func readFlags(set *setting.Set, args []string) (setting.Values, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Usage = func() {}
	collected := addFlags(flags, set)
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q: every setting is a flag", flags.Arg(0))
	}
	values := setting.Values{}
	for name, flag := range collected {
		if flag.texts != nil {
			values[name] = setting.Input{Texts: flag.texts, Origin: "--" + name}
		}
	}
	return values, err
}

// removeUnknownFlags takes the flags that are not declared out of args, with what seems to be their value, so that one slip
// does not hide the problems behind it.
func removeUnknownFlags(set *setting.Set, args []string) (known []string, problems []release.Problem) {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		name, _, joined := strings.Cut(name, "=")
		declared := set.Lookup(name)
		if !isFlag || name == "" || name == "help" || declared != nil {
			known = append(known, args[i])
			if isFlag && declared != nil && !joined && !declared.Switch && i+1 < len(args) {
				i++
				known = append(known, args[i])
			}
			continue
		}
		problem := release.Problem{Where: "--" + name, What: "there is no such flag", Do: "--help lists the flags"}
		if near := nearest(set, name, func(*setting.Setting) bool { return true }); near != "" {
			problem.Do = "did you mean --" + near + "?"
		}
		problems = append(problems, problem)
		if !joined && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	return known, problems
}

// environment keeps the last value of each variable, as execve's reader does.
func environment(environ []string) map[string]string {
	variables := make(map[string]string, len(environ))
	for _, pair := range environ {
		if name, value, found := strings.Cut(pair, "="); found {
			variables[name] = value
		}
	}
	return variables
}

// unknownInputs finds INPUT_ variables that no setting declares. An empty one is an input left out.
func unknownInputs(set *setting.Set, variables map[string]string) (problems []release.Problem) {
	for _, name := range sortedKeys(variables) {
		input, found := strings.CutPrefix(name, inputPrefix)
		if !found || variables[name] == "" {
			continue
		}
		kebab := strings.ToLower(strings.ReplaceAll(input, "_", "-"))
		if declared := set.Lookup(kebab); declared != nil && !declared.Local {
			continue
		}
		problem := release.Problem{Where: name, What: fmt.Sprintf("there is no input %q", kebab)}
		if near := nearest(set, kebab, func(declared *setting.Setting) bool { return !declared.Local }); near != "" {
			problem.Do = fmt.Sprintf("did you mean %q?", near)
		}
		problems = append(problems, problem)
	}
	return problems
}

// readVariables reads a setting's input, or its fallback variable. An empty variable is an input left out. Several values
// are written one a line.
func readVariables(declared *setting.Setting, variables map[string]string) (setting.Input, bool) {
	// The runner spells an input's variable with its dashes (INPUT_VALUES-FILE); our actions spell it with underscores.
	dashed := inputPrefix + strings.ToUpper(declared.Name)
	for _, name := range []string{variable(declared.Name), dashed, declared.Fallback} {
		value := strings.TrimSpace(variables[name])
		if name == "" || value == "" {
			continue
		}
		input := setting.Input{Texts: []string{value}, Origin: name}
		if declared.Many {
			input.Texts = nil
			for line := range strings.Lines(value) {
				if line = strings.TrimSpace(line); line != "" {
					input.Texts = append(input.Texts, line)
				}
			}
		}
		return input, true
	}
	return setting.Input{}, false
}

// spellSettings writes where each problem in the error's tree that names a setting is fixed: the flag, and the variables
// that give it in a workflow. A problem that says where its value came from keeps that.
func spellSettings(set *setting.Set, err error) {
	var input *release.InputError
	if errors.As(err, &input) {
		for i, problem := range input.Problems {
			if problem.Setting != "" && problem.Where == "" {
				input.Problems[i].Where = spellSetting(set, problem.Setting)
			}
		}
	}
	switch wrapped := err.(type) { //nolint:errorlint // the tree is walked node by node
	case interface{ Unwrap() []error }:
		for _, err := range wrapped.Unwrap() {
			spellSettings(set, err)
		}
	case interface{ Unwrap() error }:
		spellSettings(set, wrapped.Unwrap())
	}
}

func spellSetting(set *setting.Set, name string) string {
	declared := set.Lookup(name)
	switch {
	case declared == nil:
		return fmt.Sprintf("--%s (%s)", name, variable(name))
	case declared.Local:
		return "--" + name
	case declared.Fallback != "":
		return fmt.Sprintf("--%s (%s, %s)", name, variable(name), declared.Fallback)
	}
	return fmt.Sprintf("--%s (%s)", name, variable(name))
}
