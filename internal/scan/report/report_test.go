package report

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

var sameDigest = cmp.Comparer(func(a, b release.Digest) bool { return a == b })

func read(t testing.TB, file string) []byte {
	t.Helper()
	content, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestTrivy reads what Trivy 0.70 writes of one scan in both formats. In SARIF it does not say when it scanned.
func TestTrivy(t *testing.T) {
	t.Parallel()
	findings := []fact.Finding{
		{ID: "CVE-2026-0001", Package: "golang.org/x/crypto@v0.30.0", Severity: fact.Critical},
		{ID: "CVE-2026-0002", Package: "stdlib@v1.26.0", Severity: fact.Low},
		{ID: "CVE-2026-0003", Package: "stdlib@v1.26.0", Severity: fact.Unknown},
	}
	want := Report{Scanner: "Trivy", Version: "dev", Format: SARIF, Images: []release.Digest{releasetest.Digest(t, "a")}, Findings: findings}
	got, err := Parse(read(t, "trivy.sarif"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameDigest); diff != "" {
		t.Errorf("SARIF (-want +got):\n%s", diff)
	}
	for i := range findings { // whose component has no "v"
		findings[i].Package = strings.Replace(findings[i].Package, "stdlib@v", "stdlib@", 1)
	}
	want.Scanner, want.Format = "trivy", CycloneDX
	if got, err = Parse(read(t, "trivy.cdx.json")); err != nil {
		t.Fatal(err)
	}
	if want.At = got.At; got.At.IsZero() {
		t.Error("CycloneDX has no time")
	}
	if diff := cmp.Diff(want, got, sameDigest); diff != "" {
		t.Errorf("CycloneDX (-want +got):\n%s", diff)
	}
}

// sarifOf is a log with a result and a rule.
func sarifOf(result, rule string) string {
	return fmt.Sprintf(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"s","rules":[%s]}},"results":[%s]}]}`, rule, result)
}

func cycloneDXOf(vulnerability string) string {
	return fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","bom-ref":"a","name":"lib","version":"1","components":[{"type":"library","bom-ref":"b","name":"inner"}]}],"vulnerabilities":[%s]}`, vulnerability)
}

// TestFindings: severities, excuses and packages.
func TestFindings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content string
		want    []fact.Finding
	}{
		"a score of the result":     {sarifOf(`{"ruleId":"A","properties":{"security-severity":7.0}}`, `{"id":"A","properties":{"security-severity":"9.5"}}`), []fact.Finding{{ID: "A", Severity: fact.High}}},
		"a score of the rule":       {sarifOf(`{"ruleId":"A","level":"note"}`, `{"id":"A","properties":{"security-severity":"6.9"}}`), []fact.Finding{{ID: "A", Severity: fact.Medium}}},
		"a low score":               {sarifOf(`{"ruleId":"A"}`, `{"id":"A","properties":{"security-severity":"0.1"}}`), []fact.Finding{{ID: "A", Severity: fact.Low}}},
		"a score that is none":      {sarifOf(`{"ruleId":"A","level":"note"}`, `{"id":"A","properties":{"security-severity":"high"}}`), []fact.Finding{{ID: "A", Severity: fact.Unknown}}},
		"a level":                   {sarifOf(`{"ruleId":"A","level":"error"},{"ruleId":"B","level":"warning"},{"ruleId":"C","level":"note"},{"ruleId":"D","level":"none"},{"ruleId":"E","level":"bad"}`, ``), []fact.Finding{{ID: "A", Severity: fact.High}, {ID: "B", Severity: fact.Medium}, {ID: "C", Severity: fact.Low}, {ID: "D", Severity: fact.Info}, {ID: "E", Severity: fact.Unknown}}},
		"the level of the rule":     {sarifOf(`{"ruleId":"A"}`, `{"id":"A","defaultConfiguration":{"level":"error"}}`), []fact.Finding{{ID: "A", Severity: fact.High}}},
		"no level":                  {sarifOf(`{"ruleId":"A"}`, ``), []fact.Finding{{ID: "A", Severity: fact.Medium}}},
		"a rule by its place":       {sarifOf(`{"ruleIndex":0}`, `{"id":"A"}`), []fact.Finding{{ID: "A", Severity: fact.Medium}}},
		"what passed":               {sarifOf(`{"ruleId":"A","kind":"pass"},{"ruleId":"B","kind":"notApplicable"},{"ruleId":"C","kind":"fail"}`, ``), []fact.Finding{{ID: "C", Severity: fact.Medium}}},
		"a suppression":             {sarifOf(`{"ruleId":"A","suppressions":[{"kind":"external"}]}`, ``), []fact.Finding{{ID: "A", Severity: fact.Medium, Excuse: "suppressed external"}}},
		"a suppression in review":   {sarifOf(`{"ruleId":"A","suppressions":[{"kind":"external","status":"underReview"}]}`, ``), []fact.Finding{{ID: "A", Severity: fact.Medium}}},
		"a logical location":        {sarifOf(`{"ruleId":"A","locations":[{"logicalLocations":[{"fullyQualifiedName":"x@1"}]}]}`, ``), []fact.Finding{{ID: "A", Package: "x@1", Severity: fact.Medium}}},
		"a rule of Grype":           {sarifOf(`{"ruleId":"GHSA-4v7x-pqxf-cx7m-golang.org/x/net"},{"ruleId":"CVE-2026-12345-lib-a"},{"ruleId":"CVE-2026-12345"}`, `{"id":"CVE-2026-12345-lib-a","properties":{"security-severity":"9.0"}}`), []fact.Finding{{ID: "GHSA-4v7x-pqxf-cx7m", Package: "golang.org/x/net", Severity: fact.Medium}, {ID: "CVE-2026-12345", Package: "lib-a", Severity: fact.Critical}, {ID: "CVE-2026-12345", Severity: fact.Medium}}},
		"control characters":        {sarifOf(`{"ruleId":"A\u001b[2J","message":{"text":"Package: a\u202eb\nInstalled Version: 1"}}`, ``), []fact.Finding{{ID: "A", Package: "ab@1", Severity: fact.Medium}}},
		"the worst rating":          {cycloneDXOf(`{"id":"A","ratings":[{"severity":"low"},{"score":8.1},{"severity":"unknown"}],"affects":[{"ref":"a"},{"ref":"b"}]}`), []fact.Finding{{ID: "A", Package: "lib@1", Severity: fact.High}, {ID: "A", Package: "inner", Severity: fact.High}}},
		"no rating":                 {cycloneDXOf(`{"id":"A"}`), []fact.Finding{{ID: "A", Severity: fact.Unknown}}},
		"informational":             {cycloneDXOf(`{"id":"A","ratings":[{"severity":"none"}]}`), []fact.Finding{{ID: "A", Severity: fact.Info}}},
		"an analysis":               {cycloneDXOf(`{"id":"A","analysis":{"state":"not_affected","justification":"code_not_reachable"}}`), []fact.Finding{{ID: "A", Severity: fact.Unknown, Excuse: "not_affected (code_not_reachable)"}}},
		"an analysis under way":     {cycloneDXOf(`{"id":"A","analysis":{"state":"in_triage"}}`), []fact.Finding{{ID: "A", Severity: fact.Unknown}}},
		"an exploitable one":        {cycloneDXOf(`{"id":"A","analysis":{"state":"exploitable"}}`), []fact.Finding{{ID: "A", Severity: fact.Unknown}}},
		"a package of another file": {cycloneDXOf(`{"id":"A","affects":[{"ref":"urn:cdx:x/1#pkg:golang/example.com/lib@v1.0.0"}]}`), []fact.Finding{{ID: "A", Package: "example.com/lib@v1.0.0", Severity: fact.Unknown}}},
	} {
		got, err := Parse([]byte(test.content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, got.Findings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ content, says string }{
		"nothing":                {``, "EOF"},
		"Trivy's own":            {`{"SchemaVersion":2,"Results":[]}`, "neither SARIF nor CycloneDX"},
		"another version":        {`{"version":"2.0.0","runs":[{"results":[]}]}`, "not the version 2.1.0"},
		"no run":                 {`{"version":"2.1.0","runs":[]}`, "no run"},
		"a run without results":  {`{"version":"2.1.0","runs":[{"tool":{}}]}`, "did not scan"},
		"a scan that failed":     {`{"version":"2.1.0","runs":[{"results":[],"invocations":[{"executionSuccessful":false}]}]}`, "did not succeed"},
		"no time":                {`{"version":"2.1.0","runs":[{"results":[],"invocations":[{"endTimeUtc":"now"}]}]}`, "not a time"},
		"a result without rule":  {sarifOf(`{"level":"error"}`, ``), "no identifier"},
		"an SBOM":                {`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`, "names no vulnerability"},
		"an SBOM, empty list":    {`{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[]}`, "names no vulnerability"},
		"an old CycloneDX":       {`{"bomFormat":"CycloneDX","specVersion":"1.3","vulnerabilities":[{"id":"A"}]}`, "1.4 or newer"},
		"a time that is none":    {`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"timestamp":"x"},"vulnerabilities":[{"id":"A"}]}`, "not a time"},
		"a field twice":          {`{"version":"2.1.0","runs":[{"results":[{"ruleId":"A"}],"results":[]}]}`, "twice"},
		"too long":               {strings.Repeat(" ", MaxBytes+1), "limit"},
		"a vulnerability's name": {cycloneDXOf(`{"id":""}`), "no identifier"},
	} {
		if _, err := Parse([]byte(test.content)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
}

// TestTheOldestTimeCounts: of several runs.
func TestTheOldestTimeCounts(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte(`{"version":"2.1.0","runs":[{"results":[],"invocations":[{"executionSuccessful":true,"startTimeUtc":"2026-01-01T00:00:00Z","endTimeUtc":"2026-01-03T00:00:00Z"}]},{"results":[],"invocations":[{"startTimeUtc":"2026-01-02T00:00:00Z"}]}]}`))
	if err != nil || !got.At.Equal(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)) || got.Scanner != "unknown" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestVEX: a statement excuses the vulnerability that it names, in the packages that it names.
func TestVEX(t *testing.T) {
	t.Parallel()
	vex := func(vulnerabilities string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"type":"container","bom-ref":"image","name":"shop"}},"vulnerabilities":[` + vulnerabilities + `]}`
	}
	for name, test := range map[string]struct {
		vex  string
		want string // identifiers of what is excused
	}{
		"not affected":          {`{"id":"CVE-2026-0001","analysis":{"state":"not_affected"}}`, "CVE-2026-0001"},
		"resolved":              {`{"id":"CVE-2026-0001","analysis":{"state":"resolved"}},{"id":"CVE-2026-0002","analysis":{"state":"false_positive"}}`, "CVE-2026-0001 CVE-2026-0002"},
		"the image":             {`{"id":"CVE-2026-0001","analysis":{"state":"not_affected"},"affects":[{"ref":"image"}]}`, "CVE-2026-0001"},
		"its package":           {`{"id":"CVE-2026-0001","analysis":{"state":"not_affected"},"affects":[{"ref":"pkg:golang/golang.org/x/crypto@v0.30.0"}]}`, "CVE-2026-0001"},
		"another package":       {`{"id":"CVE-2026-0001","analysis":{"state":"not_affected"},"affects":[{"ref":"pkg:golang/golang.org/x/net@v0.30.0"}]}`, ""},
		"another version":       {`{"id":"CVE-2026-0001","analysis":{"state":"not_affected"},"affects":[{"ref":"pkg:golang/golang.org/x/crypto@v0.29.0"}]}`, ""},
		"in triage":             {`{"id":"CVE-2026-0001","analysis":{"state":"in_triage"}}`, ""},
		"no analysis":           {`{"id":"CVE-2026-0001"}`, ""},
		"another vulnerability": {`{"id":"CVE-2026-000","analysis":{"state":"not_affected"}}`, ""},
		"the beginning of one":  {`{"id":"CVE-2026","analysis":{"state":"not_affected"}},{"id":"CVE","analysis":{"state":"not_affected"}}`, ""},
		"an empty list":         {``, ""},
	} {
		report, err := Parse(read(t, "trivy.sarif"))
		if err != nil {
			t.Fatal(err)
		}
		statements, err := ParseVEX([]byte(vex(test.vex)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		excused := report.Excuse(statements)
		var got []string
		for _, each := range report.Findings {
			if each.Excuse != "" {
				got = append(got, each.ID)
			}
		}
		if strings.Join(got, " ") != test.want || excused != len(got) {
			t.Errorf("%s: excused %q (%d), want %q", name, got, excused, test.want)
		}
	}
	for name, content := range map[string]string{"an SBOM": `{"bomFormat":"CycloneDX","specVersion":"1.6"}`, "SARIF": string(read(t, "trivy.sarif")), "OpenVEX": `{"@context":"https://openvex.dev/ns/v0.2.0","statements":[]}`, "two": vex("") + vex(""),
		"no reference":       vex(`{"id":"A","analysis":{"state":"resolved"},"affects":[{"ref":""}]}`),
		"an empty reference": vex(`{"id":"A","analysis":{"state":"resolved"},"affects":[{"ref":"urn:cdx:a/1#"}]}`),
		"a nameless package": strings.Replace(vex(`{"id":"A","analysis":{"state":"resolved"},"affects":[{"ref":"x"}]}`), `"vuln`, `"components":[{"type":"library","bom-ref":"x","name":""}],"vuln`, 1)} {
		if _, err := ParseVEX([]byte(content)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// FuzzParse: what is read can be recorded: it is printable and bounded.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"trivy.sarif", "trivy.cdx.json"} {
		f.Add(read(f, file))
	}
	f.Add([]byte(sarifOf(`{"ruleId":"A","suppressions":[{"kind":"external"}]}`, `{"id":"A","properties":{"security-severity":"1e400"}}`)))
	f.Add([]byte(cycloneDXOf(`{"id":"A","ratings":[{"score":-1}],"analysis":{"state":"resolved"}}`)))
	f.Fuzz(func(t *testing.T, content []byte) {
		if statements, err := ParseVEX(content); err == nil {
			new(Report).Excuse(statements)
		}
		got, err := Parse(content)
		if err != nil {
			return
		}
		scan := fact.Scan{Scanner: got.Scanner}
		scan.AddFindings(got.Findings)
		if scan.Scanner == "" || len(scan.Findings) > fact.MaxFindings {
			t.Errorf("got %+v", scan)
		}
		for _, each := range got.Findings {
			if each.ID == "" || len(each.ID) > maxName+10 || strings.ContainsAny(each.ID+each.Package+each.Excuse, "\n\r\x1b\u202e") {
				t.Errorf("got %+v", each)
			}
			if _, err := json.Marshal(each); err != nil {
				t.Error(err)
			}
		}
	})
}
