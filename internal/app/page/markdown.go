package page

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onedigest/onedigest/internal/github/markdown"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Limits of a page. A list or a log that is longer is cut, and says so.
const (
	maxBlock = 32 << 10 // bytes
	maxRows  = 200
	maxLine  = 4 << 10 // bytes of a part
)

// Writer writes pages as Markdown.
type Writer struct {
	Redact     func(string) string
	Repository string // address of the repository, to which commits are linked; "" if unknown
	Docs       string // address of docs/troubleshooting.md
}

// Markdown returns a page of at most limit bytes. Sections that do not fit are left out, the last ones first, and the page says so. What it
// shows is redacted before it is written as Markdown, which would divide a secret.
func (w Writer) Markdown(p Page, limit int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s %s\n\n", p.Status, w.line(capitalized(p.Headline)))
	var reason []string
	for _, line := range p.Reason {
		if !line.IsEmpty() {
			reason = append(reason, "> "+w.line(line)+"\n")
		}
	}
	if len(reason) > 0 {
		b.WriteString(strings.Join(reason, ">\n") + "\n")
	}
	if p.URL != "" {
		fmt.Fprintf(&b, "**%s**\n\n", markdown.Address(w.Redact(p.URL)))
	}
	above := slices.DeleteFunc(slices.Clone(p.Sections), func(s Section) bool { return !s.Above })
	below := slices.DeleteFunc(slices.Clone(p.Sections), func(s Section) bool { return s.Above })
	facts := w.facts(p.Facts)
	left := w.sections(&b, above, limit-len(facts)-len(leftOut(len(p.Sections))))
	b.WriteString(facts)
	if left == 0 {
		left = w.sections(&b, below, limit-len(leftOut(len(p.Sections))))
	} else {
		left += len(below)
	}
	if left > 0 {
		b.WriteString(leftOut(left))
	}
	return b.String()
}

// capitalized is a sentence that begins with a capital letter, if it begins with a word.
func capitalized(line Text) Text {
	if len(line) == 0 || line[0].kind != wordsPart || line[0].value == "" {
		return line
	}
	first := line[0]
	r, size := utf8.DecodeRuneInString(first.value)
	first.value = string(unicode.ToUpper(r)) + first.value[size:]
	return append(Text{first}, line[1:]...)
}

// facts writes the table of facts. Its head is the first of them: a head without words would be an empty row.
func (w Writer) facts(facts []Fact) string {
	var b strings.Builder
	for _, fact := range facts {
		if fact.Value.IsEmpty() {
			continue
		}
		first := b.Len() == 0
		fmt.Fprintf(&b, "| %s | %s |\n", markdown.Words(w.Redact(fact.Name)), w.line(fact.Value))
		if first {
			b.WriteString("|:--|:--|\n")
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// sections writes sections up to the first that does not fit, and returns how many are left.
func (w Writer) sections(b *strings.Builder, sections []Section, limit int) (left int) {
	for i, section := range sections {
		written := w.section(section)
		if b.Len()+len(written) > limit {
			return len(sections) - i
		}
		b.WriteString(written)
	}
	return 0
}

func leftOut(sections int) string {
	return fmt.Sprintf("_%d sections are left out, since GitHub drops a page that is too long. The log has them._\n\n", sections)
}

// line writes a line.
func (w Writer) line(line Text) string { return w.parts(line, markdown.Words, markdown.Code) }

func (w Writer) parts(line Text, words, code func(string) string) string {
	var b strings.Builder
	for _, part := range line {
		written := w.part(part, words, code)
		if written == "" {
			continue
		}
		if b.Len() > 0 && !(part.kind == wordsPart && strings.ContainsAny(part.value[:1], ",.;:)")) {
			b.WriteString(" ")
		}
		b.WriteString(written)
	}
	return b.String()
}

func (w Writer) part(part Part, words, code func(string) string) string {
	value := w.Redact(part.value)
	value = text.Truncate(value, maxLine)
	switch part.kind {
	case iconPart:
		return part.value
	case wordsPart:
		return words(value)
	case linkPart:
		return markdown.Address(value)
	case commitPart:
		if value == "" {
			return ""
		}
		short := code(release.Commit(value).Short())
		if w.Repository == "" {
			return short
		}
		return markdown.Link(short, w.Repository+"/commit/"+value)
	case runPart:
		if value == "" {
			return ""
		}
		_, id, _ := strings.Cut(value, "/runs/")
		return markdown.Link(markdown.Words(strings.TrimSpace("run "+strings.ReplaceAll(id, "/attempts/", " attempt "))), value)
	case causePart:
		if part.code == "" {
			return ""
		}
		return markdown.Link(string(part.code), w.Docs+"#"+part.code.Cause().Anchor())
	}
	return code(value)
}

// section writes a section; "" if it is empty, or a secret is in what must be whole.
func (w Writer) section(s Section) string {
	if s.isEmpty() || s.Verbatim && w.Redact(s.Block) != s.Block {
		return ""
	}
	var b strings.Builder
	switch {
	case s.Folded: // HTML in which Markdown is not read, up to the blank line
		fmt.Fprintf(&b, "<details><summary>%s</summary>\n\n", w.parts(s.Title, markdown.HTMLWords, markdown.HTMLCode))
	case !s.Title.IsEmpty():
		fmt.Fprintf(&b, "### %s\n\n", w.line(s.Title))
	}
	for _, line := range s.Lines {
		b.WriteString(w.line(line) + "\n\n")
	}
	b.WriteString(w.table(s.Table))
	if block, cut := clip(w.Redact(s.Block), s.Tail); block != "" {
		b.WriteString(strings.TrimPrefix(markdown.Block(block, syntaxOf(s.Syntax)), "\n") + "\n")
		if cut {
			b.WriteString("_This is cut; the log has the rest._\n\n")
		}
	}
	b.WriteString(w.diagram(s.Diagram))
	if s.Folded {
		b.WriteString("</details>\n\n")
	}
	return b.String()
}

func syntaxOf(syntax string) string {
	if syntax == "" {
		return "text"
	}
	return syntax
}

// clip shortens a text to whole lines of at most maxBlock bytes: its beginning, or its end.
func clip(block string, tail bool) (clipped string, cut bool) {
	if len(block) <= maxBlock {
		return block, false
	}
	if tail {
		block = block[len(block)-maxBlock:]
		for len(block) > 0 && !utf8.RuneStart(block[0]) {
			block = block[1:]
		}
		if _, rest, found := strings.Cut(block, "\n"); found {
			return rest, true
		}
		return block, true
	}
	block = block[:maxBlock]
	if end := strings.LastIndexByte(block, '\n'); end > 0 {
		return block[:end], true
	}
	return strings.ToValidUTF8(block, ""), true
}

func (w Writer) table(t Table) string {
	if len(t.Rows) == 0 {
		return ""
	}
	var b strings.Builder
	for _, name := range t.Head {
		fmt.Fprintf(&b, "| %s ", name)
	}
	b.WriteString("|\n" + strings.Repeat("|:--", len(t.Head)) + "|\n")
	for i, row := range t.Rows {
		if i == maxRows {
			fmt.Fprintf(&b, "\n_%d more rows are in the log._\n", len(t.Rows)-maxRows)
			break
		}
		for _, cell := range row {
			fmt.Fprintf(&b, "| %s ", w.line(cell))
		}
		b.WriteString("|\n")
	}
	return b.String() + "\n"
}

// diagram draws stages from left to right as Mermaid, a language that GitHub shows as a picture.
func (w Writer) diagram(stages []Stage) string {
	if len(stages) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("```mermaid\nflowchart LR\n")
	for i, stage := range stages {
		label := mermaidText(w.Redact(stage.Name))
		if stage.Status != "" {
			label = string(stage.Status) + " " + label
		}
		for _, line := range stage.Lines {
			if line = mermaidText(w.Redact(line)); line != "" {
				label += "<br>" + line
			}
		}
		fmt.Fprintf(&b, "  s%d[\"%s\"]\n", i, label)
	}
	for i := range stages[1:] {
		arrow := "-->"
		if stages[i+1].Status == "" {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "  s%d %s s%d\n", i, arrow, i+1)
	}
	b.WriteString("```\n\n")
	return b.String()
}

// mermaidText keeps of a text what is only text in a quoted label of Mermaid.
func mermaidText(untrusted string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" .,-_/:", r):
			return r
		}
		return '_'
	}, untrusted)
}
