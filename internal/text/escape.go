package text

// escapeParser finds the characters of escape sequences: control sequences (ECMA-48, section 5.4) and control strings (section
// 5.6), with 7-bit or 8-bit introducers. A sequence ends at the end of the line at the latest, so that an unfinished one cannot
// remove the rest of a log.
type escapeParser struct{ state escapeState }

type escapeState int

const (
	noEscape        escapeState = iota
	afterEscape                 // after ESC
	inSequence                  // in a control sequence, up to its final byte
	inString                    // in a control string, up to ST or BEL
	escapedInString             // after ESC in a control string
)

const (
	bell             = 0x07
	esc              = 0x1b
	csi              = 0x9b // CONTROL SEQUENCE INTRODUCER
	stringTerminator = 0x9c
)

// consumes reports whether r, the next character of the text, belongs to an escape sequence.
func (p *escapeParser) consumes(r rune) bool {
	if isLineEnd(r) {
		p.state = noEscape
		return false
	}
	switch p.state {
	case afterEscape:
		p.state = afterEscapeThen(r)
		return true
	case inSequence:
		switch {
		case r >= 0x40 && r <= 0x7e: // final byte
			p.state = noEscape
			return true
		case r >= 0x20 && r <= 0x3f: // parameter and intermediate bytes
			return true
		}
		p.state = noEscape // malformed: r is text, or begins the next sequence
	case escapedInString:
		p.state = afterEscapeThen(r) // `\` completes the string terminator
		return true
	case inString:
		switch r {
		case bell, stringTerminator:
			p.state = noEscape
		case esc:
			p.state = escapedInString
		}
		return true
	}
	switch r {
	case esc:
		p.state = afterEscape
	case csi:
		p.state = inSequence
	case 0x90, 0x98, 0x9d, 0x9e, 0x9f: // DCS, SOS, OSC, PM, APC
		p.state = inString
	}
	return p.state != noEscape
}

// afterEscapeThen returns the state after ESC and r.
func afterEscapeThen(r rune) escapeState {
	switch {
	case r == '[':
		return inSequence
	case r == ']' || r == 'P' || r == 'X' || r == '^' || r == '_': // OSC, DCS, SOS, PM, APC
		return inString
	case r == esc || r >= 0x20 && r <= 0x2f: // intermediate bytes, as in ESC ( B
		return afterEscape
	}
	return noEscape
}
