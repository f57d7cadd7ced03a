package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// sanitize drops escape sequences, control characters and characters without a width, replaces other unprintable characters by U+FFFD, and puts a
// backslash into what the runner would read as a command. Line ends ("\r", "\r\n" and "\n") become "\n", or a blank if multiline is
// false. It stops after limit bytes that are not white space, so that a long text costs no more than the part that is shown; the
// callers cut the rest.
//
// The runner reads a line as a command when it begins with "::" after white space, or has "##[" anywhere (actions/runner,
// ActionCommand.cs); its lines also end at "\r". Its comparison ignores characters without a width and combining marks. Therefore
// sanitize drops the former and ignores the latter when it looks for a command. A backslash does separate the characters of a
// command.
func sanitize(s string, multiline bool, limit int) string {
	var (
		b         strings.Builder
		sequences escapeParser
		command   commandDetector
		previous  rune
	)
	lineEnd := byte(' ')
	if multiline {
		lineEnd = '\n'
	}
	if limit < len(s) {
		b.Grow(limit)
	} else {
		b.Grow(len(s))
	}
	visible := 0 // bytes written that are not white space
	for _, r := range s {
		if visible > limit {
			break
		}
		if sequences.consumes(r) {
			continue
		}
		before := previous
		previous = r
		switch {
		case r == '\n' && before == '\r':
			continue
		case isLineEnd(r):
			command = commandDetector{}
			b.WriteByte(lineEnd)
			continue
		case r == '\t' || unicode.Is(unicode.Zs, r):
		case unicode.IsSpace(r):
			r = ' '
		case isInvisible(r):
			previous = before
			continue
		case !unicode.IsPrint(r):
			r = utf8.RuneError
		case unicode.IsMark(r):
			b.WriteRune(r)
			continue
		}
		if command.completedBy(r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		if !unicode.IsSpace(r) {
			visible += utf8.RuneLen(r)
		}
	}
	return b.String()
}

func isLineEnd(r rune) bool { return r == '\n' || r == '\r' }

// isInvisible reports whether r is a control or format character (including the bidirectional ones), which has no width and no
// meaning in a log.
func isInvisible(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// IsPrintable reports whether s is UTF-8 and can be shown on one line unchanged: it has no line end, tab or other control
// character, no character without a width (bidirectional controls, zero-width spaces and joiners), and no unprintable character.
// White space of any width is printable. It is for text that is refused rather than sanitized. Text that the runner reads as a
// command is printable.
func IsPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return isInvisible(r) || !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r)
	})
}

// blankSpace maps white space to a blank.
func blankSpace(r rune) rune {
	if unicode.IsSpace(r) {
		return ' '
	}
	return r
}

// commandDetector reads one line and finds the character that would complete a command.
type commandDetector struct {
	hashes  int  // number of # directly before the current character
	started bool // the line has other text than white space and one colon
	colon   bool // the first character that is not white space was a colon
}

// completedBy reports whether r, after the characters read so far, completes "::" or "##[".
func (d *commandDetector) completedBy(r rune) bool {
	completes := r == '[' && d.hashes >= 2 || r == ':' && d.colon && !d.started
	if r == '#' {
		d.hashes++
	} else {
		d.hashes = 0
	}
	switch {
	case d.started:
	case d.colon:
		d.started = true
	case r == ':':
		d.colon = true
	case !unicode.IsSpace(r):
		d.started = true
	}
	return completes
}
