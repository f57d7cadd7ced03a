// Package text makes text from outside (pods, registries, HTTP responses, git, Helm) safe to show: in a terminal, in a log, in an
// error message, and in the log of a GitHub Actions runner, which runs commands that it finds there.
//
// Every function of the package
//   - drops escape sequences whole, since they could rewrite what a terminal shows;
//   - drops control characters and characters without a width (bidirectional controls, zero-width spaces and joiners);
//   - replaces bytes that are not UTF-8, and unprintable characters, by U+FFFD;
//   - puts a backslash into what the runner would read as a command: "::" at the start of a line, "##[" anywhere.
//
// Sanitizing a result again does not change it. Letters that look alike are not changed.
package text

import (
	"math"
	"strings"
	"unicode/utf8"
)

// NoLimit is the limit of a text that may have any length.
const NoLimit = math.MaxInt

// ellipsis marks the place where a text was cut.
const ellipsis = "…"

// Line returns s as one line of at most limit bytes. It trims s and replaces white space inside, including line ends, by one
// blank. A text that was cut ends in "…".
func Line(s string, limit int) string {
	return strings.TrimRight(Truncate(strings.Join(strings.Fields(sanitize(s, false, limit)), " "), limit), " ")
}

// LogLine returns s as one line of at most limit bytes, with its indentation and alignment: each white space character, including
// line ends, becomes one blank. A text that was cut ends in "…".
func LogLine(s string, limit int) string {
	return Truncate(strings.Map(blankSpace, sanitize(s, false, limit)), limit)
}

// Lines returns s as several lines of at most limit bytes in all. Line ends become "\n"; tabs and blanks are kept. A text that
// was cut ends in "…".
func Lines(s string, limit int) string {
	return Truncate(sanitize(s, true, limit), limit)
}

// Truncate shortens s to at most limit bytes without splitting a character. The result ends in "…", included in limit, if there
// is room for it. Truncate does not sanitize.
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end, mark := limit-len(ellipsis), ellipsis
	if end < 0 {
		end, mark = max(limit, 0), ""
	}
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
