package release_test

import (
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func TestMarkIsValidForItsRevisionOnly(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]release.Mark{
		"7.ready": release.MarkReady, "7.proved": release.MarkProved, "7.failed": release.MarkFailed, "7.left": release.MarkRolledBack,
		"7": release.MarkReady, "6.proved": "", "6": "", "77.proved": "", "7.": "", "7.proved.x": "", "": "", "proved": "",
	} {
		if got := release.ParseMark(value, 7); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
	for _, mark := range []release.Mark{release.MarkReady, release.MarkProved, release.MarkFailed, release.MarkRolledBack} {
		if got := release.ParseMark(mark.LabelValue(12), 12); got != mark {
			t.Errorf("%q is read as %q", mark, got)
		}
	}
}

// TestReadinessDoesNotReplaceAJudgement: an unchanged deploy does not undo what a smoke has found.
func TestReadinessDoesNotReplaceAJudgement(t *testing.T) {
	t.Parallel()
	marks := []release.Mark{"", release.MarkReady, release.MarkProved, release.MarkFailed, release.MarkRolledBack}
	for _, old := range marks {
		for _, mark := range marks[1:] {
			want := mark != old && (mark != release.MarkReady || old == "")
			if got := mark.Replaces(old); got != want {
				t.Errorf("%q over %q: got %t", mark, old, got)
			}
		}
	}
}
