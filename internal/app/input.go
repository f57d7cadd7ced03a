package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/spf13/pflag"
)

// inputPrefix is the prefix of the environment variables for an action's inputs.
const inputPrefix = "INPUT_"

// variable returns the environment variable for a setting.
func variable(name string) string {
	return inputPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// readInput reads flags and environment ("NAME=value" each). A flag wins over its INPUT_ variable, and that over the fallback
// variable. It returns pflag.ErrHelp for --help, or an *release.InputError with every problem; then the values are those that
// could be read.
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

// flagTexts collects a flag's values as text; they are validated later, together.
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
		if declared.Former != "" && set.Lookup(declared.Former) == nil {
			collected[declared.Former] = &flagTexts{placeholder: declared.Value}
			flags.Var(collected[declared.Former], declared.Former, "")
			_ = flags.MarkHidden(declared.Former) // it is there
		}
		collected[declared.Name] = &flagTexts{placeholder: declared.Value}
		flag := flags.VarPF(collected[declared.Name], declared.Name, "", declared.Help)
		if declared.Switch {
			flag.NoOptDefVal = "true"
		}
	}
	return collected
}

// readFlags parses the flags and returns their values by setting, with every problem.
func readFlags(set *setting.Set, args []string) (setting.Values, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Usage = func() {}
	collected := addFlags(flags, set)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
	case err != nil && strings.Contains(err.Error(), "shorthand flag"):
		err = errors.New("a flag of one letter: every flag is written out, after --")
	case err == nil && flags.NArg() > 0:
		err = unexpectedArgument(args, flags.Arg(0))
	}
	values := setting.Values{}
	for _, declared := range set.All() {
		for _, name := range []string{declared.Former, declared.Name} {
			if flag := collected[name]; flag != nil && flag.texts != nil && set.Find(name) == declared {
				values[declared.Name] = setting.Input{Texts: append(values[declared.Name].Texts, flag.texts...), Origin: "--" + name}
			}
		}
	}
	return values, err
}

// unexpectedArgument returns the error about an argument that belongs to no flag. It names the flag before the argument, not the
// argument, which may be the end of an unquoted secret.
func unexpectedArgument(args []string, argument string) error {
	after := ""
	for i, arg := range args {
		if name, _, _ := strings.Cut(arg, "="); strings.HasPrefix(name, "--") && len(name) > 2 {
			after = ", after " + name
		}
		if arg == argument && (i == 0 || !strings.HasPrefix(args[i-1], "--") || strings.Contains(args[i-1], "=")) {
			return fmt.Errorf("unexpected argument %d%s: give settings as flags, and quote a value with spaces", i+1, after)
		}
	}
	return fmt.Errorf("unexpected argument%s: give settings as flags, and quote a value with spaces", after)
}

// removeUnknownFlags removes undeclared flags, with their probable value, from args: pflag stops at the first one, and the
// remaining problems must be reported too.
func removeUnknownFlags(set *setting.Set, args []string) (known []string, problems []release.Problem) {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		name, _, joined := strings.Cut(name, "=")
		declared := set.Find(name)
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

// environment returns the last value of each variable, as the reader of an execve environment sees it.
func environment(environ []string) map[string]string {
	variables := make(map[string]string, len(environ))
	for _, pair := range environ {
		if name, value, found := strings.Cut(pair, "="); found {
			variables[name] = value
		}
	}
	return variables
}

// unknownInputs returns INPUT_ variables that no setting declares or that are spelled differently from how they are read. An
// empty variable counts as no input.
func unknownInputs(set *setting.Set, variables map[string]string) (problems []release.Problem) {
	for _, name := range sortedKeys(variables) {
		if len(name) < len(inputPrefix) || !strings.EqualFold(name[:len(inputPrefix)], inputPrefix) || variables[name] == "" {
			continue
		}
		kebab := strings.ToLower(strings.ReplaceAll(name[len(inputPrefix):], "_", "-"))
		declared := set.Find(kebab)
		known := declared != nil && !declared.Local
		switch {
		case known && slices.Contains(spellings(declared), name):
			if spelt := variable(kebab); name != spelt && variables[spelt] != "" && variables[spelt] != variables[name] {
				problems = append(problems, release.Problem{Where: name, What: "differs from " + spelt, Do: "give one of them"})
			}
			continue
		case known:
			problems = append(problems, release.Problem{Where: name, What: "is not read in this spelling", Do: "write " + variable(kebab)})
			continue
		case !strings.HasPrefix(name, inputPrefix): // another program's variable
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

// spellings returns the variables that can give a setting's input. The runner writes dashes (INPUT_VALUES-FILE), the actions of
// this repository write underscores.
func spellings(declared *setting.Setting) []string {
	names := []string{variable(declared.Name), inputPrefix + strings.ToUpper(declared.Name)}
	if declared.Former != "" {
		names = append(names, variable(declared.Former))
	}
	return names
}

// readVariables reads a setting's input from its variables, or from its fallback variable. An empty variable counts as no input.
// A list has one value per line.
func readVariables(declared *setting.Setting, variables map[string]string) (setting.Input, bool) {
	for _, name := range append(spellings(declared), declared.Fallback) {
		value := strings.TrimSpace(variables[name])
		if name == "" || value == "" {
			continue
		}
		if declared.Many {
			return setting.Input{Texts: lines(variables[name], declared.Secret), Origin: name}, true
		}
		return setting.Input{Texts: []string{value}, Origin: name}, true
	}
	return setting.Input{}, false
}

// lines returns the lines that are not blank, trimmed. With exact, trailing white space is kept, because it may be part of a
// secret.
func lines(value string, exact bool) (list []string) {
	for line := range strings.Lines(value) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			continue
		}
		if exact {
			trimmed = strings.TrimLeft(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), " \t")
		}
		list = append(list, trimmed)
	}
	return list
}

// spellSettings adds to each problem about a setting, in the error's tree, where a user fixes it: the flag, and the variables for
// a workflow. A problem that says where its value came from is left unchanged.
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

// shortenPaths makes the paths of the work tree, in the problems of the error's tree, relative to it: a job's is a directory that only its runner has.
func shortenPaths(err error, root string) {
	var input *release.InputError
	if errors.As(err, &input) {
		for i, problem := range input.Problems {
			input.Problems[i].Where = strings.TrimPrefix(problem.Where, root+"/")
			input.Problems[i].What = strings.ReplaceAll(problem.What, root+"/", "")
		}
	}
	switch wrapped := err.(type) { //nolint:errorlint // the tree is walked node by node
	case interface{ Unwrap() []error }:
		for _, err := range wrapped.Unwrap() {
			shortenPaths(err, root)
		}
	case interface{ Unwrap() error }:
		shortenPaths(wrapped.Unwrap(), root)
	}
}

// spellSetting returns the flag and the variables with which a user gives a setting.
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
