package evidence

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

var sameDigest = cmp.Comparer(func(a, b release.Digest) bool { return a == b })

// facts has a fact of each kind, and variants without what is optional.
func facts(t testing.TB) map[string]fact.Fact {
	t.Helper()
	base := proof(t)
	common := fact.Fact{Image: base.Image, Commit: base.Commit, By: "octocat", Run: base.Run, At: base.At, After: base.After}
	of := func(kind fact.Kind, environment release.Environment, detail func(*fact.Fact)) fact.Fact {
		f := common
		f.Kind, f.Environment = kind, environment
		detail(&f)
		return f
	}
	minimal := func(f fact.Fact) fact.Fact {
		f.By, f.Run, f.After = "", "", nil
		return f
	}
	return map[string]fact.Fact{
		"built": of(fact.Built, "", func(f *fact.Fact) {
			f.After = nil
			f.Build = &fact.Build{Type: fact.BuildType, Source: "https://github.com/example/shop", Builder: "https://github.com/example/shop/.github/workflows/deployment.yaml@refs/heads/main",
				Recipe: digest(t), Inputs: "sha256:1", Platforms: []string{"linux/amd64", "linux/arm64"}, StartedAt: base.At.Add(-time.Minute)}
		}),
		"built-minimal": minimal(of(fact.Built, "", func(f *fact.Fact) {
			f.Build = &fact.Build{Type: fact.BuildType, Builder: "https://onedigest.dev/builder/local", Recipe: digest(t)}
		})),
		"listed":         listed(t, `{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:1","version":1,"metadata":{"timestamp":"2026-01-02T03:04:05Z"},"components":[{"type":"library","name":"example.com/<lib>"}]}`),
		"listed-minimal": listed(t, `{ "bomFormat": "CycloneDX", "specVersion": "1.2" }`),
		"scanned": of(fact.Scanned, "", func(f *fact.Fact) {
			f.Commit = ""
			f.Scan = &fact.Scan{Scanner: "Trivy", Version: "0.70.0", Format: "sarif", Results: digest(t), Images: []release.Digest{digest(t)}, ScannedAt: base.At.Add(-time.Hour), DatabaseAt: base.At.Add(-24 * time.Hour),
				Counts: map[fact.Severity]int{fact.Critical: 1, fact.Low: 1}, Findings: []fact.Finding{{ID: "CVE-2026-0001", Package: "golang.org/x/crypto@v0.30.0", Severity: fact.Critical}, {ID: "CVE-2026-0002", Severity: fact.Low}},
				Unstated: []fact.Unstated{fact.UnstatedTime, fact.UnstatedPlatforms}, Excused: []fact.Finding{{ID: "CVE-2026-0003", Package: "stdlib@v1.26.0", Severity: fact.Unknown, Excuse: "not_affected (code_not_reachable)"}}, ExcusedAll: 1}
		}),
		"scanned-minimal": minimal(of(fact.Scanned, "", func(f *fact.Fact) {
			f.Commit = ""
			f.Scan = &fact.Scan{Scanner: "Amazon ECR", Format: "ecr", ScannedAt: base.At, Counts: map[fact.Severity]int{}}
		})),
		"deployed": of(fact.Deployed, "production", func(f *fact.Fact) {
			f.Deployment = &fact.Deployment{Cluster: "shop", Server: "1234.gr7.eu-central-1.eks.amazonaws.com", Namespace: "production", Release: "shop", Revision: 7, Chart: "charts/service", ChartDigest: digest(t), ValuesDigest: digest(t), Set: []string{"config.GREETING", "replicas"}, Source: base.Commit, Pods: 3}
		}),
		"deployed-minimal": minimal(of(fact.Deployed, "production", func(f *fact.Fact) {
			f.Commit = ""
			f.Deployment = &fact.Deployment{Cluster: "127.0.0.1:6443", Namespace: "production", Release: "shop", Revision: 1, ChartDigest: digest(t), ValuesDigest: digest(t)}
		})),
		"deployed-rolled-back": minimal(of(fact.Deployed, "production", func(f *fact.Fact) {
			f.Deployment = &fact.Deployment{Cluster: "shop", Namespace: "production", Release: "shop", Revision: 9, RolledBackTo: 7, Pods: 3}
		})),
		"promoted": of(fact.Promoted, "production", func(f *fact.Fact) {
			f.Promotion = &fact.Promotion{From: "staging", Tag: "production-c0c0", Source: base.Commit, Proof: digest(t), ProvedAt: base.At.Add(-time.Hour)}
		}),
		"promoted-override": minimal(of(fact.Promoted, "production", func(f *fact.Fact) {
			f.Promotion = &fact.Promotion{From: "staging", Tag: "production-c0c0", Override: "INC-1: the fix cannot wait for the soak"}
		})),
		"rejected": of(fact.Rejected, "production", func(f *fact.Fact) {
			f.Rejection = &fact.Rejection{Reason: "orders are lost", Cause: fact.BySmoke}
		}),
		"rejected-everywhere": minimal(of(fact.Rejected, "", func(f *fact.Fact) {
			f.Commit = ""
			f.Rejection = &fact.Rejection{Reason: "contains a leaked key", Cause: fact.ByPerson}
		})),
		"lifted": of(fact.Lifted, "production", func(f *fact.Fact) {
			f.Lift = &fact.Lift{Reason: "the load test was wrong", Rejections: []release.Digest{digest(t)}}
		}),
		"lifted-everywhere": minimal(of(fact.Lifted, "", func(f *fact.Fact) {
			f.Commit = ""
			f.Lift = &fact.Lift{Reason: "another image was meant", Rejections: []release.Digest{digest(t)}}
		})),
		"overridden": of(fact.Overridden, "production", func(f *fact.Fact) {
			f.Override = &fact.Override{Reason: "INC-1: the fix cannot wait", Missing: []string{"soak: 24h"}, Policy: digest(t)}
		}),
		"smoked": fact.FromEvidence(base),
	}
}

// listed is the fact of an SBOM.
func listed(t testing.TB, document string) fact.Fact {
	t.Helper()
	sbom, at, err := ReadSBOM([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return fact.Fact{Kind: fact.Listed, Image: proof(t).Image, At: at, SBOM: &sbom}
}

// TestReadSBOM: what is not CycloneDX in JSON, or two readers could read differently, is refused.
func TestReadSBOM(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ document, says string }{
		"nothing":          {``, "EOF"},
		"SPDX":             {`{"spdxVersion":"SPDX-2.3"}`, "bomFormat"},
		"XML":              {`<bom/>`, "invalid character"},
		"a version of XML": {`{"bomFormat":"CycloneDX","specVersion":"1.1"}`, "not a version"},
		"a field twice":    {`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[],"components":[{}]}`, "twice"},
		"no time":          {`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"timestamp":"now"}}`, "not a time"},
		"two documents":    {`{"bomFormat":"CycloneDX","specVersion":"1.6"}{}`, "follows"},
		"deep":             {`{"bomFormat":"CycloneDX","specVersion":"1.6","components":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "deep"},
		"long":             {`{"bomFormat":"CycloneDX","specVersion":"1.6","x":"` + strings.Repeat("x", fact.MaxSBOM) + `"}`, "limit 720896"},
		"long in a record": {`{"bomFormat":"CycloneDX","specVersion":"1.6","x":"` + strings.Repeat("<", fact.MaxSBOM/2) + `"}`, "with escapes"},
		"a long serial":    {`{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"` + strings.Repeat("x", 101) + `"}`, "serial"},
	} {
		if _, _, err := ReadSBOM([]byte(test.document)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
	// The largest document that is read can be recorded, signed.
	largest := listed(t, `{"bomFormat":"CycloneDX","specVersion":"1.6","x":"`+strings.Repeat("x", fact.MaxSBOM-60)+`"}`)
	encoded, err := EncodeFact(largest)
	if err != nil || len(encoded) < fact.MaxSBOM-10 || len(encoded)*4/3 > signed.Limit-2000 {
		t.Errorf("got %d bytes, %v", len(encoded), err)
	}
}

func TestFactsGolden(t *testing.T) {
	t.Parallel()
	for name, f := range facts(t) {
		encoded, err := EncodeFact(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Kind != fact.Smoked { // which has golden files of its own
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, append(encoded, '\n'), "", "  "); err != nil {
				t.Fatal(err)
			}
			file := "testdata/" + name + ".json"
			if *update {
				if err := os.WriteFile(file, pretty.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		}
		again, err := DecodeFact(encoded)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(f, again, sameDigest); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if kind, known := KindOf(TypeOf(f.Kind)); !known || kind != f.Kind {
			t.Errorf("%s: the kind of %q is %q", name, TypeOf(f.Kind), kind)
		}
	}
}

func TestEncodeFactRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		of     string
		change func(*fact.Fact)
		says   string
	}{
		"no digest":                {"built", func(f *fact.Fact) { f.Image.Digest = release.Digest{} }, "digest"},
		"no repository":            {"built", func(f *fact.Fact) { f.Image.Repository = "" }, "repository"},
		"a build of no commit":     {"built", func(f *fact.Fact) { f.Commit = "" }, "commit"},
		"a build by nobody":        {"built", func(f *fact.Fact) { f.Build.Builder = "" }, "builder.id"},
		"a build without a recipe": {"built", func(f *fact.Fact) { f.Build.Recipe = release.Digest{} }, "recipe"},
		"a build somewhere":        {"built", func(f *fact.Fact) { f.Environment = "staging" }, "environment"},
		"another program's recipe": {"built", func(f *fact.Fact) { f.Build.Type = "https://example.com/b" }, "only a build by onedigest"},
		"an SBOM of a commit":      {"listed", func(f *fact.Fact) { f.Commit = proof(t).Commit }, "no environment, commit or run"},
		"an SBOM of another time":  {"listed", func(f *fact.Fact) { f.At = f.At.Add(time.Hour) }, "another time"},
		"an SBOM with spaces":      {"listed", func(f *fact.Fact) { f.SBOM.Document = append(f.SBOM.Document, ' ') }, "not normalized"},
		"an SBOM that is none":     {"listed", func(f *fact.Fact) { f.SBOM.Document = []byte("{}") }, "bomFormat"},
		"a scan of a commit":       {"scanned", func(f *fact.Fact) { f.Commit = proof(t).Commit }, "no environment and no commit"},
		"a scan by nobody":         {"scanned", func(f *fact.Fact) { f.Scan.Scanner = "" }, "scanner.name"},
		"a scan at no time":        {"scanned", func(f *fact.Fact) { f.Scan.ScannedAt = time.Time{} }, "no time"},
		"fewer counts than named":  {"scanned", func(f *fact.Fact) { f.Scan.Counts = map[fact.Severity]int{fact.Low: 2} }, "counts 0"},
		"more counts than named":   {"scanned", func(f *fact.Fact) { f.Scan.Counts = map[fact.Severity]int{fact.Critical: 1, fact.Low: 2} }, "counts 3 findings, but lists 2"},
		"no counts":                {"scanned", func(f *fact.Fact) { f.Scan.Counts = nil }, "counts 0"},
		"a count below none":       {"scanned", func(f *fact.Fact) { f.Scan.Counts = map[fact.Severity]int{fact.Critical: -1} }, "findings of severity"},
		"a severity of its own":    {"scanned", func(f *fact.Fact) { f.Scan.Findings = []fact.Finding{{ID: "a", Severity: "bad"}} }, "bad"},
		"an excuse that counts":    {"scanned", func(f *fact.Fact) { f.Scan.Findings = f.Scan.Excused }, "is listed as counting, but has an excuse"},
		"unstated, whatever":       {"scanned", func(f *fact.Fact) { f.Scan.Unstated = []fact.Unstated{"all"} }, "is not known"},
		"fewer excused than named": {"scanned", func(f *fact.Fact) { f.Scan.ExcusedAll = 0 }, "excused findings"},
		"no detail":                {"built", func(f *fact.Fact) { f.Build = nil }, "details"},
		"two details":              {"built", func(f *fact.Fact) { f.Rejection = &fact.Rejection{} }, "details"},
		"another kind":             {"built", func(f *fact.Fact) { f.Kind = "seen" }, "kind"},
		"nowhere":                  {"deployed", func(f *fact.Fact) { f.Environment = "" }, "environment"},
		"no cluster":               {"deployed", func(f *fact.Fact) { f.Deployment.Cluster = "" }, "cluster"},
		"a rollback to itself":     {"deployed", func(f *fact.Fact) { f.Deployment.RolledBackTo = f.Deployment.Revision }, "a rollback goes to an earlier revision"},
		"revision 0":               {"deployed", func(f *fact.Fact) { f.Deployment.Revision = 0 }, "revision"},
		"no chart":                 {"deployed", func(f *fact.Fact) { f.Deployment.ChartDigest = release.Digest{} }, "chart"},
		"no values":                {"deployed", func(f *fact.Fact) { f.Deployment.ValuesDigest = release.Digest{} }, "values"},
		"short commit of values":   {"deployed", func(f *fact.Fact) { f.Deployment.Source = "c0" }, "commit"},
		"no proof":                 {"promoted", func(f *fact.Fact) { f.Promotion.Proof = release.Digest{} }, "proof"},
		"no tag":                   {"promoted", func(f *fact.Fact) { f.Promotion.Tag = "" }, "tag"},
		"a bad tag":                {"promoted", func(f *fact.Fact) { f.Promotion.Tag = "a b" }, "tag"},
		"to itself":                {"promoted", func(f *fact.Fact) { f.Promotion.From = "production" }, "itself"},
		"from no label":            {"promoted", func(f *fact.Fact) { f.Promotion.From = "Staging" }, "DNS label"},
		"no reason":                {"rejected", func(f *fact.Fact) { f.Rejection.Reason = "" }, "reason"},
		"a line in a reason":       {"rejected", func(f *fact.Fact) { f.Rejection.Reason = "a\n::set-output" }, "printable"},
		"no cause":                 {"rejected", func(f *fact.Fact) { f.Rejection.Cause = "" }, "cause"},
		"nothing is lifted":        {"lifted", func(f *fact.Fact) { f.Lift.Rejections = nil }, "rejections"},
		"lifted for no reason":     {"lifted", func(f *fact.Fact) { f.Lift.Reason = "" }, "reason"},
		"nothing is missing":       {"overridden", func(f *fact.Fact) { f.Override.Missing = nil }, "rules"},
		"overridden by nobody":     {"overridden", func(f *fact.Fact) { f.By = "" }, "by"},
		"no time":                  {"rejected", func(f *fact.Fact) { f.At = time.Time{} }, "time"},
		"not by printable":         {"rejected", func(f *fact.Fact) { f.By = "a\u202eb" }, "printable"},
		"an earlier nothing":       {"rejected", func(f *fact.Fact) { f.After = []release.Digest{{}} }, "without a digest"},
	} {
		f := facts(t)[change.of]
		change.change(&f)
		if _, err := EncodeFact(f); err == nil || !strings.Contains(err.Error(), change.says) || !strings.HasPrefix(err.Error(), "writing ") {
			t.Errorf("%s: got %v, want %q", name, err, change.says)
		}
	}
}

func TestDecodeFactRefuses(t *testing.T) {
	t.Parallel()
	encodedOf := func(name string) string {
		encoded, err := EncodeFact(facts(t)[name])
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	for name, test := range map[string]struct{ of, old, with, says string }{
		"another statement":    {"deployed", "Statement/v1", "Statement/v2", "is not https://in-toto.io/Statement/v1"},
		"another predicate":    {"deployed", "deployed/v1", "deployed/v2", "is not one of a fact"},
		"another's predicate":  {"deployed", "attestation/deployed/v1", "attestation/rejected/v1", "cause"},
		"two subjects":         {"deployed", `"subject":[`, `"subject":[{"digest":{"sha256":"` + strings.Repeat("ef", 32) + `"}},`, "2 subjects"},
		"a field twice":        {"rejected", `"reason":`, `"reason":"x","reason":`, "twice"},
		"a field twice folded": {"rejected", `"reason":`, `"REASON":"x","reason":`, "twice"},
		"no predicate":         {"rejected", `"predicate":{`, `"other":{`, "no predicate"},
		"null":                 {"rejected", `"predicate":{`, `"predicate":null,"other":{`, "no predicate"},
		"a list":               {"rejected", `"predicate":{`, `"predicate":[],"other":{`, "cannot unmarshal"},
		"sha512":               {"deployed", `"subject":[{"name":"registry.example/shop","digest":{"sha256":`, `"subject":[{"name":"registry.example/shop","digest":{"sha512":`, "subject"},
		"a chart's sha1":       {"deployed", `"charts/service","digest":{"sha256":`, `"charts/service","digest":{"sha1":`, "chart"},
		"two commits":          {"built", `"resolvedDependencies":[`, `"resolvedDependencies":[{"digest":{"gitCommit":"` + strings.Repeat("d1", 20) + `"}},`, "two commits"},
		"another commit":       {"built", `"gitCommit":"c0c0`, `"gitCommit":"c1c0`, "contradicts"},
		"no builder":           {"built", `"builder":{`, `"other":{`, "builder.id"},
		"something after":      {"built", `}}}`, `}}} x`, "follows"},
	} {
		good := encodedOf(test.of)
		bad := strings.Replace(good, test.old, test.with, 1)
		if test.old == "}}}" {
			bad = good + " x"
		}
		if bad == good {
			t.Errorf("%s: %q is not in %s", name, test.old, good)
		}
		if got, err := DecodeFact([]byte(bad)); err == nil || !strings.Contains(err.Error(), test.says) || !cmp.Equal(got, fact.Fact{}, sameDigest) {
			t.Errorf("%s: got %+v, %v, want %q", name, got, err, test.says)
		}
	}
}

// TestProvenanceOfGitHub reads what actions/attest-build-provenance signs.
func TestProvenanceOfGitHub(t *testing.T) {
	t.Parallel()
	encoded, err := os.ReadFile("testdata/github-provenance.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeFact(encoded)
	if err != nil {
		t.Fatal(err)
	}
	want := fact.Fact{Kind: fact.Built, Image: release.Repository("ghcr.io/example/shop").At(digest(t)), Commit: release.Commit(strings.Repeat("c0", 20)),
		Run: "https://github.com/example/shop/actions/runs/42/attempts/1",
		Build: &fact.Build{Type: "https://actions.github.io/buildtypes/workflow/v1", Source: "https://github.com/example/shop",
			Builder: "https://github.com/example/shop/.github/workflows/build.yaml@refs/heads/main"}}
	if diff := cmp.Diff(want, got, sameDigest); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What only onedigest's own builds have is not taken from another's.
	forged := strings.Replace(string(encoded), `"workflow":`, `"recipe":{"digest":{"sha256":"`+strings.Repeat("ab", 32)+`"}},"platforms":["x"],"workflow":`, 1)
	if got, err = DecodeFact([]byte(forged)); err != nil || !got.Build.Recipe.IsZero() || got.Build.Platforms != nil {
		t.Errorf("got %+v, %v", got.Build, err)
	}
}

// FuzzDecodeFact: what is decoded can be encoded, and decoded again to the same.
func FuzzDecodeFact(f *testing.F) {
	all := facts(f)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		encoded, err := EncodeFact(all[name])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	github, err := os.ReadFile("testdata/github-provenance.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(github)
	f.Fuzz(func(t *testing.T, content []byte) {
		first, err := DecodeFact(content)
		if err != nil {
			return
		}
		again, err := EncodeFact(first)
		if err != nil {
			if strings.Contains(err.Error(), ", limit ") {
				return // escapes can make the same fact longer
			}
			t.Fatalf("decoded, but not encoded: %v", err)
		}
		second, err := DecodeFact(again)
		if err != nil {
			t.Fatalf("encoded, but not decoded: %v\n%s", err, again)
		}
		if first.Kind != second.Kind || first.Image != second.Image || first.Commit != second.Commit || first.Environment != second.Environment || !first.At.Equal(second.At) {
			t.Errorf("decoded to another:\n%+v\n%+v", first, second)
		}
		same := second.Repeats(first)
		switch first.Kind {
		case fact.Smoked: // which FuzzDecode compares
			same = true
		case fact.Overridden: // of which none repeats another
			same = cmp.Equal(first.Override, second.Override, sameDigest)
		}
		if !same {
			t.Errorf("decoded to other details:\n%s\n%s", content, again)
		}
	})
}
