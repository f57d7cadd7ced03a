package github

import (
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	maxOutput = 1 << 20 // bytes in UTF-16: Actions limits, "Job outputs"
	// The runner drops the whole summary of a step above this size (actions/runner, CreateStepSummaryCommand).
	maxSummary = 1 << 20
	// summaryReserve stays free for the note of a cut and for what the step itself adds after us.
	summaryReserve = 4 << 10
)

const cutNote = "\n_The summary is cut here, for GitHub drops one above 1 MiB. The log has the rest._\n"

var outputName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// SetOutput sets an output of the step: workflow commands, "Setting an output parameter" and "Multiline strings".
//
// The value may hold anything, line ends included: it stands between two lines of a random delimiter, so that nothing in
// it can end it and begin another output. Bytes that are no UTF-8 become U+FFFD. A name with other characters than
// letters, digits, - and _, and a value above GitHub's limit, are errors. Where GITHUB_OUTPUT is not set the first
// call returns a *release.InputError and later ones nothing, for one missing file is one problem.
func (r *Runner) SetOutput(name, value string) error {
	if !r.On() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	value = strings.ToValidUTF8(value, string(utf8.RuneError))
	switch {
	case !outputName.MatchString(name):
		return fmt.Errorf("setting output %q: the name must be letters, digits, - and _, not starting with a digit or -", name)
	case 2*utf8.RuneCountInString(value) > maxOutput:
		return fmt.Errorf("setting output %q: the value is %d bytes long; GitHub's limit is 1 MB in UTF-16", name, len(value))
	case r.getenv("GITHUB_OUTPUT") == "":
		if r.toldOutput {
			return nil
		}
		r.toldOutput = true
		return release.BadInput("GITHUB_OUTPUT", "is not set, so no output can be given",
			"the runner sets it for each step; pass it on where a step starts another program or container")
	}
	delimiter := "onedigest-" + rand.Text()
	for strings.Contains(value, delimiter) {
		delimiter = "onedigest-" + rand.Text()
	}
	err := r.issueFile(&githubactions.Command{Name: "output",
		Message: name + "<<" + delimiter + "\n" + value + "\n" + delimiter})
	if err != nil {
		return release.NewFault("GitHub runner", "", err, "setting output %q", name)
	}
	return nil
}

// Summary appends Markdown to the step's summary: workflow commands, "Adding a job summary". Together with what the file
// holds already it stays below the 1 MiB above which GitHub drops all of it: what does not fit is cut at a line end, an
// open code block or <details> is closed, and a note says so.
func (r *Runner) Summary(markdown string) error {
	file := r.getenv("GITHUB_STEP_SUMMARY")
	if !r.On() || file == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	room := int64(maxSummary - summaryReserve)
	if info, err := os.Stat(file); err == nil {
		room -= info.Size()
	}
	markdown = cut(strings.ToValidUTF8(markdown, string(utf8.RuneError)), int(max(room, 0)))
	if markdown == "" {
		return nil
	}
	if err := r.issueFile(&githubactions.Command{Name: "step-summary", Message: markdown}); err != nil {
		return release.NewFault("GitHub runner", "", err, "writing the step summary to %q", file)
	}
	return nil
}

// cut keeps as many whole lines as fit into room bytes with the note and what must be closed; "" if not even the note fits.
func cut(markdown string, room int) string {
	if len(markdown) < room {
		return markdown
	}
	room -= len(cutNote) + 1
	for room > 0 {
		end := strings.LastIndexByte(markdown[:min(room, len(markdown))], '\n') + 1
		kept := markdown[:end]
		closing := closeBlocks(kept)
		if len(kept)+len(closing) <= room {
			return kept + closing + cutNote
		}
		room -= len(closing)
	}
	return ""
}

// fence begins or ends a code block: GitHub Flavored Markdown, section 4.5.
var fence = regexp.MustCompile("^ {0,3}(`{3,}|~{3,})(.*)$")

// closeBlocks is what ends the code block and the <details> that text leaves open.
func closeBlocks(text string) string {
	open, details := "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		match := fence.FindStringSubmatch(line)
		switch {
		case match != nil && open == "":
			open = match[1]
		case match != nil && strings.HasPrefix(match[1], open) && strings.TrimSpace(match[2]) == "":
			open = ""
		case open == "":
			details += strings.Count(line, "<details") - strings.Count(line, "</details")
		}
	}
	closing := ""
	if open != "" {
		closing = open + "\n"
	}
	for range min(details, 20) {
		closing += "\n</details>\n"
	}
	return closing
}
