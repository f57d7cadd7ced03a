package status

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// column is one column of the table.
type column struct {
	head string
	cell func(Row) string
}

// columns of the table; one that is empty in every row is left out.
var columns = []column{
	{"ENVIRONMENT", func(r Row) string { return r.Environment.String() }},
	{"CLUSTER", func(r Row) string { return r.Cluster }},
	{"SERVICE", func(r Row) string { return r.Service }},
	{"COMMIT", Row.CommitText},
	{"DIGEST", func(r Row) string { return r.Digest.Short() }},
	{"REVISION", Row.RevisionText},
	{"SINCE", Row.SinceText},
	{"BY", func(r Row) string { return r.By }},
	{"PINNED", func(r Row) string {
		if r.Pin == nil {
			return ""
		}
		return "at " + r.Pin.Commit.Short()
	}},
	{"VERIFIED", Row.VerifiedText},
	{"PROMOTED", Row.PromotedText},
	{"NEXT", Row.NextText},
}

// Table returns the lines of a table for a terminal or a log, and below it what the table has no room for.
func (r Result) Table() []string {
	if len(r.Releases) == 0 {
		return nil
	}
	var shown []column
	for _, column := range columns {
		if slices.ContainsFunc(r.Releases, func(row Row) bool { return column.cell(row) != "" }) {
			shown = append(shown, column)
		}
	}
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	row := func(cell func(column) string) {
		cells := make([]string, len(shown))
		for i, column := range shown {
			if cells[i] = oneLine(cell(column)); cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	row(func(c column) string { return c.head })
	for _, each := range r.Releases {
		row(func(c column) string { return c.cell(each) })
	}
	_ = table.Flush() // a buffer
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(out.String(), "\n"), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	for _, each := range r.Releases {
		for _, note := range each.Notes() {
			lines = append(lines, each.target.title()+": "+oneLine(note))
		}
	}
	return lines
}

// oneLine keeps a text in its cell.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// CommitText is the commit, or the state if nothing is live.
func (r Row) CommitText() string {
	switch {
	case r.State != StateLive:
		return string(r.State)
	case r.Commit == "":
		return "unknown"
	}
	return r.Commit.Short()
}

// SinceText is when the revision was made, to the minute in UTC.
func (r Row) SinceText() string { return formatTime(r.Since) }

// Title names the environment, with the cluster and the service of a matrix.
func (r Row) Title() string { return r.target.title() }

// RevisionText is the number of the revision, and its mark.
func (r Row) RevisionText() string {
	if r.Application != "" {
		return "argo-cd"
	}
	if r.Revision == 0 {
		return ""
	}
	mark := string(r.Mark)
	switch r.Mark {
	case "":
		mark = "not marked"
	case release.MarkRolledBack:
		mark = "rolled back"
	}
	return fmt.Sprintf("%d %s", r.Revision, mark)
}

// VerifiedText says whether smoke proved the image in the environment; "" if that is not known.
func (r Row) VerifiedText() string {
	switch v := r.Verified; {
	case v == nil:
		return ""
	case len(v.Against) > 0:
		return "rejected"
	case v.Problem != "":
		return "not readable"
	case v.Verdict == "":
		return "no"
	case v.Verdict != release.Pass:
		return string(v.Verdict)
	case v.By != "":
		return "yes, signed"
	}
	return "yes"
}

// PromotedText says whether the image was promoted to the environment; "" if it needs no promotion, or that is not known.
func (r Row) PromotedText() string {
	switch {
	case r.Promoted != nil && r.Promoted.Override != "":
		return "overridden"
	case r.Promoted != nil:
		return "yes"
	case r.guarded:
		return "no"
	}
	return ""
}

// NextText says to which environments the image may go.
func (r Row) NextText() string {
	var texts []string
	for _, next := range r.Next {
		texts = append(texts, next.text())
	}
	return strings.Join(texts, ", ")
}

func (n Next) text() string {
	switch {
	case n.Runs:
		return fmt.Sprintf("%s runs it", n.Environment)
	case n.Opens && n.Promoted:
		return fmt.Sprintf("promoted to %s", n.Environment)
	case n.Opens:
		return fmt.Sprintf("may go to %s", n.Environment)
	}
	return fmt.Sprintf("may not go to %s", n.Environment)
}

// Notes are the sentences about a row that the table has no room for.
func (r Row) Notes() (notes []string) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.Attempt != nil {
		note("revision %d, of commit %s, is %s since %s", r.Attempt.Revision, orUnknown(r.Attempt.Commit.Short()), r.Attempt.Status, formatTime(r.Attempt.At))
	}
	if r.Application != "" {
		note("Argo CD applies it, by the Application %q", r.Application)
	}
	if len(r.References) > 0 && r.Application == "" {
		note("another tool deployed it: %s", strings.Join(r.References, ", "))
	}
	if r.Pin != nil {
		note("is pinned at commit %s since %s%s; deploys of other commits are refused until --unpin", r.Pin.Commit.Short(), formatTime(r.Pin.At), by(r.Pin.By))
	}
	if r.Pods != nil {
		for _, differs := range r.Pods.Differs {
			note("warning: %s", differs)
		}
	}
	if r.Verified != nil {
		for _, against := range r.Verified.Against {
			note("the image is rejected: %s", against)
		}
		for _, failure := range r.Verified.Failures {
			note("%s", failure)
		}
		if r.Verified.Problem != "" {
			note("%s", r.Verified.Problem)
		}
	}
	if r.Promoted != nil && r.Promoted.Override != "" {
		note("a rule was overridden%s: %s", by(r.Promoted.By), r.Promoted.Override)
	}
	if r.Entry != nil && !r.Entry.Opens && r.Verified != nil {
		for _, line := range r.Entry.Missing() {
			note("the rules would not let it in now: %s", line.Found)
		}
	}
	for _, next := range r.Next {
		for _, missing := range next.Missing {
			if !next.Runs {
				note("may not go to %s: %s", next.Environment, missing)
			}
		}
	}
	for _, limit := range r.Limits {
		note("%s", limit)
	}
	return notes
}

// by names who did something, as the end of a clause.
func by(actor string) string {
	if actor == "" {
		return ""
	}
	return " by " + actor
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// formatTime formats a time to the minute, in UTC; "" if it is unknown.
func formatTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04")
}
