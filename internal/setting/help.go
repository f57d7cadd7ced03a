package setting

import (
	"fmt"
	"strings"

	"github.com/mitchellh/go-wordwrap"
)

const helpWidth = 100

// Help is the text of --help: what the verb is for, examples, every flag with its variable and default, the outputs
// and the exit codes.
func (s *Set) Help(verb Verb) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s\n\n%s\n\nUsage:\n  %s [flags]\n\nExamples:\n", verb.Name, verb.Summary,
		wordwrap.WrapString(verb.About, helpWidth), verb.Name)
	for _, example := range verb.Examples {
		fmt.Fprintf(&text, "  # %s\n  %s\n", example.Does, example.Line)
	}
	text.WriteString("\nFlags (each is also the action's input of the same name):\n")
	for _, setting := range s.settings {
		fmt.Fprintf(&text, "  %s\n", setting.usage())
		for line := range strings.Lines(wordwrap.WrapString(setting.description(), helpWidth-6)) {
			fmt.Fprintf(&text, "      %s\n", strings.TrimRight(line, "\n"))
		}
	}
	text.WriteString("\nOutputs:\n")
	for _, output := range verb.Outputs {
		fmt.Fprintf(&text, "  %-10s %s\n", output.Name, output.Help)
	}
	text.WriteString("\nExit codes: 0 done, 1 failed or refused, 2 bad input, 3 fault (network, registry, AWS, cluster).\n")
	return text.String()
}

func (s *Setting) usage() string {
	if s.Switch || s.Value == "" {
		return "--" + s.Name
	}
	return "--" + s.Name + " " + s.Value
}

// description is the help sentence and what follows from the declaration.
func (s *Setting) description() string {
	var facts []string
	switch {
	case s.Required && len(s.Unless) > 0:
		facts = append(facts, "required without "+strings.Join(s.Unless, " or "))
	case s.Required:
		facts = append(facts, "required")
	}
	if s.Many {
		facts = append(facts, "repeatable; as an input, one a line")
	}
	if s.Default != "" && !s.Switch {
		facts = append(facts, "default "+s.Default)
	}
	if s.Fallback != "" {
		facts = append(facts, "else "+s.Fallback)
	}
	if !s.Local {
		facts = append(facts, "env "+s.Variable())
	}
	if len(facts) == 0 {
		return s.Help + "."
	}
	return s.Help + " (" + strings.Join(facts, "; ") + ")."
}
