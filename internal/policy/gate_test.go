package policy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// passed returns what is known of an image that staging proved an hour ago.
func passed(t *testing.T) policy.Facts {
	t.Helper()
	image := release.Repository("registry.example/shop").At(releasetest.Digest(t, "a"))
	return policy.Facts{Image: image,
		Smoked: policy.Finding[release.Record]{Found: true, Signed: true, Fact: release.Record{Signer: "keys/staging.pub", Record: releasetest.Digest(t, "b"), Evidence: release.Evidence{
			Image: image, Commit: releasetest.Commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"home", "login"}, CheckSet: releasetest.Digest(t, "c"),
			Rounds: 3, At: now.Add(-time.Hour)}}},
		Deployed: policy.Finding[policy.Deploy]{Found: true, Fact: policy.Deploy{Environment: "staging", At: now.Add(-2 * time.Hour), Signer: "keys/staging.pub"}},
		Built:    policy.Finding[policy.Build]{Found: true, Fact: policy.Build{Commit: releasetest.Commit, At: now.Add(-3 * time.Hour), Signer: "keys/build.pub"}},
		Listed:   policy.Finding[policy.List]{Found: true, Fact: policy.List{Spec: "1.6", Components: 14, At: now.Add(-4 * time.Hour), Signer: "keys/build.pub"}},
		Scanned: policy.Finding[policy.Scan]{Found: true, Fact: policy.Scan{Signer: "keys/scan.pub", Scan: fact.Scan{Scanner: "Trivy", Version: "0.70.0", ScannedAt: now.Add(-4 * time.Hour), DatabaseAt: now.Add(-6 * time.Hour),
			Counts: map[fact.Severity]int{fact.High: 7, fact.Low: 1}, ExcusedAll: 2, Findings: []fact.Finding{{ID: "CVE-2026-0001", Package: "golang.org/x/net@v0.1.0", Severity: fact.High}, {ID: "CVE-2026-0002", Severity: fact.High}}}}},
		Chart: &release.CheckedOut{Commit: releasetest.Commit},
	}
}

// TestRan: the last verdict of smoke while the commit's chart was live decides, by records that a signer signed.
func TestRan(t *testing.T) {
	t.Parallel()
	image := release.Repository("registry.example/shop").At(releasetest.Digest(t, "a"))
	later, other := release.Commit(strings.Repeat("e", 40)), releasetest.Commit
	signer := policy.Signer{Key: "staging.pub"}
	deployed := func(minute int, source release.Commit, change ...func(*fact.Record)) fact.Record {
		record := fact.Record{Signer: "staging", Fact: fact.Fact{Kind: fact.Deployed, Image: image, Environment: "staging", At: now.Add(time.Duration(minute) * time.Minute),
			Deployment: &fact.Deployment{Cluster: "c", Namespace: "n", Release: "r", Source: source}}}
		for _, each := range change {
			each(&record)
		}
		return record
	}
	smoked := func(minute int, verdict release.Verdict) fact.Record {
		return fact.Record{Signer: "staging", Fact: fact.FromEvidence(release.Evidence{Image: image, Environment: "staging", Verdict: verdict, At: now.Add(time.Duration(minute) * time.Minute)})}
	}
	at := func(cluster string, verdict fact.Record) fact.Record {
		verdict.Smoke.Target = release.Target{Cluster: cluster, Namespace: "n", Release: "r"}
		return verdict
	}
	rolledBack := func(r *fact.Record) { r.Deployment.RolledBackTo = 1 }
	lost := func(hours int) fact.Record {
		verdict := smoked(hours, release.Fail)
		return fact.Record{Fact: fact.Fact{Kind: fact.Smoked, Environment: verdict.Environment, At: verdict.At}, Problem: "lost"}
	}
	for name, test := range map[string]struct {
		records []fact.Record
		found   bool
		other   string
	}{
		"nothing":                       {},
		"proved":                        {[]fact.Record{deployed(0, later), smoked(1, release.Pass)}, true, ""},
		"proved, and another came":      {[]fact.Record{deployed(0, later), smoked(1, release.Pass), deployed(2, other), smoked(3, release.Fail)}, true, ""},
		"an earlier pass":               {[]fact.Record{smoked(-1, release.Pass), deployed(0, later)}, false, "no smoke passed while it was live"},
		"a pass of the next":            {[]fact.Record{deployed(0, later), deployed(2, other), smoked(3, release.Pass)}, false, "no smoke passed while it was live"},
		"failed, gone back, passed":     {[]fact.Record{deployed(0, later), smoked(1, release.Fail), deployed(2, "", rolledBack), smoked(3, release.Pass)}, false, `the verdict of smoke was "fail"`},
		"failed, then passed":           {[]fact.Record{deployed(0, later), smoked(1, release.Fail), smoked(2, release.Pass)}, true, ""},
		"passed, then failed":           {[]fact.Record{deployed(0, later), smoked(1, release.Pass), smoked(2, release.Fail)}, false, `the verdict of smoke was "fail"`},
		"deployed twice, proved once":   {[]fact.Record{deployed(0, later), smoked(1, release.Pass), deployed(2, other), deployed(4, later)}, true, ""},
		"deployed again, then a pass":   {[]fact.Record{deployed(0, later), deployed(2, later), smoked(3, release.Pass)}, true, ""},
		"a rollback to it":              {[]fact.Record{deployed(0, later, rolledBack), smoked(1, release.Pass)}, false, ""},
		"another release between":       {[]fact.Record{deployed(0, later), deployed(1, other, func(r *fact.Record) { r.Deployment.Release = "s" }), smoked(2, release.Pass)}, true, ""},
		"failed, passed elsewhere":      {[]fact.Record{deployed(0, later), at("c", smoked(1, release.Fail)), at("d", smoked(2, release.Pass))}, false, `the verdict of smoke was "fail"`},
		"passed elsewhere alone":        {[]fact.Record{deployed(0, later), at("d", smoked(2, release.Pass))}, false, "no smoke passed while it was live"},
		"failed, then passed nowhere":   {[]fact.Record{deployed(0, later), at("c", smoked(1, release.Fail)), smoked(2, release.Pass)}, false, `the verdict of smoke was "fail"`},
		"passed, failed elsewhere":      {[]fact.Record{deployed(0, later), at("c", smoked(1, release.Pass)), at("d", smoked(2, release.Fail))}, true, ""},
		"passed, then failed nowhere":   {[]fact.Record{deployed(0, later), at("c", smoked(1, release.Pass)), smoked(2, release.Fail)}, false, `the verdict of smoke was "fail"`},
		"another chart":                 {[]fact.Record{deployed(0, other), smoked(1, release.Pass)}, false, ""},
		"signed by nobody":              {[]fact.Record{deployed(0, later, func(r *fact.Record) { r.Signer = "" }), smoked(1, release.Pass)}, false, "signed by nobody"},
		"in another environment":        {[]fact.Record{deployed(0, later, func(r *fact.Record) { r.Environment = "qa" }), smoked(1, release.Pass)}, false, ""},
		"of another repository's image": {[]fact.Record{deployed(0, later, func(r *fact.Record) { r.Image.Repository = "registry.example/x" }), smoked(1, release.Pass)}, false, ""},
		"passed, then a lost verdict":   {[]fact.Record{deployed(0, later), smoked(1, release.Pass), lost(2)}, false, "cannot be read: lost"},
		"a lost verdict, then passed":   {[]fact.Record{deployed(0, later), lost(1), smoked(2, release.Pass)}, true, ""},
		"a lost verdict of the next":    {[]fact.Record{deployed(0, later), smoked(1, release.Pass), deployed(2, other), lost(3)}, true, ""},
		"one that cannot be read":       {[]fact.Record{deployed(0, later, func(r *fact.Record) { r.Problem, r.Deployment = "lost", nil }), smoked(1, release.Pass)}, false, ""},
	} {
		got := policy.Ran(test.records, image, policy.SourceRun{In: "staging", Commit: later, Smoked: true}, []policy.Signer{signer}, policy.Trust{signer: {"staging"}})
		if got.Found != test.found || !test.found && !strings.Contains(got.Other, test.other) || test.other == "" && !test.found && got.Other != "" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := policy.Ran([]fact.Record{deployed(0, later)}, image, policy.SourceRun{In: "staging", Commit: later}, nil, nil); !got.Found || got.Fact.At != now {
		t.Errorf("a deploy alone: got %+v", got)
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	staging := policy.Requirements{Smoked: &policy.Smoked{In: "staging"}, NotRejected: true}
	with := func(change func(*policy.Smoked)) policy.Requirements {
		smoked := *staging.Smoked
		change(&smoked)
		return policy.Requirements{Smoked: &smoked, NotRejected: true}
	}
	later := release.Commit(strings.Repeat("e", 40))
	scanned := func(age time.Duration, limit fact.Severity) policy.Requirements {
		return policy.Requirements{Scanned: &policy.Scanned{MaxAge: age, MaxSeverity: limit, Signers: []policy.Signer{{Key: "keys/scan.pub"}}}}
	}
	for name, test := range map[string]struct {
		requires policy.Requirements
		change   func(*policy.Facts)
		missing  string // of the refusal; "" if the gate opens
		do       string
	}{
		"a pass":           {requires: staging},
		"nothing required": {change: func(f *policy.Facts) { f.Smoked.Found = false }},
		"no pass":          {staging, func(f *policy.Facts) { f.Smoked.Found = false }, "no evidence", "--sign-key that is trusted"},
		"a failure":        {staging, func(f *policy.Facts) { f.Smoked.Fact.Verdict = release.Fail }, `the verdict in "staging" was "fail"`, "make smoke pass"},
		"a failure of which more is known": {staging, func(f *policy.Facts) {
			f.Smoked.Fact.Verdict, f.Smoked.Fact.Run, f.Smoked.Fact.Failed = release.Fail, "https://ci.example.com/7", []string{"/", "/orders", "c", "d", "e", "f", "g"}
		}, `the verdict in "staging" was "fail", checks "/", "/orders", "c", "d", "e" and 2 more failed, run https://ci.example.com/7`, "mend the values, the service or the image that failed, and run smoke there again with --image "},
		"a pass of another digest":        {staging, func(f *policy.Facts) { f.Image.Digest = releasetest.Digest(t, "d") }, "evidence is about", ""},
		"a pass of another repository":    {staging, func(f *policy.Facts) { f.Image.Repository = "registry.example/other" }, "evidence is about the image in", ""},
		"a pass of another environment":   {staging, func(f *policy.Facts) { f.Smoked.Fact.Environment = "qa" }, `evidence is from "qa"`, ""},
		"a pass of the future":            {staging, func(f *policy.Facts) { f.Smoked.Fact.At = now.Add(6 * time.Minute) }, "in the future", ""},
		"a pass of a clock that is ahead": {staging, func(f *policy.Facts) { f.Smoked.Fact.At = now.Add(4 * time.Minute) }, "", ""},
		"an old pass":                     {with(func(s *policy.Smoked) { s.MaxAge = 59 * time.Minute }), nil, "older than 59 minutes", "run smoke"},
		"a pass of that age":              {with(func(s *policy.Smoked) { s.MaxAge = time.Hour }), nil, "", ""},
		"an unreadable record": {staging, func(f *policy.Facts) {
			f.Smoked = policy.Finding[release.Record]{Err: &release.UnreadableRecordError{Record: "sha256:x", Environment: "staging", Verdict: release.Fail}}
		}, "which cannot be read", "records a new verdict"},
		"a soak that is over":       {with(func(s *policy.Smoked) { s.Soak = time.Hour }), nil, "", ""},
		"a soak that is not":        {with(func(s *policy.Smoked) { s.Soak = 90 * time.Minute }), nil, "a pass that is 1 hour old", "wait 30 minutes"},
		"enough checks":             {with(func(s *policy.Smoked) { s.Checks = 2 }), nil, "", ""},
		"too few checks":            {with(func(s *policy.Smoked) { s.Checks = 3 }), nil, "2 checks", "with these checks"},
		"the named checks":          {with(func(s *policy.Smoked) { s.CheckNames = []string{"login"} }), nil, "", ""},
		"a named check is missing":  {with(func(s *policy.Smoked) { s.CheckNames = []string{"login", "pay"} }), nil, `a pass without "pay"`, ""},
		"the checks of the file":    {with(func(s *policy.Smoked) { s.CheckDigest = releasetest.Digest(t, "c") }), nil, "", ""},
		"other checks":              {with(func(s *policy.Smoked) { s.CheckDigest = releasetest.Digest(t, "d") }), nil, "a pass of checks with the digest", ""},
		"checks that nothing names": {with(func(s *policy.Smoked) { s.CheckDigest = releasetest.Digest(t, "d") }), func(f *policy.Facts) { f.Smoked.Fact.CheckSet = release.Digest{} }, "does not say what its checks were", ""},
		"deployed":                  {requires: policy.Requirements{Deployed: &policy.Deployed{In: "staging", MaxAge: 2 * time.Hour}}},
		"not deployed":              {policy.Requirements{Deployed: &policy.Deployed{In: "staging"}}, func(f *policy.Facts) { f.Deployed.Found = false }, "no statement that counts", "deploy it"},
		"deployed long ago":         {policy.Requirements{Deployed: &policy.Deployed{In: "staging", MaxAge: time.Hour}}, nil, "longer ago than 1 hour", ""},
		"deployed in the future":    {policy.Requirements{Deployed: &policy.Deployed{In: "staging"}}, func(f *policy.Facts) { f.Deployed.Fact.At = now.Add(time.Hour) }, "in the future", ""},
		"built":                     {requires: policy.Requirements{Built: &policy.Built{}}},
		"not built":                 {policy.Requirements{Built: &policy.Built{}}, func(f *policy.Facts) { f.Built.Found = false }, "no statement that counts says how", ""},
		"listed":                    {requires: policy.Requirements{Listed: &policy.Listed{}}},
		"listed at no time":         {policy.Requirements{Listed: &policy.Listed{}}, func(f *policy.Facts) { f.Listed.Fact.At = time.Time{} }, "", ""},
		"not listed":                {policy.Requirements{Listed: &policy.Listed{}}, func(f *policy.Facts) { f.Listed = policy.Finding[policy.List]{Other: "it is signed by nobody"} }, "no statement that counts says what sha256:aaaa", "run build --sign-key"},
		"listed in the future":      {policy.Requirements{Listed: &policy.Listed{}}, func(f *policy.Facts) { f.Listed.Fact.At = now.Add(time.Hour) }, "in the future", ""},
		"scanned":                   {requires: scanned(4*time.Hour, fact.High)},
		"not scanned":               {scanned(4*time.Hour, fact.High), func(f *policy.Facts) { f.Scanned = policy.Finding[policy.Scan]{} }, "no statement that counts says what a scan of", "--results FILE --sign-key KEY"},
		"scanned long ago":          {scanned(3*time.Hour, fact.High), nil, "a scan by Trivy 0.70.0 at 2026-11-30T08:00:00Z, older than 3 hours", "scan --image registry.example/shop@sha256:aaaa"},
		"scanned at no time":        {scanned(4*time.Hour, fact.High), func(f *policy.Facts) { f.Scanned.Fact.Unstated = []fact.Unstated{fact.UnstatedTime} }, "leave unsaid: [time]", "accept-unstated"},
		"scanned at the platforms":  {policy.Requirements{Scanned: &policy.Scanned{MaxAge: 4 * time.Hour, MaxSeverity: fact.High, Unstated: []fact.Unstated{fact.UnstatedTime}}}, func(f *policy.Facts) { f.Scanned.Fact.Unstated = fact.AllUnstated }, "leave unsaid: [image platforms]", ""},
		"accepted at no time":       {policy.Requirements{Scanned: &policy.Scanned{MaxAge: 4 * time.Hour, MaxSeverity: fact.High, Unstated: []fact.Unstated{fact.UnstatedTime}}}, func(f *policy.Facts) { f.Scanned.Fact.Unstated = []fact.Unstated{fact.UnstatedTime} }, "", ""},
		"scanned in the future":     {scanned(4*time.Hour, fact.High), func(f *policy.Facts) { f.Scanned.Fact.ScannedAt = now.Add(time.Hour) }, "in the future", ""},
		"findings":                  {scanned(4*time.Hour, fact.Medium), nil, "7 findings by Trivy 0.70.0 at 2026-11-30T08:00:00Z: CVE-2026-0001 in golang.org/x/net@v0.1.0 (high), CVE-2026-0002 (high), and 5 more", "scan --vex FILE"},
		"findings of any severity":  {requires: scanned(4*time.Hour, fact.Critical)},
		"a finding of none allowed": {scanned(4*time.Hour, fact.NoFindings), func(f *policy.Facts) { f.Scanned.Fact.Counts = map[fact.Severity]int{fact.Info: 1} }, "1 findings by", ""},
		"no finding":                {scanned(4*time.Hour, fact.NoFindings), func(f *policy.Facts) { f.Scanned.Fact.Counts, f.Scanned.Fact.Findings = nil, nil }, "", ""},
		"a finding of no severity":  {scanned(4*time.Hour, fact.High), func(f *policy.Facts) { f.Scanned.Fact.Counts = map[fact.Severity]int{fact.Unknown: 1} }, "1 findings by", ""},
		"rejected":                  {staging, func(f *policy.Facts) { f.Against = []policy.Rejection{{Reason: "CVE-1", Actor: "alice", At: now}} }, "was rejected at 2026-11-30T12:00:00Z: CVE-1", "promote --lift-rejection"},
		"rejected in another repository": {staging, func(f *policy.Facts) {
			f.Against = []policy.Rejection{{Image: release.Repository("registry.example/live").At(f.Image.Digest), Reason: "CVE-1", At: now}}
		}, "was rejected in registry.example/live at 2026-11-30T12:00:00Z: CVE-1", "--to production --image registry.example/live@sha256:aaaa"},
		"rejected there": {staging, func(f *policy.Facts) {
			f.Against = []policy.Rejection{{Environment: "production", Reason: "x", At: now}}
		}, `was rejected for "production"`, ""},
		"rejected elsewhere": {staging, func(f *policy.Facts) {
			f.Against = []policy.Rejection{{Environment: "eu", Reason: "x", At: now}}
		}, "", ""},
		"failed there": {staging, func(f *policy.Facts) {
			f.Against = []policy.Rejection{{Environment: "production", Failed: true, At: now}}
		}, `failed in "production"`, "mend these and lift the failure with promote --lift-rejection TEXT --to production --image "},
		"rejected, which does not matter": {policy.Requirements{}, func(f *policy.Facts) { f.Against = []policy.Rejection{{Reason: "x"}} }, "", ""},
		"the commit's chart":              {requires: policy.Requirements{ChartOfCommit: true}},
		"a new file of a chart": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) {
			f.Chart.Uncommitted, f.Chart.Change = []string{"/tree/chart"}, release.Difference{Kind: release.NotInCommit, Path: "templates/debug.yaml"}
		}, "files that no commit has: templates/debug.yaml of chart is new or ignored", "check that commit out"},
		"generated values": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Chart.Uncommitted = []string{"/tree/generated.yaml"} }, "generated.yaml is changed", "check that commit out"},
		"values that settings set": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Set = []string{"config.greeting", "replicas"} },
			`values that no commit has: set or set-json sets "config.greeting", "replicas"`, "commit these values in a values file"},
		"changed values and values that settings set": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Chart.Uncommitted, f.Set = []string{"values.yaml"}, []string{"replicas"} },
			`values.yaml is changed, and values that no commit has`, "check that commit out and deploy its chart and values, and commit these values"},
		"values of a store of secrets": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Stored = []string{"db.password"} }, "", ""},
		"another chart":                {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Chart.Differing = []string{"chart"} }, "differ from those of the image's commit", "check that commit out"},
		"the chart of a commit that the image is tagged with": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) {
			f.Chart.Differing, f.Chart.Commit, f.Tagged = []string{"chart"}, "ed154de6ee73ed154de6ee73ed154de6ee73ed15", "ed154de6ee73ed154de6ee73ed154de6ee73ed15"
		}, "differ from those of the image's commit", "give --commit ed154de6ee73ed154de6ee73ed154de6ee73ed15"},
		"a chart that is unknown":         {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Chart.Unknown = true }, "cannot be compared", ""},
		"a chart that cannot be compared": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Chart, f.ChartErr = nil, errors.New("no git") }, "is unknown: no git", ""},
		"the common chart": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) {
			f.Chart, f.ChartErr = nil, &policy.ChartElsewhereError{Source: "the common chart"}
		}, `the chart is from "the common chart", not from the work tree`, "commit a chart (charts/service, or --chart DIR)"},
		"a chart of the tag's commit": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) {
			f.Commit, f.Smoked.Found, f.Built.Found = releasetest.Commit, false, false
		}, "an image without a revision label", "smoke with --expect-commit"},
		"a chart of another commit than smoke's": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) {
			f.Commit, f.Built.Found = release.Commit(strings.Repeat("e", 40)), false
		}, "an image without a revision label", ""},
		"a chart of the commit that smoke recorded": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Commit, f.Built.Found = releasetest.Commit, false }, "", ""},
		"a chart of the commit that build recorded": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Commit, f.Smoked.Found = releasetest.Commit, false }, "", ""},
		"a chart of a later commit, whose tag the image has": {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) {
			f.Commit, f.Labelled = release.Commit(strings.Repeat("e", 40)), releasetest.Commit
		}, "", ""},
		"a chart that staging ran": {policy.Requirements{Source: &policy.SourceRun{In: "staging", Commit: later}}, func(f *policy.Facts) {
			f.Labelled, f.Source.Found, f.Source.Fact = releasetest.Commit, true, f.Deployed.Fact
		}, "", ""},
		"a chart that staging did not run": {policy.Requirements{Source: &policy.SourceRun{In: "staging", Commit: later}}, func(f *policy.Facts) { f.Labelled = releasetest.Commit },
			`no statement that counts says that "staging" ran chart and values of commit eeeeeeeeeeee, which has the image of commit ` + releasetest.Commit.Short(), "deploy it to \"staging\" from a checkout of commit eeeeeeeeeeee"},
		"a chart that staging ran without a pass": {policy.Requirements{Source: &policy.SourceRun{In: "staging", Commit: later, Smoked: true}}, func(f *policy.Facts) {
			f.Labelled, f.Source.Other = releasetest.Commit, "no smoke passed"
		}, "no smoke passed", "run smoke there with --sign-key while that is live"},
		"a chart that runs in the future": {policy.Requirements{Source: &policy.SourceRun{In: "staging", Commit: later}}, func(f *policy.Facts) {
			f.Labelled, f.Source.Found, f.Source.Fact.At = releasetest.Commit, true, now.Add(time.Hour)
		}, "in the future", ""},
		"a chart of the tag's commit, without a label":  {policy.Requirements{Source: &policy.SourceRun{In: "staging", Commit: later}}, nil, "no statement that counts says that", ""},
		"a chart of the pass's commit, without a label": {requires: policy.Requirements{Source: &policy.SourceRun{In: "staging", Commit: releasetest.Commit}}},
		"no chart, as promote has none":                 {policy.Requirements{ChartOfCommit: true}, func(f *policy.Facts) { f.Chart = nil }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := passed(t)
			if test.change != nil {
				test.change(&facts)
			}
			decision := policy.Evaluate(policy.Source{}, policy.Rung{Environment: "production", Requires: test.requires}, facts, now)
			err := decision.Refusal()
			if decision.Opens != (test.missing == "") || (err == nil) != decision.Opens || len(decision.Missing()) > 1 {
				t.Fatalf("got %+v, %v", decision, err)
			}
			if err != nil && (!strings.Contains(err.Error(), test.missing) || !strings.Contains(err.Error(), test.do) || release.ExitCode(err) != release.ExitFailed) {
				t.Errorf("got %v, want %q and %q", err, test.missing, test.do)
			}
		})
	}
}

// TestAgainst: a rejection has the place where it is recorded, and a failed verdict that can be read does not say that it cannot.
func TestAgainst(t *testing.T) {
	t.Parallel()
	image := passed(t).Image
	of := func(kind fact.Kind, change func(*fact.Record)) fact.Record {
		record := fact.Record{Fact: fact.Fact{Kind: kind, Image: image, Environment: "production"}, Record: releasetest.Digest(t, "d")}
		change(&record)
		return record
	}
	for name, test := range map[string]struct {
		record fact.Record
		want   policy.Rejection
	}{
		"rejected":          {of(fact.Rejected, func(r *fact.Record) { r.Rejection = &fact.Rejection{Reason: "CVE-1"} }), policy.Rejection{Reason: "CVE-1"}},
		"rejected unread":   {of(fact.Rejected, func(r *fact.Record) { r.Problem = "lost" }), policy.Rejection{Reason: "the record cannot be read"}},
		"failed":            {of(fact.Smoked, func(r *fact.Record) { r.Smoke = &release.Evidence{Verdict: release.Fail, Failed: []string{"ready"}} }), policy.Rejection{Failed: true, Why: `, check "ready" failed`}},
		"failed, unread":    {of(fact.Smoked, func(r *fact.Record) { r.Problem = "lost" }), policy.Rejection{Failed: true, Why: ", in a record that cannot be read"}},
		"failed, no reason": {of(fact.Smoked, func(r *fact.Record) { r.Smoke = &release.Evidence{Verdict: release.Fail} }), policy.Rejection{Failed: true}},
	} {
		against, _ := policy.Against([]fact.Record{test.record}, image, policy.Rung{Environment: "production", Lifting: true}, nil)
		test.want.Image, test.want.Environment, test.want.Record = image, "production", test.record.Record
		if len(against) != 1 || against[0] != test.want {
			t.Errorf("%s: got %+v, want %+v", name, against, test.want)
		}
	}
}

// TestEveryLineIsShown: everything that is missing is said at once, with who signed what was found.
func TestEveryLineIsShown(t *testing.T) {
	t.Parallel()
	facts := passed(t)
	facts.Deployed.Found = false
	facts.Against = []policy.Rejection{{Reason: "CVE-1", Actor: "alice", At: now}}
	rung := policy.Rung{Environment: "production", Requires: policy.Requirements{Built: &policy.Built{}, Deployed: &policy.Deployed{In: "staging"},
		Smoked: &policy.Smoked{In: "staging", MaxAge: 2 * time.Hour, Soak: 2 * time.Hour}, Scanned: &policy.Scanned{Scanner: "trivy", MaxAge: 24 * time.Hour, MaxSeverity: fact.High}, NotRejected: true}}
	decision := policy.Evaluate(policy.Source{File: "p.yaml"}, rung, facts, now)
	var lines []string
	for _, line := range decision.Lines {
		lines = append(lines, line.String())
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"ok      built: required the provenance of the image; found built from commit " + releasetest.Commit.Short() + " at 2026-11-30T09:00:00Z, by keys/build.pub",
		`MISSING deployed: required a deploy to "staging"; found no statement`,
		`ok      smoked: required a pass of smoke in "staging" that is at most 2 hours old; found a pass at 2026-11-30T11:00:00Z: 2 checks, 3 rounds, by keys/staging.pub`,
		"MISSING smoked: required that the pass is at least 2 hours old, without a later failure; found a pass that is 1 hour old; to pass: wait 1 hour",
		"ok      scanned: required a scan by trivy that is at most 24 hours old, without findings above high; found Trivy 0.70.0 at 2026-11-30T08:00:00Z: 7 high, 1 low, 2 do not count, by vulnerabilities of 2026-11-30T06:00:00Z, by keys/scan.pub",
		"MISSING not rejected: required that nobody rejected the image; found",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	if got := len(decision.Missing()); got != 3 || !decision.IsFinal() {
		t.Errorf("got %d lines that do not hold, final %t", got, decision.IsFinal())
	}
}

// TestTheNewestScanCounts: by the time of the scan, of the scanner and the signers that the rules name, and about this image.
func TestTheNewestScanCounts(t *testing.T) {
	t.Parallel()
	image := release.Repository("registry.example/shop").At(releasetest.Digest(t, "a"))
	scan := func(hours int, scanner, signer string, of release.Image) fact.Record {
		return fact.Record{Signer: signer, Fact: fact.Fact{Kind: fact.Scanned, Image: of, At: now, Scan: &fact.Scan{Scanner: scanner, ScannedAt: now.Add(-time.Duration(hours) * time.Hour)}}}
	}
	unreadable := func(at time.Time) fact.Record {
		return fact.Record{Fact: fact.Fact{Kind: fact.Scanned, At: at}, Problem: "garbage"}
	}
	records := []fact.Record{scan(3, "Trivy", "id", image), scan(2, "Trivy", "id", image), scan(4, "Trivy", "id", image), scan(1, "Trivy", "stranger", image), scan(1, "Trivy", "", image),
		scan(0, "Grype", "id", image), scan(0, "Trivy", "id", release.Repository("registry.example/other").At(image.Digest)), unreadable(now.Add(-time.Minute)), {Fact: fact.Fact{Kind: fact.Scanned, Image: image}}}
	signer := policy.Signer{Key: "scan.pub"}
	for name, test := range map[string]struct {
		rules policy.Scanned
		want  int // hours
	}{
		"any":               {policy.Scanned{}, 0},
		"signed":            {policy.Scanned{Signers: []policy.Signer{signer}}, 0},
		"signed, by Trivy":  {policy.Scanned{Signers: []policy.Signer{signer}, Scanner: "trivy"}, 2},
		"unsigned, Trivy's": {policy.Scanned{Scanner: "TRIVY"}, 1},
		"another's":         {policy.Scanned{Scanner: "snyk"}, -1},
	} {
		facts := policy.Select(records, image, policy.Rung{Requires: policy.Requirements{Scanned: &test.rules}}, func(release.Environment) []policy.Signer { return nil }, policy.Trust{signer: {"id"}})
		found := facts.Scanned
		if found.Found != (test.want >= 0) || found.Found && !found.Fact.ScannedAt.Equal(now.Add(-time.Duration(test.want)*time.Hour)) || found.Found && (found.Fact.Signer == "scan.pub") != (len(test.rules.Signers) > 0) {
			t.Errorf("%s: got %+v", name, found)
		}
	}
	for name, at := range map[string]time.Time{"newer": now.Add(time.Minute), "as new": now, "undated": {}} {
		facts := policy.Select(append([]fact.Record{unreadable(at)}, records...), image, policy.Rung{Requires: policy.Requirements{Scanned: &policy.Scanned{}}}, nil, nil)
		if found := facts.Scanned; found.Found || !strings.Contains(found.Other, "cannot be read: garbage") {
			t.Errorf("a %s scan that cannot be read: got %+v", name, found)
		}
	}
}

func TestWhoMayOverride(t *testing.T) {
	t.Parallel()
	override := policy.Override{Actors: []string{"octocat"}}
	for actor, want := range map[string]bool{"octocat": true, "Octocat": true, "octocat2": false, "": false} {
		if got := override.May(actor); got != want {
			t.Errorf("%q: got %t", actor, got)
		}
	}
	if (policy.Override{}).IsAllowed() || (policy.Override{Actors: []string{""}}).May("") {
		t.Error("nobody may override")
	}
}

// TestProvedInNeedsSigners: --proved-in asks for a pass that the file does not, and is refused if nobody signs it although the file names signers.
func TestProvedInNeedsSigners(t *testing.T) {
	t.Parallel()
	signers := []policy.Signer{{Key: "a.pub"}}
	for name, test := range map[string]struct {
		staging, production []policy.Signer
		refused             bool
	}{
		"signed":         {signers, nil, false},
		"not signed":     {nil, signers, true},
		"nobody signs":   {nil, nil, false},
		"all are signed": {signers, signers, false},
	} {
		rules := policy.Policy{Source: policy.Source{File: "p.yaml"}, Ladder: []policy.Rung{{Environment: "staging", Signers: test.staging}, {Environment: "production", Signers: test.production}}}
		_, _, err := rules.ForDeploy("production", "staging", time.Hour)
		if input := new(release.InputError); errors.As(err, &input) != test.refused {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// noFacts is a gate that knows nothing about an image.
type noFacts struct{ policy.Gate }

func (noFacts) Facts(context.Context, release.Image, policy.Rung) (policy.Facts, error) {
	return policy.Facts{}, nil
}

// TestAnOverrideByNobodyKnown says where it is known who starts a run.
func TestAnOverrideByNobodyKnown(t *testing.T) {
	t.Parallel()
	rung := policy.Rung{Environment: "production", Requires: policy.Requirements{Smoked: &policy.Smoked{In: "staging"}}, Override: policy.Override{Actors: []string{"octocat"}}}
	_, _, err := policy.Check(t.Context(), policy.Request{Rung: rung, Image: passed(t).Image, Reason: "agreed", Now: now}, noFacts{}, releasetest.DiscardReporter{})
	if err == nil || !strings.Contains(err.Error(), "it is not known who overrides") || !strings.Contains(err.Error(), "in a workflow of GitHub") {
		t.Errorf("got %v", err)
	}
}
