package history

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

var (
	compactNow   = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	compactImage = release.Repository("registry.example/team/shop").At(release.DigestOf([]byte("image")))
)

func named(text string) release.Digest { return release.DigestOf([]byte(text)) }

// smokedOn is a verdict of staging some days before now, which names the ones before it.
func smokedOn(name string, days int, signer string, verdict release.Verdict, after ...string) fact.Record {
	at := compactNow.Add(-time.Duration(days) * 24 * time.Hour)
	found := release.Evidence{Image: compactImage, Environment: "staging", Verdict: verdict, Checks: []string{"/"}, Rounds: 3, Pods: []string{"a"}, URL: "http://a", At: at}
	for _, each := range after {
		found.After = append(found.After, named(each))
	}
	return fact.Record{Fact: fact.FromEvidence(found), Record: named(name), Signed: signer != "", Signer: signer}
}

func scannedOn(name string, days int, signer, scanner string, findings int) fact.Record {
	at := compactNow.Add(-time.Duration(days) * 24 * time.Hour)
	return fact.Record{Fact: fact.Fact{Kind: fact.Scanned, Image: compactImage, At: at, Scan: &fact.Scan{Scanner: scanner, ScannedAt: at, Counts: map[fact.Severity]int{fact.High: findings}}},
		Record: named(name), Signed: signer != "", Signer: signer}
}

// TestSuperseded: what stands between two records of one signer that say the same can go, and nothing else.
func TestSuperseded(t *testing.T) {
	t.Parallel()
	passes := []fact.Record{smokedOn("1", 40, "ours", release.Pass), smokedOn("2", 30, "ours", release.Pass), smokedOn("3", 20, "ours", release.Pass), smokedOn("4", 10, "ours", release.Pass)}
	with := func(more ...fact.Record) []fact.Record { return append(slices.Clone(passes), more...) }
	change := func(at int, do func(*fact.Record)) []fact.Record {
		changed := slices.Clone(passes)
		smoke := *changed[at].Smoke
		changed[at].Smoke = &smoke
		do(&changed[at])
		return changed
	}
	fact1 := func(kind fact.Kind, days int, set func(*fact.Fact)) fact.Record {
		record := fact.Record{Fact: fact.Fact{Kind: kind, Image: compactImage, Environment: "production", At: compactNow.Add(-time.Duration(days) * 24 * time.Hour)}, Record: named(string(kind))}
		set(&record.Fact)
		return record
	}
	for name, test := range map[string]struct {
		records []fact.Record
		want    []string
	}{
		"four passes":                       {passes, []string{"2", "3"}},
		"in another order of the list":      {[]fact.Record{passes[2], passes[0], passes[3], passes[1]}, []string{"2", "3"}},
		"two passes":                        {passes[:2], nil},
		"a failure between":                 {with(smokedOn("f", 25, "ours", release.Fail)), nil},
		"a failure between, by a stranger":  {with(smokedOn("f", 15, "", release.Fail)), []string{"2"}},
		"a deploy between":                  {with(fact1(fact.Deployed, 25, func(f *fact.Fact) { f.Environment, f.Deployment = "staging", &fact.Deployment{Source: "x"} })), nil},
		"a deploy to another environment":   {with(fact1(fact.Deployed, 25, func(f *fact.Fact) { f.Deployment = &fact.Deployment{Source: "x"} })), []string{"2", "3"}},
		"an inconclusive smoke between":     {with(smokedOn("f", 25, "", release.Inconclusive)), nil},
		"failures alone":                    {[]fact.Record{smokedOn("1", 40, "ours", release.Fail), smokedOn("2", 30, "ours", release.Fail), smokedOn("3", 20, "ours", release.Fail)}, nil},
		"a pass of another key between":     {with(smokedOn("x", 25, "theirs", release.Pass)), []string{"2", "3"}},
		"passes without a signature":        {[]fact.Record{smokedOn("1", 40, "", release.Pass), smokedOn("2", 30, "", release.Pass), smokedOn("3", 20, "", release.Pass)}, nil},
		"by other checks":                   {change(1, func(r *fact.Record) { r.Smoke.Checks = []string{"/", "/login"} }), nil},
		"of another environment":            {change(1, func(r *fact.Record) { r.Environment, r.Smoke.Environment = "qa", "qa" }), []string{"3"}},
		"a copied one":                      {change(1, func(r *fact.Record) { r.Smoke.Origin = "registry.example/other" }), []string{"3"}},
		"of another repository":             {change(1, func(r *fact.Record) { r.Image.Repository, r.Smoke.Image.Repository = "r.example/x", "r.example/x" }), nil},
		"one that is not trusted":           {change(1, func(r *fact.Record) { r.Untrusted = "expired" }), []string{"3"}},
		"a deploy that cannot be read":      {with(fact.Record{Fact: fact.Fact{Kind: fact.Deployed, Environment: "staging"}, Problem: "lost"}), nil},
		"one that cannot be read":           {with(fact.Record{Fact: fact.Fact{Kind: fact.Smoked, Environment: "staging"}, Problem: "lost"}), nil},
		"a proof of a promotion":            {with(fact1(fact.Promoted, 19, func(f *fact.Fact) { f.Promotion = &fact.Promotion{Proof: named("3")} })), []string{"2"}},
		"one that a lift names":             {with(fact1(fact.Lifted, 19, func(f *fact.Fact) { f.Lift = &fact.Lift{Rejections: []release.Digest{named("2")}} })), []string{"3"}},
		"rejections":                        {[]fact.Record{fact1(fact.Rejected, 40, func(f *fact.Fact) { f.Rejection = &fact.Rejection{} }), fact1(fact.Rejected, 30, func(f *fact.Fact) { f.Rejection = &fact.Rejection{} }), fact1(fact.Rejected, 20, func(f *fact.Fact) { f.Rejection = &fact.Rejection{} })}, nil},
		"the same hour":                     {[]fact.Record{smokedOn("1", 40, "ours", release.Pass), smokedOn("2", 40, "ours", release.Pass), smokedOn("3", 10, "ours", release.Pass)}, nil},
		"one of the future":                 {with(smokedOn("5", -10, "ours", release.Pass)), []string{"2", "3"}},
		"a copy of the newest":              {with(smokedOn("5", 10, "ours", release.Pass)), []string{"2", "3"}},
		"one that orders a failure":         {[]fact.Record{smokedOn("f", 41, "", release.Fail), passes[0], smokedOn("2", 30, "ours", release.Pass, "f"), passes[2], passes[3]}, []string{"3"}},
		"a failure after it that names it":  {with(smokedOn("f", 9, "", release.Fail, "4")), []string{"2", "3"}},
		"a failure before it that names it": {with(smokedOn("f", 41, "", release.Fail, "4")), nil},
		"scans of each day": {[]fact.Record{scannedOn("1", 5, "ours", "Trivy", 0), scannedOn("2", 4, "ours", "Trivy", 0), scannedOn("3", 3, "ours", "Trivy", 1), scannedOn("4", 2, "ours", "Trivy", 1),
			scannedOn("5", 1, "ours", "Trivy", 1), scannedOn("6", 0, "ours", "Trivy", 0)}, []string{"4"}},
		"scans of two scanners": {[]fact.Record{scannedOn("1", 5, "ours", "Trivy", 0), scannedOn("2", 4, "ours", "Grype", 1), scannedOn("3", 3, "ours", "Trivy", 0), scannedOn("4", 2, "ours", "Grype", 1),
			scannedOn("5", 1, "ours", "Trivy", 0)}, []string{"3"}},
	} {
		var got []release.Digest
		for _, record := range superseded(test.records, compactImage, compactNow) {
			got = append(got, record.Record)
		}
		var want []release.Digest
		for _, each := range test.want {
			want = append(want, named(each))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d records go, want %q", name, len(got), test.want)
		}
	}
}

// TestSupersededByTarget: passes of two clusters that alternate are two series, of each of which the first and the newest stay; a failure of one divides the series of
// no other, and a failure of no target each.
func TestSupersededByTarget(t *testing.T) {
	t.Parallel()
	at := func(cluster string, record fact.Record) fact.Record {
		record.Smoke.Target = release.Target{Cluster: cluster}
		return record
	}
	var passes []fact.Record
	for day := 40; day > 0; day -= 10 {
		passes = append(passes, at("eu", smokedOn(fmt.Sprint("eu", day), day, "ours", release.Pass)), at("us", smokedOn(fmt.Sprint("us", day), day-1, "ours", release.Pass)))
	}
	for name, test := range map[string]struct {
		more []fact.Record
		want []string
	}{
		"passes":                         {nil, []string{"eu30", "us30", "eu20", "us20"}},
		"a failure of one":               {[]fact.Record{at("eu", smokedOn("fail", 25, "ours", release.Fail))}, []string{"us30", "us20"}},
		"a failure that names no target": {[]fact.Record{smokedOn("fail", 25, "ours", release.Fail)}, nil},
	} {
		var got, want []string
		for _, record := range superseded(append(slices.Clone(passes), test.more...), compactImage, compactNow) {
			got = append(got, record.Record.String())
		}
		for _, each := range test.want {
			want = append(want, named(each).String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d records go, want %q", name, len(got), test.want)
		}
	}
}

// TestABoundOfRecords: of smokes and scans in each hour of a year, all of which say the same, four records stay: verifiers such as Kyverno give up above 50.
func TestABoundOfRecords(t *testing.T) {
	t.Parallel()
	var records []fact.Record
	var pass, scan fact.Record // the newest ones
	for hour := 365 * 24; hour > 0; hour-- {
		at := compactNow.Add(-time.Duration(hour) * time.Hour)
		nextPass, nextScan := smokedOn(fmt.Sprint("pass", hour), 0, "ours", release.Pass), scannedOn(fmt.Sprint("scan", hour), 0, "ours", "Trivy", 2)
		nextPass.At, nextPass.Smoke.At, nextScan.At, nextScan.Scan.ScannedAt = at, at, at, at
		if !nextPass.Repeats(pass.Fact) { // as smoke and scan decide what they record
			records, pass = append(records, nextPass), nextPass
		}
		if !nextScan.Repeats(scan.Fact) {
			records, scan = append(records, nextScan), nextScan
		}
	}
	if left := len(records) - len(superseded(records, compactImage, compactNow)); len(records) != 53+365 || left != 4 {
		t.Errorf("%d records were written, %d of them stay", len(records), left)
	}
}

// TestNothingDependsOnWhatIsSuperseded compares what readers conclude from random records before and after, by each signer that they may trust and both orders
// of time that a registry gives.
func TestNothingDependsOnWhatIsSuperseded(t *testing.T) {
	t.Parallel()
	const rounds = 3000
	deleted := 0
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test's
		var records []fact.Record
		day := 140 // the last ones may be in the future
		for n := range 3 + random.IntN(12) {
			day -= random.IntN(12)
			signer := []string{"ours", "ours", "theirs", ""}[random.IntN(4)]
			name := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, seed, n)))
			switch random.IntN(3) {
			case 0:
				records = append(records, scannedOn(name, day, signer, []string{"Trivy", "Grype"}[random.IntN(2)], random.IntN(2)))
				continue
			case 1:
				day -= random.IntN(20)
			}
			verdict := []release.Verdict{release.Pass, release.Pass, release.Pass, release.Pass, release.Fail, release.Inconclusive}[random.IntN(6)]
			record := smokedOn(name, day, signer, verdict)
			if seed%2 == 1 {
				record.Smoke.Target = []release.Target{{}, {Cluster: "eu"}, {Cluster: "eu"}, {Cluster: "us"}}[random.IntN(4)]
			}
			for _, each := range records { // most of those before it, as a registry lists them
				if each.Smoke != nil && random.IntN(10) > 0 {
					record.After, record.Smoke.After = append(record.After, each.Record), append(record.Smoke.After, each.Record)
				}
			}
			records = append(records, record)
		}
		gone := superseded(records, compactImage, compactNow)
		deleted += len(gone)
		left := slices.DeleteFunc(slices.Clone(records), func(r fact.Record) bool {
			return slices.ContainsFunc(gone, func(g fact.Record) bool { return g.Record == r.Record })
		})
		for _, trusted := range []string{"ours", "theirs", ""} {
			for _, dated := range []bool{false, true} {
				if before, after := conclude(records, trusted, dated), conclude(left, trusted, dated); before != after {
					t.Fatalf("seed %d, trusting %q, pushed times %t: %d records go, and %q becomes %q", seed, trusted, dated, len(gone), before, after)
				}
			}
		}
	}
	if deleted < rounds/10 {
		t.Errorf("only %d records went in %d rounds", deleted, rounds)
	}
}

// conclude is what readers who trust a signer, or everybody, conclude: the record that decides about staging, the newest scans, and what keeps the image out.
func conclude(records []fact.Record, trusted string, dated bool) string {
	counts := func(r fact.Record) bool { return trusted == "" || r.Signer == trusted }
	var entries []evidence.Entry
	for _, record := range records {
		if record.Smoke == nil || record.Smoke.Verdict == release.Pass && !counts(record) {
			continue
		}
		smoke := *record.Smoke
		smoke.After = record.After
		entry := evidence.Entry{Listed: record.Record.String(), Record: record.Record, Evidence: smoke, Readable: true, Verdict: smoke.Verdict, At: smoke.At}
		if dated {
			entry.PushedAt = smoke.At.Add(time.Second)
		}
		entries = append(entries, entry)
	}
	slices.SortStableFunc(entries, func(a, b evidence.Entry) int { return b.At.Compare(a.At) })
	latest, found := evidence.Latest(entries, compactImage, "staging", compactNow)
	told := fmt.Sprint(found, latest.Record)
	for _, target := range []release.Target{{Cluster: "eu"}, {Cluster: "us"}} {
		own, found := evidence.LatestAt(entries, compactImage, "staging", target, compactNow)
		told += fmt.Sprint(" ", target.Cluster, found, own.Record)
	}
	for _, scanner := range []string{"", "Trivy", "Grype"} {
		newest, found := fact.NewestScan(records, func(r fact.Record) bool { return counts(r) && (scanner == "" || r.Scan.Scanner == scanner) })
		told += fmt.Sprint(" ", scanner, found, newest.Record)
	}
	against, _ := policy.Against(records, compactImage, policy.Rung{Environment: "staging", Requires: policy.Requirements{NotRejected: true, Smoked: &policy.Smoked{In: "qa"}}}, policy.Trust{})
	return told + fmt.Sprint(len(against))
}
