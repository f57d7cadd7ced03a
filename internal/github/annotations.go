package github

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sethvargo/go-githubactions"
)

const (
	maxAnnotations = 10   // of a kind that GitHub keeps per step
	maxMessage     = 4096 // characters: actions/runner, ExecutionContext, _maxIssueMessageLength
	maxTitle       = 255  // characters: REST API, check runs, annotations
)

// Annotation is a message that GitHub shows beside a file or on the run's page. Only Message is needed.
type Annotation struct {
	Title   string
	File    string // relative to the work tree
	Line    int    // from 1; 0: the file as a whole
	Column  int    // from 1
	Message string
}

// Warning annotates the run: workflow commands, "Setting a warning message". Texts may come from outside: they are
// sanitized, escaped, and cut to what GitHub keeps. From the eleventh warning on, which GitHub would drop, the message is
// printed as a plain line.
func (r *Runner) Warning(a Annotation) { r.annotate("warning", a) }

// Error annotates the run as Warning does: workflow commands, "Setting an error message". It does not fail the step.
func (r *Runner) Error(a Annotation) { r.annotate("error", a) }

// annotate prints an annotation, or a plain line if GitHub would drop it.
func (r *Runner) annotate(kind string, a Annotation) {
	if !r.On() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	message, title := truncate(r.lines(a.Message), maxMessage), truncate(r.line(a.Title), maxTitle)
	if r.annotated[kind]++; r.annotated[kind] > maxAnnotations {
		if title != "" {
			title += ": "
		}
		_, _ = fmt.Fprintln(r.stdout, r.lines(kind+": "+title+message))
		return
	}
	properties := githubactions.CommandProperties{}
	for name, value := range map[string]string{"title": title, "file": r.line(a.File), "line": number(a.Line), "col": number(a.Column)} {
		if value != "" {
			properties[name] = value
		}
	}
	r.issue(&githubactions.Command{Name: kind, Message: message, Properties: properties})
}

// number formats a line or column number; "" if it is not known.
func number(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Group folds the lines up to EndGroup under a title: workflow commands, "Grouping log lines". Groups do not nest.
func (r *Runner) Group(title string) {
	title = r.line(title)
	if !r.On() {
		_, _ = fmt.Fprintln(r.stdout, title)
		return
	}
	r.issue(&githubactions.Command{Name: "group", Message: title})
}

// EndGroup ends the group.
func (r *Runner) EndGroup() {
	if r.On() {
		r.issue(&githubactions.Command{Name: "endgroup"})
	}
}

// Mask makes the runner show *** instead of value from now on: workflow commands, "Masking a value in a log". An output
// that contains a masked value does not reach other jobs. Off GitHub nothing is printed, since the command itself contains
// the value.
func (r *Runner) Mask(value string) {
	if !r.On() || strings.TrimSpace(value) == "" {
		return
	}
	r.issue(&githubactions.Command{Name: "add-mask", Message: value})
}

// truncate shortens s to at most limit characters: GitHub counts characters, not bytes.
func truncate(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit-1]) + "…"
}
