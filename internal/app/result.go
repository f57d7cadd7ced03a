package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// report publishes the result: outputs and a summary on GitHub, JSON on standard output if requested.
func (r *RunContext) report(about setting.Verb, outputs map[string]string, rows []Row, result any, failed error) error {
	var errs []error
	if r.json {
		errs = append(errs, writeJSON(r.Process.Stdout, result, failed))
	}
	if r.runner == nil {
		return errors.Join(errs...)
	}
	for _, output := range about.Outputs {
		if value := outputs[output.Name]; value != "" {
			errs = append(errs, r.runner.SetOutput(output.Name, value))
		}
	}
	return errors.Join(append(errs, r.runner.Summary(summaryOf(about.Name, rows, failed)))...)
}

// writeJSON writes the result as JSON; if the verb failed, together with the error and the exit code.
func writeJSON(w io.Writer, result any, failed error) error {
	if failed != nil {
		result = struct {
			Error  string `json:"error"`
			Exit   int    `json:"exit"`
			Result any    `json:"result"`
		}{failed.Error(), release.ExitCode(failed), result}
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	_, err = fmt.Fprintln(w, commandless.Replace(string(text)))
	return err
}

// commandless replaces the characters that begin a runner's command by JSON escapes. JSON has neither of them outside of strings.
var commandless = strings.NewReplacer("##[", `#\u0023[`, "::", `:\u003a`)

// summaryOf returns the step summary: a title, the error, and the rows as a table.
func summaryOf(verb string, rows []Row, failed error) string {
	var text strings.Builder
	word := "done"
	if failed != nil {
		word = "failed"
	}
	fmt.Fprintf(&text, "### %s: %s\n\n", verb, word)
	if failed != nil {
		for line := range strings.Lines(failed.Error()) {
			fmt.Fprintf(&text, "> %s\n", github.EscapeMarkdown(strings.TrimRight(line, "\n")))
		}
		text.WriteString("\n")
	}
	text.WriteString("| | |\n|---|---|\n")
	for _, row := range rows {
		if name, value := row[0], row[1]; value != "" {
			fmt.Fprintf(&text, "| %s | %s |\n", github.EscapeMarkdown(name), github.EscapeMarkdown(value))
		}
	}
	text.WriteString("\n")
	return text.String()
}

// fail prints an error, each problem on a line of its own, and returns the exit code.
func (r *RunContext) fail(err error) int {
	code := release.ExitCode(err)
	kind := map[int]string{release.ExitFailed: "failed", release.ExitInput: "bad input", release.ExitFault: "fault"}[code]
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		fmt.Fprintf(r.Process.Stderr, "%s: %s: %s\n", r.verb, paint(useColor(r.Process.Stderr, r.Process.Getenv), kind), text.Lines(line, text.NoLimit))
		if r.runner != nil {
			r.runner.Error(github.Annotation{Title: r.verb + ": " + kind, Message: line})
		}
	}
	return code
}
