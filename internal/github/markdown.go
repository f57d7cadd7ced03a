package github

import (
	"strings"

	"github.com/onedigest/onedigest/internal/text"
)

// EscapeMarkdown escapes s so that GitHub Flavored Markdown shows it unchanged inside a line or a table cell: nothing in it
// becomes HTML, emphasis, a link, an image, code, a table, a heading or a list (spec, sections 2.4 "Backslash escapes" and 6.9
// "Autolinks"). It sanitizes s first; a line end becomes <br>.
func EscapeMarkdown(s string) string {
	s = text.Lines(s, text.NoLimit)
	var b strings.Builder
	b.Grow(len(s) + len(s)/8)
	for i := range len(s) {
		c := s[i]
		switch {
		case escapes[c] != "":
			b.WriteString(escapes[c])
		case c == ':' && strings.HasPrefix(s[i+1:], "/"): // https://… links itself
			b.WriteString("&#58;")
		case c == '.' && (startsList(s[:i]) || startsWWWLink(s[:i])),
			c == ')' && startsList(s[:i]),
			strings.IndexByte("#+-=", c) >= 0 && atLineStart(s[:i]):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var escapes = map[byte]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '\n': "<br>", '\t': " ", '\\': `\\`, '`': "\\`", '*': `\*`,
	'_': `\_`, '[': `\[`, ']': `\]`, '|': `\|`, '~': `\~`, '$': `\$`, '!': `\!`, '@': "&#64;"}

// atLineStart reports whether only blanks precede, where a heading or a list item could begin.
func atLineStart(before string) bool { return len(before) < 10 && strings.TrimSpace(before) == "" }

// startsList reports whether a number precedes that would begin a list with the next character.
func startsList(before string) bool {
	number := strings.TrimSpace(before)
	return len(before) < 20 && number != "" && strings.Trim(number, "0123456789") == ""
}

// startsWWWLink reports whether the next dot would make a link of "www".
func startsWWWLink(before string) bool {
	return len(before) >= 3 && strings.EqualFold(before[len(before)-3:], "www")
}
