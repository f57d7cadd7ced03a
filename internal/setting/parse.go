package setting

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/spf13/pflag"
)

// Parse reads flags from args and the rest from environ ("NAME=value" each); a flag wins over its INPUT_ variable, that
// over the fallback variable, that over the default. It returns pflag.ErrHelp when help was asked for, otherwise nil or
// an *release.InputError with every problem found.
func (s *Set) Parse(args, environ []string) error {
	args, problems := s.unknownFlags(args)
	given, err := s.readFlags(args)
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if err != nil {
		problems = append(problems, release.Problem{Where: "command line", What: err.Error(), Do: "--help lists the flags"})
	}
	variables := indexed(environ)
	problems = append(problems, s.unknownInputs(variables)...)
	for _, setting := range s.settings {
		setting.read(given, variables)
	}
	for _, setting := range s.settings {
		problems = append(problems, s.validate(setting)...)
	}
	if len(problems) == 0 {
		problems = s.cross()
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
			setting.accept(setting.split(setting.Default))
		}
	}
	assign()
	if problems := s.cross(); len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// rawValues collects a flag's values unread, so that all are judged together and later.
type rawValues struct {
	values []string
	word   string
}

func (r *rawValues) String() string         { return strings.Join(r.values, ",") }
func (r *rawValues) Set(value string) error { r.values = append(r.values, value); return nil }
func (r *rawValues) Type() string           { return r.word }

func (s *Set) readFlags(args []string) (map[string][]string, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Usage = func() {}
	collected := map[string]*rawValues{}
	for _, setting := range s.settings {
		collected[setting.Name] = &rawValues{}
		flag := flags.VarPF(collected[setting.Name], setting.Name, "", setting.Help)
		if setting.Switch {
			flag.NoOptDefVal = "true"
		}
	}
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q: every setting is a flag", flags.Arg(0))
	}
	given := map[string][]string{}
	for name, raw := range collected {
		if raw.values != nil {
			given[name] = raw.values
		}
	}
	return given, err
}

// unknownFlags takes the flags that are not declared out of args, with what seems to be their value, so that one slip
// does not hide the problems behind it.
func (s *Set) unknownFlags(args []string) (known []string, problems []release.Problem) {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		name, _, joined := strings.Cut(name, "=")
		declared := s.Lookup(name)
		if !isFlag || name == "" || name == "help" || declared != nil {
			known = append(known, args[i])
			if isFlag && declared != nil && !joined && !declared.Switch && i+1 < len(args) {
				i++
				known = append(known, args[i])
			}
			continue
		}
		problem := release.Problem{Where: "--" + name, What: "there is no such flag", Do: "--help lists the flags"}
		if near := s.nearest(name, func(*Setting) bool { return true }); near != "" {
			problem.Do = "did you mean --" + near + "?"
		}
		problems = append(problems, problem)
		if !joined && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	return known, problems
}

// indexed keeps the last value of each variable, as execve's reader does.
func indexed(environ []string) map[string]string {
	variables := make(map[string]string, len(environ))
	for _, pair := range environ {
		if name, value, found := strings.Cut(pair, "="); found {
			variables[name] = value
		}
	}
	return variables
}

// unknownInputs finds INPUT_ variables that no setting declares. An empty one is an input left out.
func (s *Set) unknownInputs(variables map[string]string) (problems []release.Problem) {
	for _, name := range sortedKeys(variables) {
		input, found := strings.CutPrefix(name, "INPUT_")
		if !found || variables[name] == "" {
			continue
		}
		kebab := strings.ToLower(strings.ReplaceAll(input, "_", "-"))
		if declared := s.Lookup(kebab); declared != nil && !declared.Local {
			continue
		}
		problem := release.Problem{Where: name, What: fmt.Sprintf("there is no input %q", kebab)}
		if near := s.nearest(kebab, func(declared *Setting) bool { return !declared.Local }); near != "" {
			problem.Do = fmt.Sprintf("did you mean %q?", near)
		}
		problems = append(problems, problem)
	}
	return problems
}

func (s *Setting) read(given map[string][]string, variables map[string]string) {
	if values, found := given[s.Name]; found {
		s.raw, s.origin = values, "--"+s.Name
		return
	}
	// The runner spells an input's variable with its dashes (INPUT_VALUES-FILE); our actions spell it with underscores.
	dashed := "INPUT_" + strings.ToUpper(s.Name)
	names := []string{s.Variable(), dashed, s.Fallback}
	if s.Local {
		names = nil
	}
	for _, name := range names {
		if value := variables[name]; name != "" && strings.TrimSpace(value) != "" {
			s.raw, s.origin = s.split(value), name
			return
		}
	}
	s.raw, s.origin = nil, ""
	if s.Default != "" {
		s.raw = s.split(s.Default)
	}
}

// split is how an input carries several values: one a line, blank lines aside.
func (s *Setting) split(value string) (values []string) {
	if !s.Many {
		return []string{strings.TrimSpace(value)}
	}
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line != "" {
			values = append(values, line)
		}
	}
	return values
}

func (s *Set) validate(setting *Setting) (problems []release.Problem) {
	if len(setting.raw) == 0 {
		if setting.Required && !slices.ContainsFunc(setting.Unless, s.on) {
			problem := release.Problem{Where: setting.Origin(), What: "is required"}
			if setting.Value != "" {
				problem.Do = "give " + setting.Value
			}
			return []release.Problem{problem}
		}
		return nil
	}
	for _, what := range setting.accept(setting.raw) {
		problems = append(problems, release.Problem{Where: setting.Origin(), What: what})
	}
	return problems
}

// on tells whether a setting was given, and as a switch was not given as false.
func (s *Set) on(name string) bool {
	setting := s.Lookup(name)
	return setting != nil && setting.Given() && !(setting.Switch && slices.Equal(setting.raw, []string{"false"}))
}

func (s *Set) cross() (problems []release.Problem) {
	for _, rule := range s.crossed {
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

// Duration accepts Go's durations ("90s", "5m") above zero.
func Duration(text string) (time.Duration, error) {
	duration, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write it as 90s, 5m or 1h", text)
	}
	if duration <= 0 {
		return 0, fmt.Errorf("%q is not above zero", text)
	}
	return duration, nil
}

// Count accepts whole numbers from 1 to limit.
func Count(limit int) func(string) (int, error) {
	return func(text string) (int, error) {
		count, err := strconv.Atoi(text)
		if err != nil || count < 1 || count > limit {
			return 0, fmt.Errorf("%q is not a whole number from 1 to %d", text, limit)
		}
		return count, nil
	}
}

// OneOf accepts one of some words.
func OneOf(words ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		for _, word := range words {
			if text == word {
				return text, nil
			}
		}
		return "", fmt.Errorf("%q is none of %s", text, strings.Join(words, ", "))
	}
}

// start is enough of a text to find it again, and not enough to tell a secret that stands in the wrong place.
func start(text string) string {
	name, _, _ := strings.Cut(text, "=")
	return name[:min(len(name), 8)]
}

var pairName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)

// Pair is one name=value.
type Pair struct{ Name, Value string }

// NameValue accepts name=value, where the value may be anything of one line.
func NameValue(text string) (Pair, error) {
	name, value, found := strings.Cut(text, "=")
	if !found || !pairName.MatchString(name) {
		return Pair{}, fmt.Errorf("%q… is not name=value", start(text))
	}
	if _, err := Text(value); err != nil {
		return Pair{}, err
	}
	return Pair{Name: name, Value: value}, nil
}
