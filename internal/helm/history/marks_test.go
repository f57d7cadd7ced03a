package history

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// TestLastVerified: what is written left to right is the history, oldest first; "x" failed, "-" has no mark, "u" was uninstalled.
func TestLastVerified(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		marks string
		want  int
	}{
		"nothing":                                  {"", 0},
		"nothing that counts":                      {"- x failed left", 0},
		"the newest proved":                        {"proved proved", 2},
		"proved before ready, even if older":       {"proved ready", 1},
		"not what a smoke failed":                  {"ready failed", 1},
		"not what somebody left":                   {"ready left -", 1},
		"not what never became ready":              {"ready x - x", 1},
		"the newest ready if nothing is proved":    {"ready ready -", 2},
		"three deploys whose smoke never ran":      {"proved ready ready ready", 1},
		"smoke is no part of the pipeline anymore": {"proved ready ready ready ready", 5},
		"nothing from before an uninstall":         {"proved proved u x", 0},
		"what came after an uninstall":             {"proved u ready x", 3},
		"failed deploys between do not count":      {"proved x x x x x ready x x", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var entries []Entry
			marks := map[int]release.Mark{}
			for i, mark := range strings.Fields(test.marks) {
				entry := Entry{Revision: i + 1, Status: helmrelease.StatusSuperseded}
				switch mark {
				case "x":
					entry.Status = helmrelease.StatusFailed
				case "u":
					entry.Status = helmrelease.StatusUninstalled
					marks[entry.Revision] = release.MarkProved
				case "-":
				default:
					marks[entry.Revision] = release.Mark(mark)
				}
				entries = append([]Entry{entry}, entries...)
			}
			got, found := LastVerified(entries, marks)
			if got.Revision != test.want || found != (test.want > 0) {
				t.Errorf("got revision %d, %t, want %d", got.Revision, found, test.want)
			}
		})
	}
}

func TestSourceOfARevisionThatRepeatsAnEarlierOne(t *testing.T) {
	t.Parallel()
	revision := func(number int, manifest, description string) *helmrelease.Release {
		return &helmrelease.Release{Version: number, Manifest: manifest, Info: &helmrelease.Info{Description: description}}
	}
	older := []*helmrelease.Release{revision(4, "d", ""), revision(3, "a", ""), revision(2, "b", ""), revision(1, "a", "")}
	for name, test := range map[string]struct {
		revision *helmrelease.Release
		want     int
	}{
		"as Helm's rollback says":         {revision(5, "a", "Rollback to 1"), 1},
		"to one that is no longer kept":   {revision(50, "z", "Rollback to 17"), 17},
		"by the same objects":             {revision(5, "a", "Upgrade complete"), 3},
		"an upgrade":                      {revision(5, "e", "Upgrade complete"), 0},
		"an upgrade that changes nothing": {revision(5, "d", "Upgrade complete"), 0},
		"words of a chart's author":       {revision(5, "e", "Rollback to 1, as discussed"), 0},
		"a rollback of this pipeline's":   {revision(5, "a", "onedigest: rolled back to revision 3"), 0},
		"to a later revision":             {revision(5, "e", "Rollback to 9"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sourceOf(test.revision, older); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
	if got := sourceOf(revision(1, "a", ""), nil); got != 0 {
		t.Errorf("a first revision repeats %d", got)
	}
}
