package github

import (
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	// The runner drops the whole summary of a step above this size (actions/runner, CreateStepSummaryCommand).
	maxSummary = 1 << 20
	// summaryReserve stays free for the note that a summary is cut and for what the step itself adds later.
	summaryReserve = 4 << 10
)

const cutNote = "\n_The summary is cut here, since GitHub drops one above 1 MiB. The log has the rest._\n"

// Summary appends Markdown to the step's summary: workflow commands, "Adding a job summary". GitHub drops a summary above
// 1 MiB, so what does not fit beside the file's present content is cut at a line end, an open code block or <details> is
// closed, and a note says so.
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
	markdown = truncateMarkdown(strings.ToValidUTF8(r.secrets.Redact(markdown), string(utf8.RuneError)), int(max(room, 0)))
	if markdown == "" {
		return nil
	}
	if err := r.issueFile(&githubactions.Command{Name: "step-summary", Message: markdown}); err != nil {
		return release.NewFault("GitHub runner", "", err, "writing the step summary to %q", file)
	}
	return nil
}

// truncateMarkdown keeps as many whole lines as fit into room bytes together with the note and the ends of open blocks; ""
// if not even the note fits.
func truncateMarkdown(markdown string, room int) string {
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

// closeBlocks returns the text that ends the code block and the <details> that markdown leaves open.
func closeBlocks(markdown string) string {
	open, details := "", 0
	for line := range strings.Lines(markdown) {
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
