package github

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// minDerived is how long, in bytes, a derived form of a secret must be to be searched for; shorter ones are in any text.
const minDerived = 6

// Redact puts *** where text holds a secret: as it stands, line by line where it has several, escaped for JSON or a URL,
// and in base64 at each of its three alignments, as it lies inside a larger value. Overlapping secrets vanish as a
// whole. Empty secrets are skipped; a very short one is redacted wherever it occurs.
func Redact(text string, secrets []string) string {
	hidden := make([]bool, len(text))
	found := false
	for form := range forms(secrets) {
		for from := 0; ; {
			at := strings.Index(text[from:], form)
			if at < 0 {
				break
			}
			at += from
			for i := at; i < at+len(form); i++ {
				hidden[i] = true
			}
			found, from = true, at+1
		}
	}
	if !found {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && hidden[end] == hidden[i] {
			end++
		}
		if hidden[i] {
			b.WriteString("***")
		} else {
			b.WriteString(text[i:end])
		}
		i = end
	}
	return b.String()
}

// forms are the ways in which secrets may stand in a text.
func forms(secrets []string) map[string]bool {
	all := map[string]bool{}
	for _, secret := range secrets {
		trimmed := strings.TrimSpace(secret)
		if trimmed == "" {
			continue
		}
		all[trimmed] = true
		parts := []string{secret, trimmed}
		for line := range strings.Lines(trimmed) {
			parts = append(parts, strings.TrimSpace(line))
		}
		for _, part := range parts {
			derived := append(encodings(part), part, url.QueryEscape(part), url.PathEscape(part), jsonEscaped(part))
			for _, form := range derived {
				if len(form) >= minDerived {
					all[form] = true
				}
			}
		}
	}
	return all
}

// encodings are those characters of a secret's base64 that depend on nothing before or after it.
func encodings(secret string) []string {
	var all []string
	for shift := range 3 {
		padded := []byte(strings.Repeat("\x00", shift) + secret)
		from, to := (shift*8+5)/6, len(padded)*8/6
		if to-from < minDerived {
			continue
		}
		all = append(all, base64.RawStdEncoding.EncodeToString(padded)[from:to], base64.RawURLEncoding.EncodeToString(padded)[from:to])
	}
	return all
}

func jsonEscaped(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(quoted[1 : len(quoted)-1])
}

// EscapeMarkdown makes text show as it stands inside a line or a table cell of GitHub Flavored Markdown: no HTML, no
// emphasis, link, image, code, table, heading or list comes of it (spec, sections 2.4 "Backslash escapes" and 6.9
// "Autolinks"). It is made inert first; a line end becomes <br>.
func EscapeMarkdown(text string) string {
	text = Inert(text)
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	for i := range len(text) {
		c := text[i]
		switch {
		case escapes[c] != "":
			b.WriteString(escapes[c])
		case c == ':' && strings.HasPrefix(text[i+1:], "/"): // https://… links itself
			b.WriteString("&#58;")
		case c == '.' && (opensList(text[:i]) || opensLink(text[:i])),
			c == ')' && opensList(text[:i]),
			strings.IndexByte("#+-=", c) >= 0 && atStart(text[:i]):
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

// atStart tells whether only blanks precede, where a mark could begin a block.
func atStart(before string) bool { return len(before) < 10 && strings.TrimSpace(before) == "" }

// opensList tells whether a number precedes that would begin a list with the next character.
func opensList(before string) bool {
	number := strings.TrimSpace(before)
	return len(before) < 20 && number != "" && strings.Trim(number, "0123456789") == ""
}

// opensLink tells whether the next dot would make a link of www.
func opensLink(before string) bool {
	return len(before) >= 3 && strings.EqualFold(before[len(before)-3:], "www")
}

var backticks = regexp.MustCompile("`+")

// CodeBlock shows text, made inert, as it stands and in several lines: a fenced block whose fence is longer than any run
// of backticks in it (GitHub Flavored Markdown, section 4.5). It begins and ends with a line end.
func CodeBlock(text string) string {
	text = strings.TrimRight(Inert(text), "\n")
	longest := 2
	if runs := backticks.FindAllString(text, -1); len(runs) > 0 {
		longest = max(longest, len(slices.MaxFunc(runs, func(a, b string) int { return len(a) - len(b) })))
	}
	fence := strings.Repeat("`", longest+1)
	return "\n" + fence + "text\n" + text + "\n" + fence + "\n"
}
