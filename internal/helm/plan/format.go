package plan

import (
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
)

// format returns a difference of an object in printable form.
func (d difference) format(object map[string]any, secrets *secrets) release.FieldChange {
	change := release.FieldChange{Path: secrets.redact(d.place())}
	if secrets.hides(object, d.path, d.before, d.after) {
		change.Hidden = true
		if d.before != nil {
			change.Before = release.HiddenValue
		}
		if d.after != nil {
			change.After = release.HiddenValue
		}
		return change
	}
	change.Before, change.After = shorten(manifest.JSON(d.before), manifest.JSON(d.after))
	return change
}

// maxShown limits a printed value, in bytes.
const maxShown = 200

// shorten cuts long values to the part where they first differ.
func shorten(before, after string) (shortBefore, shortAfter string) {
	if len(before) <= maxShown && len(after) <= maxShown {
		return before, after
	}
	common := 0
	for common < len(before) && common < len(after) && before[common] == after[common] {
		common++
	}
	start := max(0, common-maxShown/4)
	return window(before, start), window(after, start)
}

// window returns maxShown bytes of a long value from start on, with "…" for the parts that were cut off.
func window(value string, start int) string {
	if len(value) <= maxShown {
		return value
	}
	start = min(start, len(value))
	end := min(start+maxShown, len(value))
	short := strings.ToValidUTF8(value[start:end], "")
	if start > 0 {
		short = "…" + short
	}
	if end < len(value) {
		short += "…"
	}
	return short
}
