// Package markdown writes text from outside (errors, logs, names, addresses) as GitHub Flavored Markdown in which it stays text, and can be read.
//
// What GitHub could read as more than text is put into code: a code span or a code block. Escapes are not enough: GitHub looks for mentions
// (@name), references (#12, GH-12, names of commits) and addresses in the page that the Markdown has become, where an escape is gone, and leaves out
// only what is in code, in preformatted text and in links. Plain words are written as they are.
//
// Sources: GitHub Flavored Markdown Spec 0.29, sections 4.5 "Fenced code blocks", 4.10 "Tables", 6.3 "Code spans" and 6.8 "Autolinks"; GitHub Docs,
// "Autolinked references and URLs"; html-pipeline, MentionFilter, IGNORE_PARENTS.
package markdown

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/text"
)

// Code returns a text as a code span of one line, for a paragraph, a heading, a list or a cell of a table; "" for an empty text.
func Code(untrusted string) string {
	line := text.Line(untrusted, text.NoLimit)
	switch {
	case line == "":
		return ""
	case strings.Contains(line, "|"): // ends a cell, in code too
		return HTMLCode(line)
	}
	fence := strings.Repeat("`", longestRun(line)+1)
	if strings.HasPrefix(line, "`") || strings.HasSuffix(line, "`") {
		line = " " + line + " " // of which one blank at each end is dropped
	}
	return fence + line + fence
}

// punctuation is what may mean something in Markdown or HTML: GitHub Flavored Markdown, section 2.1, "ASCII punctuation character".
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// HTMLCode is Code as an HTML element, whose text is written so that it is text inside of a Markdown line too.
func HTMLCode(untrusted string) string {
	line := text.Line(untrusted, text.NoLimit)
	if line == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range line {
		if strings.ContainsRune(punctuation, r) {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteString("</code>")
	return b.String()
}

// Block returns a text of several lines as a code block, with a blank line before and after; "" for an empty text. The language is a word of
// the caller's own, "text" for none.
func Block(untrusted, language string) string {
	lines := strings.Trim(text.Lines(untrusted, text.NoLimit), "\n")
	if strings.TrimSpace(lines) == "" {
		return ""
	}
	fence := strings.Repeat("`", max(3, longestRun(lines)+1))
	return "\n" + fence + language + "\n" + lines + "\n" + fence + "\n"
}

// longestRun returns the length of the longest row of backticks in s.
func longestRun(s string) (longest int) {
	run := 0
	for _, r := range s {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// What means nothing in Markdown and on GitHub wherever it stands: words, which may have a hyphen or an apostrophe inside, and short numbers. A word of
// hexadecimal digits could be the name of a commit, which GitHub links.
var (
	plainWord   = regexp.MustCompile(`^\p{L}+(?:['’-]\p{L}+)*$`)
	plainNumber = regexp.MustCompile(`^[0-9]{1,6}(?:\.[0-9]{1,3})?%?$`)
	hexWord     = regexp.MustCompile(`^[0-9a-fA-F]{7,}$`)
)

// Words returns a sentence as one line: plain words as they are, and all else as code spans.
func Words(untrusted string) string { return words(untrusted, Code) }

// HTMLWords is Words for HTML inside of Markdown, such as <summary>, in which code spans are not known.
func HTMLWords(untrusted string) string { return words(untrusted, HTMLCode) }

func words(untrusted string, code func(string) string) string {
	var b strings.Builder
	var special []string // words that make the next code span
	flush := func() {
		if len(special) > 0 {
			b.WriteString(blankIf(b.Len() > 0) + wrapCode(strings.Join(special, " "), code))
		}
		special = nil
	}
	for i, word := range strings.Fields(text.Line(untrusted, text.NoLimit)) {
		if !isPlain(word, i == 0) {
			special = append(special, word)
			if _, _, after := trimPunctuation(word); after == "" {
				continue
			}
			flush()
			continue
		}
		flush()
		b.WriteString(blankIf(b.Len() > 0) + word)
	}
	flush()
	return b.String()
}

func blankIf(needed bool) string {
	if needed {
		return " "
	}
	return ""
}

// wrapCode writes words as code, with the punctuation around them outside of it.
func wrapCode(words string, code func(string) string) string {
	before, inside, after := trimPunctuation(words)
	if inside == "" || inside != strings.TrimSpace(inside) { // a word of punctuation alone
		return code(words)
	}
	return before + code(inside) + after
}

// trimPunctuation splits the punctuation of a sentence off a word. What is split off is plain.
func trimPunctuation(word string) (before, inside, after string) {
	inside = strings.TrimRight(word, `,;:.")`)
	after = word[len(inside):]
	inside = strings.TrimLeft(inside, `("`)
	return word[:len(word)-len(inside)-len(after)], inside, after
}

// isPlain reports whether a word may be written as it is. A number that begins the line could begin a list.
func isPlain(word string, first bool) bool {
	_, inside, after := trimPunctuation(word)
	switch {
	case hexWord.MatchString(inside):
		return false
	case plainWord.MatchString(inside):
		return true
	case inside == "":
		return strings.Trim(word, ",;:.") == ""
	}
	return plainNumber.MatchString(inside) && (!first || after == "")
}

// Link returns a link with a label that is Markdown already, or the label alone if the address is none of a web page.
func Link(label, address string) string {
	if address = webAddress(address); address == "" {
		return label
	}
	return "[" + label + "](" + address + ")"
}

// Address returns an address as a link to itself, or as code if it is none of a web page.
func Address(address string) string {
	if web := webAddress(address); web != "" {
		return "<" + web + ">"
	}
	return Code(address)
}

// harmless matches addresses of characters that end neither a link nor a cell, and are no Markdown inside of one.
var harmless = regexp.MustCompile(`^https?://[A-Za-z0-9._~:/?#@!&+,;=%-]+$`)

// webAddress returns the address of a web page, "" if it is none, has a user, or has a character of Markdown.
func webAddress(address string) string {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.User != nil || len(address) > 2000 || !harmless.MatchString(address) {
		return ""
	}
	return address
}
