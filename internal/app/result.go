package app

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// report publishes the result: outputs and a page on GitHub, JSON on standard output if requested.
func (r *RunContext) report(about setting.Verb, outputs map[string]string, shown page.Page, result any, failed error) error {
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
	if shown.Hidden && failed == nil {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, r.runner.Summary(r.pageWriter().Markdown(shown, maxSummary)))...)
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

// maxSummary bounds the page of a step, in bytes: less than GitHub's limit, so that other pages of the step have room.
const maxSummary = 900 << 10

// troubleshooting is where the codes of causes are explained: in the release that runs, if it is one.
func (p Process) troubleshooting() string {
	return "https://github.com/onedigest/onedigest/blob/" + cmp.Or(p.Release, "main") + "/docs/troubleshooting.md"
}

func (r *RunContext) pageWriter() page.Writer {
	return page.Writer{Redact: r.Secrets.Clean, Repository: r.runner.RepositoryURL(), Docs: r.Process.troubleshooting()}
}

// complete adds to a page what every run has: how it ended, why, how long it took, and the run.
func (r *RunContext) complete(shown page.Page, failed error, stopped bool) page.Page {
	status, verdict := statusOf(failed, stopped)
	if shown.Status == "" || failed != nil {
		shown.Status = status
	}
	if shown.Headline.IsEmpty() {
		shown.Headline = page.Text{page.Words("%s: %s", r.verb, verdict)}
	}
	if failed != nil {
		shown = withError(shown, failed)
	}
	shown.Facts = append(slices.Clip(shown.Facts), page.Fact{Name: "took", Value: page.Text{page.Words("%s", page.FormatDuration(r.Process.Now().Sub(r.began)))}})
	if url := r.RunURL(); url != "" {
		by := page.Text{page.Run(url)}
		if actor := r.Actor(); actor != "" {
			by = append(by, page.Words("by"), page.Code(actor))
		}
		shown.Facts = append(shown.Facts, page.Fact{Name: "run", Value: by})
	}
	return shown
}

// statusOf returns how a run ended, and the words for it.
func statusOf(failed error, stopped bool) (status page.Status, verdict string) {
	switch {
	case failed == nil:
		return page.Done, "done"
	case stopped:
		return page.Stopped, "stopped"
	case errors.As(failed, new(*release.JobsError)) && release.ExitCode(failed) == release.ExitFailed: // some jobs may have succeeded
		return page.Failed, "failed"
	case errors.As(failed, new(*release.Refusal)) && release.ExitCode(failed) == release.ExitFailed:
		return page.Refused, "refused"
	}
	switch release.ExitCode(failed) {
	case release.ExitInput:
		return page.Warning, "bad input, nothing was changed"
	case release.ExitFault:
		return page.Warning, "could not be completed"
	}
	return page.Failed, "failed"
}

// maxReasons is how many lines of an error are shown as sentences.
const maxReasons = 20

// withError adds an error to a page: as its reason, or folded if the page has a better one.
func withError(shown page.Page, failed error) page.Page {
	message := failed.Error()
	if len(shown.Reason) > 0 {
		shown.Sections = append(slices.Clip(shown.Sections), page.Section{Title: page.Text{page.Words("The whole error")}, Folded: true, Block: message})
		return shown
	}
	lines := strings.Split(strings.Trim(message, "\n"), "\n")
	for _, line := range lines[:min(len(lines), maxReasons)] {
		shown.Reason = append(shown.Reason, page.Explained(strings.TrimPrefix(line, "refused: ")))
	}
	if len(lines) > maxReasons {
		shown.Sections = append(slices.Clip(shown.Sections), page.Section{Title: page.Text{page.Words("The whole error, of %d lines", len(lines))}, Folded: true, Block: message})
	}
	return shown
}

// fail prints an error, each problem on a line of its own, and returns the exit code.
func (r *RunContext) fail(err error) int {
	code := release.ExitCode(err)
	kind := map[int]printable{release.ExitFailed: "failed", release.ExitInput: "bad input", release.ExitFault: "fault"}[code]
	lastLine := lastLineOf(err, r.Secrets.Redact)
	for line := range strings.Lines(r.Secrets.Redact(err.Error())) { // as a whole, since a secret may have several lines
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		stderr := r.sink.stderr
		stderr.println(printable(r.verb) + ": " + paint(useColor(stderr, r.Process.Getenv), kind) + ": " + stderr.clean(line))
		if r.runner != nil {
			file, number := r.fileOf(line)
			r.runner.Error(github.Annotation{Title: r.verb + ": " + string(kind), File: file, Line: number, Message: lastLine(line)})
		}
	}
	return code
}

// fileLine is how a problem begins that is in a line of a file.
var fileLine = regexp.MustCompile(`^([^\s:"][^:"]*):([1-9][0-9]{0,6}): `)

// fileOf returns the file of the work tree, and the line, that an error's line begins with; "" if it begins with none.
func (r *RunContext) fileOf(line string) (file string, number int) {
	found := fileLine.FindStringSubmatch(line)
	if found == nil {
		return "", 0
	}
	info, err := os.Stat(filepath.Join(r.Workspace().Root(), found[1]))
	if err != nil || !info.Mode().IsRegular() || !filepath.IsLocal(found[1]) {
		return "", 0
	}
	number, _ = strconv.Atoi(found[2]) // digits
	return found[1], number
}

// lastLineOf returns what puts the last line of the container that failed in the place of the advice to read it. Other lines of an error stay as
// they are. A log is redacted as a whole, since a secret may have several lines.
func lastLineOf(err error, redact func(string) string) func(string) string {
	type advised struct{ message, advice, last string }
	var all []advised
	for _, diagnosed := range diagnosedIn(err) {
		found := diagnosed.Diagnosis()
		last := cmp.Or(lastOf(redact(strings.Join(found.Logs, "\n"))), lastOf(redact(strings.Join(found.Previous, "\n"))))
		if found.Advice != "" && last != "" {
			all = append(all, advised{redact(diagnosed.Error()), "; " + found.Advice, last})
		}
	}
	return func(line string) string {
		for _, one := range all {
			if cause, found := strings.CutSuffix(line, one.advice); found && strings.Contains(line, one.message) {
				return cause + "; " + one.last
			}
		}
		return line
	}
}

// diagnosedIn lists the errors in a tree of errors that explain why a rollout failed.
func diagnosedIn(err error) (found []release.Diagnosed) {
	if diagnosed, ok := err.(release.Diagnosed); ok { //nolint:errorlint // the tree is walked below
		return []release.Diagnosed{diagnosed}
	}
	switch wrapping := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		return diagnosedIn(wrapping.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range wrapping.Unwrap() {
			found = append(found, diagnosedIn(one)...)
		}
	}
	return found
}

// lastOf says what a log ends with, "" if it is blank: its last line that is not, or else the line of Go's runtime above the stacks that it ends with.
func lastOf(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return "it wrote: " + line
		}
	}
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return "its last line: " + last
	}
	return ""
}

// JSONOf returns a value as JSON for an output, "" if it is an empty list or map.
func JSONOf(value any) string {
	text, err := json.Marshal(value)
	if err != nil || string(text) == "null" || string(text) == "[]" || string(text) == "{}" {
		return ""
	}
	return string(text)
}
