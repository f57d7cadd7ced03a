package history

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
)

// TestACellOfSeveralTargets says what each target's smoke found where they differ.
func TestACellOfSeveralTargets(t *testing.T) {
	t.Parallel()
	verdict := func(cluster string, verdict release.Verdict, days int) release.Record {
		record := smokedOn(cluster, days, "ours", verdict)
		if cluster != "" {
			record.Smoke.Target = release.Target{Cluster: cluster, Namespace: "staging", Release: "shop"}
		}
		return release.Record{Evidence: *record.Smoke}
	}
	for name, test := range map[string]struct {
		decides release.Record
		targets []release.Record
		text    string
		lines   []string
	}{
		"one failed": {verdict("eu", release.Fail, 2), []release.Record{verdict("", release.Pass, 9), verdict("eu", release.Fail, 2), verdict("us", release.Pass, 1)}, "failed (1 of 2 targets pass) 2026-10-30 12:00",
			[]string{`smoke fail at 2026-10-30 12:00: release "shop" in namespace "staging" of cluster eu`, `smoke pass at 2026-10-31 12:00: release "shop" in namespace "staging" of cluster us`}},
		"all passed":         {verdict("us", release.Pass, 1), []release.Record{verdict("eu", release.Pass, 2), verdict("us", release.Pass, 1)}, "proved 2026-10-31 12:00", nil},
		"all failed":         {verdict("us", release.Fail, 1), []release.Record{verdict("eu", release.Fail, 2), verdict("us", release.Fail, 1)}, "failed 2026-10-31 12:00", nil},
		"none names targets": {verdict("", release.Pass, 1), []release.Record{verdict("", release.Pass, 1)}, "proved 2026-10-31 12:00", nil},
	} {
		overview := policy.Overview{Standings: map[release.Environment]policy.Standing{"staging": {Smoked: policy.Finding[release.Record]{Found: true, Fact: test.decides}, Targets: test.targets}}}
		cell := cellOf("staging", compactImage, overview, false, false)
		if diff := cmp.Diff(test.text, cell.Text()) + cmp.Diff(strings.Join(test.lines, "\n"), strings.Join(cell.Differing(), "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		table := strings.Join(Result{Environments: []release.Environment{"staging"}, Commits: []Entry{{Commit: "0123456789abcdef", Image: compactImage, Cells: []Cell{cell}}}}.Table(), "\n")
		for _, line := range test.lines {
			if !strings.Contains(table, " in staging: "+line) {
				t.Errorf("%s: no %q in\n%s", name, line, table)
			}
		}
	}
}
