package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// report publishes the result: outputs and a summary on GitHub, JSON on standard output if requested.
func (r *RunContext) report(about setting.Verb, outputs map[string]string, rows []Row, result any, failed error) error {
	var errs []error
	if r.json {
		errs = append(errs, r.sink.stdout.printJSON(resultOf(result, failed)))
	}
	if r.runner == nil {
		return errors.Join(errs...)
	}
	for _, output := range about.Outputs {
		if value := outputs[output.Name]; value != "" {
			errs = append(errs, r.runner.SetOutput(output.Name, value))
		}
	}
	return errors.Join(append(errs, r.runner.Summary(summaryOf(about.Name, rows, failed, r.Secrets.Redact)))...)
}

// resultOf returns the value to print as JSON: the result, or after an error an object of the error, the exit code and the result.
func resultOf(result any, failed error) any {
	if failed == nil {
		return result
	}
	return struct {
		Error  string `json:"error"`
		Exit   int    `json:"exit"`
		Result any    `json:"result"`
	}{failed.Error(), release.ExitCode(failed), result}
}

// summaryOf returns the step summary. What it shows is redacted before it is escaped: escapes would divide a secret.
func summaryOf(verb string, rows []Row, failed error, redact func(string) string) string {
	var text strings.Builder
	word := "done"
	if failed != nil {
		word = "failed"
	}
	fmt.Fprintf(&text, "### %s: %s\n\n", verb, word)
	if failed != nil {
		for line := range strings.Lines(redact(failed.Error())) {
			fmt.Fprintf(&text, "> %s\n", github.EscapeMarkdown(strings.TrimRight(line, "\n")))
		}
		text.WriteString("\n")
	}
	head := "| | |\n|---|---|\n"
	for _, row := range rows {
		if name, value := row[0], row[1]; value != "" {
			text.WriteString(head)
			head = ""
			fmt.Fprintf(&text, "| %s | %s |\n", github.EscapeMarkdown(redact(name)), github.EscapeMarkdown(redact(value)))
		}
	}
	text.WriteString("\n")
	return text.String()
}

// fail prints an error, each problem on a line of its own, and returns the exit code.
func (r *RunContext) fail(err error) int {
	code := release.ExitCode(err)
	kind := map[int]printable{release.ExitFailed: "failed", release.ExitInput: "bad input", release.ExitFault: "fault"}[code]
	for line := range strings.Lines(r.Secrets.Redact(err.Error())) { // as a whole, since a secret may have several lines
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		stderr := r.sink.stderr
		stderr.println(printable(r.verb) + ": " + paint(useColor(stderr, r.Process.Getenv), kind) + ": " + stderr.clean(line))
		if r.runner != nil {
			r.runner.Error(github.Annotation{Title: r.verb + ": " + string(kind), Message: line})
		}
	}
	return code
}

// JSONOf returns a value as JSON for an output, "" if it is an empty list or map.
func JSONOf(value any) string {
	text, err := json.Marshal(value)
	if err != nil || string(text) == "null" || string(text) == "[]" || string(text) == "{}" {
		return ""
	}
	return string(text)
}
