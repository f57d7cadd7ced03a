// Package page is what a verb shows of its run on GitHub, as values: a headline, an address to click, a table of facts, and sections. It is written as
// Markdown for a job's summary and for a comment of a pull request.
package page

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// Status says how a run ended. Its value is the emoji that begins the page.
type Status string

// The statuses.
const (
	Done    Status = "✅" // what was asked for is so
	Planned Status = "📋" // a dry run
	Refused Status = "⛔" // a rule says no
	Failed  Status = "❌"
	Warning Status = "⚠️" // bad input, and what could not be determined
	Stopped Status = "🛑"  // by a cancellation, or because time was up
)

// Page is one run of a verb.
type Page struct {
	// Hidden says that a run that succeeds shows nothing: it did nothing that the pages before it do not say.
	Hidden   bool
	Status   Status
	Headline Text   // one sentence
	Reason   []Text // why, if that is not what was asked for
	URL      string // address of the service, "" if there is none
	Facts    []Fact
	Sections []Section
}

// Text is a line: parts one after the other.
type Text []Part

// Part is a piece of a line. Every value may come from outside.
type Part struct {
	kind  partKind
	value string
	code  causes.Code
}

type partKind int

const (
	wordsPart partKind = iota // a sentence
	codePart                  // a name, a digest, a command
	linkPart                  // a URL
	commitPart
	runPart   // the run itself
	causePart // a code of docs/troubleshooting.md
	iconPart  // the emoji of a status
)

// Words is a sentence, or a piece of one.
func Words(format string, args ...any) Part {
	return Part{kind: wordsPart, value: fmt.Sprintf(format, args...)}
}

// Code is a name, a digest, or anything that is shown as it is.
func Code(value string) Part { return Part{kind: codePart, value: value} }

// Link is a URL; that of a web page is rendered as a link.
func Link(url string) Part { return Part{kind: linkPart, value: url} }

// Commit is a commit, with a link to it; "" shows nothing.
func Commit(c release.Commit) Part { return Part{kind: commitPart, value: c.String()} }

// Digest is a shortened digest.
func Digest(d release.Digest) Part { return Part{kind: codePart, value: d.Short()} }

// Run is the run itself, with a link to it.
func Run(url string) Part { return Part{kind: runPart, value: url} }

// Cause is a code, with a link to what docs/troubleshooting.md says of it.
func Cause(c causes.Code) Part { return Part{kind: causePart, code: c} }

// Icon is the emoji of a status, such as ✅.
func Icon(s Status) Part { return Part{kind: iconPart, value: string(s)} }

// IsEmpty reports whether a line shows nothing.
func (t Text) IsEmpty() bool {
	for _, part := range t {
		if part.value != "" || part.code != "" {
			return false
		}
	}
	return true
}

// Fact is a row of the table. One whose value is empty is left out.
type Fact struct {
	Name  string
	Value Text
}

// Section is a part of the page below the facts.
type Section struct {
	Title  Text
	Folded bool // shown only when its title is clicked
	Above  bool // above the facts: it says more than they do
	Lines  []Text
	Table  Table
	Block  string // text of several lines, such as a log
	Syntax string // of the block, "" for none
	// Tail says that the end of a block that is too long is what matters, not its beginning.
	Tail bool
	// Verbatim says that the block is run by who reads it: the section is left out if the block cannot be shown as it is.
	Verbatim bool
	Diagram  []Stage
}

// isEmpty reports whether a section has nothing to show.
func (s Section) isEmpty() bool {
	return len(s.Lines) == 0 && len(s.Table.Rows) == 0 && s.Block == "" && len(s.Diagram) == 0
}

// Table is a table with a head, whose words are the program's own.
type Table struct {
	Head []string
	Rows [][]Text
}

// Stage is a box of the diagram of a commit's way: what happened there and what it has.
type Stage struct {
	Name   string
	Lines  []string // such as a short digest; letters, digits and a few signs are shown
	Status Status   // "" if the commit did not come so far
}

// FormatDuration formats a duration for people, such as "2.4 s", "41 s" and "3 min 4 s".
func FormatDuration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// Line makes a line of sentences (string), parts (Part) and lists of parts (Text).
func Line(pieces ...any) (line Text) {
	for _, piece := range pieces {
		switch piece := piece.(type) {
		case string:
			line = append(line, Words("%s", piece))
		case Part:
			line = append(line, piece)
		case Text:
			line = append(line, piece...)
		}
	}
	return line
}

// Count says how many there are of something whose plural ends in s.
func Count(n int, what string) string { return release.Count(n, what) }
