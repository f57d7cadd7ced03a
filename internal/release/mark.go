package release

import (
	"fmt"
	"strings"
)

// LabelMark is the label on Helm's record of a revision that has its mark, as REVISION.MARK. Helm's command copies all labels of a
// revision to the next one: the value names the revision that it is about, and is valid for that one only.
const LabelMark = "onedigest.dev/verified"

// Mark is what is known of a revision of a Helm release. It decides what a rollback goes back to. "" is a revision of which
// nothing is known.
type Mark string

// The marks.
const (
	MarkReady  Mark = "ready"  // its rollout was watched until it was ready, and no smoke has judged it
	MarkProved Mark = "proved" // its smoke passed
	MarkFailed Mark = "failed" // its smoke failed
	MarkLeft   Mark = "left"   // somebody deliberately went back from it to an older commit or revision
)

// Verified reports whether a rollback may go back to a revision with the mark.
func (m Mark) Verified() bool { return m == MarkReady || m == MarkProved }

// Replaces reports whether a revision that has the old mark gets this one. Readiness is no news of a revision that has a mark.
func (m Mark) Replaces(old Mark) bool { return m != old && (m != MarkReady || old == "") }

// LabelValue is the value of LabelMark for a revision.
func (m Mark) LabelValue(revision int) string { return fmt.Sprintf("%d.%s", revision, m) }

// ParseMark reads the value of LabelMark on a revision's record; "" if it is about another revision, or no mark. A number alone is
// how earlier releases of onedigest wrote MarkReady.
func ParseMark(value string, revision int) Mark {
	number, mark, found := strings.Cut(value, ".")
	switch {
	case number != fmt.Sprint(revision):
		return ""
	case !found:
		return MarkReady
	}
	switch mark := Mark(mark); mark {
	case MarkReady, MarkProved, MarkFailed, MarkLeft:
		return mark
	}
	return ""
}
