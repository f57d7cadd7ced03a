package fact

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

// TestAddFindings: each finding of a package counts once, and counts unless it is excused.
func TestAddFindings(t *testing.T) {
	t.Parallel()
	var scan Scan
	scan.AddFindings([]Finding{
		{ID: "B", Package: "x", Severity: Low}, {ID: "A", Package: "x", Severity: Critical}, {ID: "A", Package: "y", Severity: Critical}, {ID: "A", Package: "x", Severity: Medium},
		{ID: "C", Severity: High, Excuse: "not_affected"}, {ID: "D", Severity: High, Excuse: "resolved"}, {ID: "D", Severity: Medium}, {ID: "E", Severity: Unknown},
	})
	want := Scan{Counts: map[Severity]int{Unknown: 1, Critical: 2, Medium: 1, Low: 1}, ExcusedAll: 1, Excused: []Finding{{ID: "C", Severity: High, Excuse: "not_affected"}},
		Findings: []Finding{{ID: "E", Severity: Unknown}, {ID: "A", Package: "x", Severity: Critical}, {ID: "A", Package: "y", Severity: Critical}, {ID: "D", Severity: Medium}, {ID: "B", Package: "x", Severity: Low}}}
	if diff := cmp.Diff(want, scan, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := scan.String(); got != "1 unknown, 2 critical, 1 medium, 1 low, 1 do not count" {
		t.Errorf("got %q", got)
	}
	var many []Finding
	for i := range 3 * MaxFindings {
		many = append(many, Finding{ID: fmt.Sprint("L", i), Severity: Low}, Finding{ID: fmt.Sprint("H", i), Severity: High, Excuse: "resolved"})
	}
	scan.AddFindings(append(many, Finding{ID: "Z", Severity: Critical}))
	if scan.Counts[Low] != 3*MaxFindings || len(scan.Findings) != MaxFindings || scan.Findings[0].ID != "Z" || scan.ExcusedAll != 3*MaxFindings || len(scan.Excused) != MaxFindings {
		t.Errorf("got %v, %d named, the first %+v, %d of %d excused", scan.Counts, len(scan.Findings), scan.Findings[0], len(scan.Excused), scan.ExcusedAll)
	}
	if count, worst := scan.Above(Medium); count != 1 || len(worst) != 1 {
		t.Errorf("got %d above medium, %v", count, worst)
	}
}

// TestIsAbove: an unknown severity may be any.
func TestIsAbove(t *testing.T) {
	t.Parallel()
	for limit, want := range map[Severity][]Severity{
		NoFindings: {Unknown, Critical, High, Medium, Low, Info}, Info: {Unknown, Critical, High, Medium, Low}, Low: {Unknown, Critical, High, Medium}, Medium: {Unknown, Critical, High},
		High: {Unknown, Critical}, Critical: nil,
	} {
		var got []Severity
		for _, severity := range Severities {
			if severity.IsAbove(limit) {
				got = append(got, severity)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("above %s (-want +got):\n%s", limit, diff)
		}
	}
	if Severity("another").IsAbove(High) == false {
		t.Error("a severity that is none is below high")
	}
}

// TestAScanIsRepeated: with the same findings, within a day.
func TestAScanIsRepeated(t *testing.T) {
	t.Parallel()
	scan := func(change func(*Scan)) Fact {
		s := Scan{Scanner: "Trivy", Format: "sarif", ScannedAt: time.Unix(0, 0), Counts: map[Severity]int{Low: 1}, Findings: []Finding{{ID: "A", Severity: Low}}}
		if change != nil {
			change(&s)
		}
		return Fact{Kind: Scanned, Scan: &s}
	}
	for name, test := range map[string]struct {
		change func(*Scan)
		want   bool
	}{
		"the same":         {nil, true},
		"within the day":   {func(s *Scan) { s.ScannedAt = s.ScannedAt.Add(ScanFreshFor - 1) }, true},
		"a day later":      {func(s *Scan) { s.ScannedAt = s.ScannedAt.Add(ScanFreshFor) }, false},
		"another file":     {func(s *Scan) { s.DatabaseAt = time.Unix(9, 0) }, true},
		"another finding":  {func(s *Scan) { s.Findings = []Finding{{ID: "B", Severity: Low}} }, false},
		"other counts":     {func(s *Scan) { s.Counts = map[Severity]int{Low: 2} }, false},
		"another scanner":  {func(s *Scan) { s.Scanner = "Grype" }, false},
		"an excused one":   {func(s *Scan) { s.ExcusedAll = 1 }, false},
		"of no time":       {func(s *Scan) { s.Unstated = []Unstated{UnstatedTime} }, false},
		"of another image": {func(s *Scan) { s.Format = "cyclonedx" }, false},
	} {
		later := scan(test.change)
		if got := later.Repeats(scan(nil)); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// TestNewestScan: the time of the scan decides, then what the signed statement says of the records before it and of its time, whatever the order of the list.
func TestNewestScan(t *testing.T) {
	t.Parallel()
	record := func(name string, scanned, recorded int64, after ...release.Digest) Record {
		return Record{Record: digestOf(t, name), Fact: Fact{Kind: Scanned, At: time.Unix(recorded, 0), After: after, Scan: &Scan{ScannedAt: time.Unix(scanned, 0)}}}
	}
	for name, records := range map[string][]Record{ // the last is the newest
		"by the time of the scan": {record("a", 1, 9), record("b", 2, 3)},
		"by what it names":        {record("a", 1, 9), record("b", 1, 3, digestOf(t, "a"))},
		"by its own time":         {record("a", 1, 3), record("b", 1, 9)},
	} {
		want := records[len(records)-1].Record
		for range 2 {
			if got, found := NewestScan(records, nil); !found || got.Record != want {
				t.Errorf("%s: got %s, %t", name, got.Record, found)
			}
			slices.Reverse(records)
		}
	}
	unreadable := record("a", 1, 1)
	unreadable.Problem = "garbage"
	if got, found := NewestScan([]Record{unreadable, {}}, nil); found {
		t.Errorf("got %+v", got)
	}
}

func digestOf(t *testing.T, char string) release.Digest {
	t.Helper()
	digest, err := release.ParseDigest("sha256:" + strings.Repeat(char, 64))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
