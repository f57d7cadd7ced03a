package probe

import "github.com/onedigest/onedigest/internal/text"

// maxExcerpt is how many bytes of a text from outside are shown.
const maxExcerpt = 200

// excerpt returns the start of a text from outside, sanitized to one line.
func excerpt(s string) string { return text.LogLine(s, maxExcerpt) }

// quote returns an excerpt in quotes.
func quote(s string) string { return `"` + excerpt(s) + `"` }
