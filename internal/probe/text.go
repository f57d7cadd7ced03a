package probe

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxExcerpt is how many characters of anything a server said are put into words.
const maxExcerpt = 200

// quote cleans a text and puts it in quotes.
func quote(text string) string { return `"` + clean(text, maxExcerpt) + `"` }

// clean makes a text from outside fit for one line of a log: white space becomes a blank, what cannot be printed becomes
// U+FFFD, and at most limit characters remain. "::" and "##[" lose their meaning as commands of a GitHub runner, which
// looks for them in every line (actions/runner, ActionCommand.cs) and compares by culture, so that marks between the
// characters do not help; a backslash does.
func clean(text string, limit int) string {
	var b strings.Builder
	var last rune // the last that is no mark
	hashes, count := 0, 0
	for _, r := range text {
		if count == limit {
			b.WriteRune('…')
			break
		}
		count++
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
			r = utf8.RuneError
		}
		if r == ':' && last == ':' || r == '[' && hashes >= 2 {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		if unicode.IsMark(r) {
			continue
		}
		last = r
		if r == '#' {
			hashes++
		} else {
			hashes = 0
		}
	}
	return b.String()
}
