package history

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Table returns the lines of a table for a terminal or a log: a line for each commit, after one for each environment.
func (r Result) Table() []string {
	var lines []string
	for _, is := range r.Running {
		lines = append(lines, fmt.Sprintf("%s: %s", is.Environment, is))
	}
	if len(r.Commits) == 0 {
		return append(lines, "no commit has an image")
	}
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	head := []string{"COMMIT", "CREATED", "DIGEST"}
	for _, environment := range r.Environments {
		head = append(head, strings.ToUpper(environment.String()))
	}
	fmt.Fprintln(table, strings.Join(head, "\t"))
	for _, entry := range r.Commits {
		row := []string{entry.Commit.Short(), formatTime(entry.Created), entry.Image.Digest.Short()}
		for _, cell := range entry.Cells {
			row = append(row, cell.Text())
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	_ = table.Flush() // a buffer
	for line := range strings.SplitSeq(strings.TrimRight(out.String(), "\n"), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	if r.LeftOut > 0 {
		lines = append(lines, fmt.Sprintf("%d older commits are left out; --limit lists more", r.LeftOut))
	}
	return lines
}

// formatTime formats a time to the minute, in UTC; "-" if it is unknown.
func formatTime(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format("2006-01-02 15:04")
}
