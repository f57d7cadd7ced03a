package history

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Table returns the lines of a table for a terminal or a log: a line for each commit, after one for each environment.
func (r Result) Table() []string {
	var lines []string
	for _, is := range r.Running {
		lines = append(lines, fmt.Sprintf("%s: %s", is.Environment, is))
	}
	if len(r.Commits) > 0 && len(r.Running) > 0 && !slices.ContainsFunc(r.Running, func(is Running) bool { return is.Commit != "" }) {
		lines = append(lines, "deploy records what it deploys only with --sign-key; onedigest status asks the cluster")
	}
	if len(r.Commits) == 0 {
		return append(lines, "no tag names the image of a commit (SHA or ENVIRONMENT-SHA)")
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
	for _, entry := range r.Commits {
		for _, cell := range entry.Cells {
			for _, line := range cell.Differing() {
				lines = append(lines, fmt.Sprintf("%s in %s: %s", entry.Commit.Short(), cell.Environment, line))
			}
		}
	}
	lines = append(lines, r.shared()...)
	if r.LeftOut > 0 {
		lines = append(lines, fmt.Sprintf("%d older commits are left out; --limit lists more", r.LeftOut))
	}
	return lines
}

// shared returns a line for each image that several of the listed commits have: a commit that changes nothing of the image gets that of an earlier one.
func (r Result) shared() (lines []string) {
	commits := map[release.Digest]int{}
	for _, entry := range r.Commits {
		commits[entry.Image.Digest]++
	}
	for _, entry := range r.Commits {
		if n := commits[entry.Image.Digest]; n > 1 {
			lines = append(lines, fmt.Sprintf("%d commits have the image %s: their rows tell of the image, not of the chart and the values of each", n, entry.Image.Digest.Short()))
			commits[entry.Image.Digest] = 0
		}
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
