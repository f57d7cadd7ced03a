package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/spf13/pflag"
)

// declarer is a verb's settings.
type declarer interface{ Declare() *setting.Set }

// verb is what entry knows of a verb: S are its settings, R is its result.
type verb[S declarer, R any] struct {
	about    setting.Verb
	settings S
	run      func(ctx context.Context, settings S, desk *desk) (R, error)
	outputs  func(R) map[string]string
	summary  func(R) []row
}

// row is one line of a step summary's table.
type row struct{ Name, Value string }

// perform is the life of every verb: settings, run, result, exit code.
func perform[S declarer, R any](ctx context.Context, process Process, v verb[S, R]) int {
	set, output := declare(v.settings)
	err := set.Parse(process.Args, process.Environ)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(process.Stdout, set.Help(v.about))
		return release.ExitDone
	}
	desk := newDesk(process, v.about.Name, *output == "json")
	if err != nil {
		return desk.fail(errors.Join(err, desk.report(v.about, nil, nil, nil, err)))
	}
	result, err := v.run(ctx, v.settings, desk)
	err = errors.Join(err, desk.report(v.about, v.outputs(result), v.summary(result), result, err))
	if err != nil {
		return desk.fail(err)
	}
	return release.ExitDone
}

// declare adds the settings that every verb has.
func declare(settings declarer) (*setting.Set, *string) {
	set, output := settings.Declare(), new(string)
	setting.Var(set, output, setting.Setting{Name: "output", Default: "text", Value: "text|json", Local: true,
		Help: "How to print the result; json goes to standard output and the account to standard error"}, setting.OneOf("text", "json"))
	return set, output
}

// desk is where a verb's words go: the account, the outputs, the summary and the errors.
type desk struct {
	process Process
	verb    string
	json    bool
	runner  *github.Runner // nil when not on GitHub
	account *account
}

func newDesk(process Process, verb string, asJSON bool) *desk {
	out := process.Stdout
	if asJSON {
		out = process.Stderr
	}
	d := &desk{process: process, verb: verb, json: asJSON}
	if github.On(process.Getenv) {
		d.runner = github.New(github.Options{Getenv: process.Getenv, Stdout: out})
	}
	d.account = newAccount(out, process.Now, d.runner)
	return d
}

// runURL and actor say who does this, "" when nobody can tell.
func (d *desk) runURL() string {
	if d.runner == nil {
		return ""
	}
	return d.runner.RunURL()
}

func (d *desk) actor() string {
	if d.runner == nil {
		return d.process.Getenv("USER")
	}
	return d.runner.Actor()
}

// report leaves the result where it is looked for: outputs and a summary on GitHub, JSON when asked for.
func (d *desk) report(about setting.Verb, outputs map[string]string, rows []row, result any, failed error) error {
	var errs []error
	if d.json {
		errs = append(errs, writeJSON(d.process.Stdout, result, failed))
	}
	if d.runner == nil {
		return errors.Join(errs...)
	}
	for _, output := range about.Outputs {
		if value := outputs[output.Name]; value != "" {
			errs = append(errs, d.runner.SetOutput(output.Name, value))
		}
	}
	return errors.Join(append(errs, d.runner.Summary(summaryOf(about.Name, rows, failed)))...)
}

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

// commandless writes what begins a runner's command as JSON's escapes. Outside of strings, JSON has neither.
var commandless = strings.NewReplacer("##[", `#\u0023[`, "::", `:\u003a`)

func summaryOf(verb string, rows []row, failed error) string {
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
		if row.Value != "" {
			fmt.Fprintf(&text, "| %s | %s |\n", github.EscapeMarkdown(row.Name), github.EscapeMarkdown(row.Value))
		}
	}
	text.WriteString("\n")
	return text.String()
}

// fail tells an error, each problem on a line of its own, and gives the exit code.
func (d *desk) fail(err error) int {
	code := release.ExitCode(err)
	kind := map[int]string{release.ExitFailed: "failed", release.ExitInput: "bad input", release.ExitFault: "fault"}[code]
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		fmt.Fprintf(d.process.Stderr, "%s: %s: %s\n", d.verb, kind, text.Lines(line, text.NoLimit))
		if d.runner != nil {
			d.runner.Error(github.Annotation{Title: d.verb + ": " + kind, Message: line})
		}
	}
	return code
}
