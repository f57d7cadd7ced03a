package github

import (
	"io"
	"unicode"
	"unicode/utf8"
)

// Inert makes text from outside (pods, registries, HTTP bodies) harmless in a log.
//
// The runner takes a line for a command when it begins with "::" after white space, or has "##[" anywhere
// (actions/runner, ActionCommand.cs), and lines end at \r too. A backslash between the characters takes their meaning; an
// invisible character would not, for the runner compares by culture, which skips those. For the same reason
// characters without a width are dropped, and combining marks between the characters do not hide them. Escape sequences
// (ECMA-48, section 5.4, and control strings, 5.6) are dropped whole: they could rewrite what a terminal shows. Bytes that
// are no UTF-8 become U+FFFD, \r and \r\n become \n.
func Inert(text string) string {
	var f filter
	return string(append(f.write(nil, []byte(text), true), f.flush()...))
}

// Inert is the function of that name, for those who hold a runner.
func (r *Runner) Inert(text string) string { return Inert(text) }

// Untrusted passes on to w what is written to it, made inert as by Inert, however it is cut into pieces. It does not keep
// lines back; only the beginning of a character that is not complete waits for its rest.
func (r *Runner) Raw(w io.Writer) io.Writer { return &untrusted{to: w} }

type untrusted struct {
	to     io.Writer
	filter filter
}

func (u *untrusted) Write(p []byte) (int, error) {
	if _, err := u.to.Write(u.filter.write(nil, p, false)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sequence is where in an escape sequence the filter stands.
type sequence int

const (
	outside    sequence = iota
	escape              // after ESC
	control             // in a control sequence, up to its final byte
	str                 // in a control string, up to ST, BEL or the line's end
	strEscaped          // after ESC in a control string
)

// lead is what the line holds so far, as far as "::" is concerned.
type lead int

const (
	blank lead = iota // white space
	colon             // one colon after it
	other
)

// filter keeps its place between two pieces of a text.
type filter struct {
	rest   []byte // of a character that is not complete
	seq    sequence
	lead   lead
	hashes int
	afterR bool // the last was \r, whose \n is one line end with it
}

// write appends p, made inert, to to. At the end of the text an incomplete character counts as invalid.
func (f *filter) write(to, p []byte, end bool) []byte {
	p = append(f.rest, p...)
	f.rest = nil
	for len(p) > 0 {
		if !end && !utf8.FullRune(p) {
			f.rest = append([]byte(nil), p...)
			break
		}
		r, size := utf8.DecodeRune(p)
		p = p[size:]
		if !f.skip(r) {
			to = f.put(to, r)
		}
	}
	return to
}

func (f *filter) flush() []byte { return f.write(nil, nil, true) }

// skip follows escape sequences and tells whether r belongs to one.
func (f *filter) skip(r rune) bool {
	if r == '\n' || r == '\r' { // none goes beyond its line here, or an unfinished one could swallow the log
		f.seq = outside
		return false
	}
	switch f.seq {
	case escape:
		f.seq = afterEscape(r)
		return true
	case control:
		if r >= 0x40 && r <= 0x7e {
			f.seq = outside
			return true
		}
		if r >= 0x20 && r <= 0x3f {
			return true
		}
		f.seq = outside
	case strEscaped:
		if r == '\\' {
			f.seq = outside
		} else {
			f.seq = afterEscape(r)
		}
		return true
	case str:
		switch r {
		case 0x07, 0x9c:
			f.seq = outside
		case 0x1b:
			f.seq = strEscaped
		}
		return true
	}
	switch r {
	case 0x1b:
		f.seq = escape
	case 0x9b:
		f.seq = control
	case 0x90, 0x98, 0x9d, 0x9e, 0x9f:
		f.seq = str
	}
	return f.seq != outside
}

func afterEscape(r rune) sequence {
	switch {
	case r == '[':
		return control
	case r == ']' || r == 'P' || r == 'X' || r == '^' || r == '_':
		return str
	case r == 0x1b || r >= 0x20 && r <= 0x2f:
		return escape
	}
	return outside
}

// put appends one character outside of escape sequences.
func (f *filter) put(to []byte, r rune) []byte {
	afterR := f.afterR
	f.afterR = r == '\r'
	switch {
	case r == '\n' && afterR:
		return to
	case r == '\n' || r == '\r':
		f.lead, f.hashes = blank, 0
		return append(to, '\n')
	case r != '\t' && unicode.IsSpace(r) && !unicode.Is(unicode.Zs, r):
		r = ' '
	case r != '\t' && invisible(r):
		f.afterR = afterR
		return to
	case !unicode.IsPrint(r) && !unicode.IsSpace(r):
		r = utf8.RuneError
	case unicode.IsMark(r):
		return utf8.AppendRune(to, r)
	}
	if r == '[' && f.hashes >= 2 || r == ':' && f.lead == colon {
		to = append(to, '\\')
	}
	f.follow(r)
	return utf8.AppendRune(to, r)
}

// invisible tells what takes no place on a screen and is skipped by comparisons.
func invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

func (f *filter) follow(r rune) {
	if r == '#' {
		f.hashes++
	} else {
		f.hashes = 0
	}
	switch {
	case f.lead == blank && unicode.IsSpace(r):
	case f.lead == blank && r == ':':
		f.lead = colon
	default:
		f.lead = other
	}
}
