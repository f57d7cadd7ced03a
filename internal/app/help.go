package app

import (
	"fmt"
	"strings"

	"github.com/mitchellh/go-wordwrap"
	"github.com/onedigest/onedigest/internal/setting"
)

const helpWidth = 100

// help returns the text of --help: purpose, examples, every flag with its variable and default, outputs and exit codes. program
// is what the user typed: "onedigest deploy".
func help(program string, verb setting.Verb, set *setting.Set) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s\n\n%s\n\nUsage:\n  %s [flags]\n\nExamples:\n", verb.Name, verb.Summary,
		wordwrap.WrapString(verb.About, helpWidth), program)
	for _, example := range verb.Examples {
		fmt.Fprintf(&text, "  # %s\n  %s %s\n", example.Does, program, example.Line)
	}
	text.WriteString("\nFlags (each can also be given as the environment variable that it names):\n")
	for _, declared := range set.All() {
		fmt.Fprintf(&text, "  %s\n", usage(declared))
		for line := range strings.Lines(wordwrap.WrapString(description(declared), helpWidth-6)) {
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

// usage returns a flag with the placeholder for its value.
func usage(s *setting.Setting) string {
	if s.Switch || s.Value == "" {
		return "--" + s.Name
	}
	return "--" + s.Name + " " + s.Value
}

// description returns a setting's help sentence, followed by what its declaration implies: default, variable, required,
// repeatable.
func description(s *setting.Setting) string {
	var facts []string
	switch {
	case s.Required && len(s.Unless) > 0:
		facts = append(facts, "required without "+strings.Join(s.Unless, " or "))
	case s.Required:
		facts = append(facts, "required")
	}
	switch {
	case s.Many && s.Commas:
		facts = append(facts, "repeatable, or separated by commas; as an input, also one a line")
	case s.Many:
		facts = append(facts, "repeatable; as an input, one a line")
	}
	if s.Default != "" && !s.Switch {
		facts = append(facts, "default "+s.Default)
	}
	if s.Fallback != "" {
		facts = append(facts, "else "+s.Fallback)
	}
	if s.Former != "" {
		facts = append(facts, "formerly "+s.Former)
	}
	if !s.Local {
		facts = append(facts, "env "+variable(s.Name))
	}
	if len(facts) == 0 {
		return s.Help + "."
	}
	return s.Help + " (" + strings.Join(facts, "; ") + ")."
}
