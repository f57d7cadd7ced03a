package images_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

// factsAbout has a fact of each kind but smoke's.
func factsAbout(t *testing.T, image release.Image) map[fact.Kind]fact.Fact {
	t.Helper()
	common := fact.Fact{Image: image, Commit: releasetest.Commit, By: "octocat", Run: "https://github.com/example/shop/actions/runs/1", At: time.Now().UTC()}
	facts := map[fact.Kind]fact.Fact{}
	for kind, detail := range map[fact.Kind]func(*fact.Fact){
		fact.Built: func(f *fact.Fact) {
			f.Build = &fact.Build{Type: fact.BuildType, Builder: "https://example.com/builder", Recipe: releasetest.Digest(t, "1"), Platforms: []string{"linux/amd64"}}
		},
		fact.Deployed: func(f *fact.Fact) {
			f.Environment = "staging"
			f.Deployment = &fact.Deployment{Cluster: "shop", Namespace: "staging", Release: "shop", Revision: 1, ChartDigest: releasetest.Digest(t, "2"), ValuesDigest: releasetest.Digest(t, "3"), Pods: 2}
		},
		fact.Promoted: func(f *fact.Fact) {
			f.Environment = "production"
			f.Promotion = &fact.Promotion{From: "staging", Tag: "production-1", Proof: releasetest.Digest(t, "4"), ProvedAt: time.Now().UTC()}
		},
		fact.Rejected: func(f *fact.Fact) {
			f.Environment = "production"
			f.Rejection = &fact.Rejection{Reason: "orders are lost", Cause: fact.ByPerson}
		},
	} {
		f := common
		f.Kind = kind
		detail(&f)
		facts[kind] = f
	}
	sbom, at, err := fact.NewSBOM([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"timestamp":"2026-01-02T03:04:05Z"},"components":[{"type":"library","name":"a","version":"1"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	facts[fact.Listed] = fact.Fact{Kind: fact.Listed, Image: image, At: at, SBOM: &sbom}
	scan := fact.Scan{Scanner: "Trivy", Format: "sarif", Results: releasetest.Digest(t, "5"), ScannedAt: time.Now().UTC()}
	scan.AddFindings([]fact.Finding{{ID: "CVE-2026-0001", Package: "a@1", Severity: fact.High}, {ID: "CVE-2026-0002", Package: "a@1", Severity: fact.High, Excuse: "not_affected"}})
	facts[fact.Scanned] = fact.Fact{Kind: fact.Scanned, Image: image, By: common.By, Run: common.Run, At: common.At, Scan: &scan}
	return facts
}

// TestFacts: each fact is recorded once, signed or not, but for a rejection that nobody signed, in a registry that behaves like ECR and in a plain
// one, and read back as it was.
func TestFacts(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(t *testing.T) (release.Repository, []string){
		"ECR": func(t *testing.T) (release.Repository, []string) {
			server := localawstest.Start(t)
			return server.Repository("shop"), server.Env()
		},
		"plain": func(t *testing.T) (release.Repository, []string) { return registrytest.Repository(t), nil },
	} {
		for _, isSigned := range []bool{true, false} {
			name := kind
			if isSigned {
				name += ", signed"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				repository, environment := start(t)
				connected, told := connect(t, environment)
				image := push(t, connected, repository)
				signer := newSigner(t)
				if isSigned {
					connected.SignWith(signer)
					connected.Trust(signed.Verifiers(signer.Key()))
				}
				all := 0
				for kind, f := range factsAbout(t, image) {
					first, created, err := connected.RecordFact(t.Context(), f)
					if err != nil || !created {
						t.Fatalf("%s: %t, %v", kind, created, err)
					}
					anew := kind == fact.Rejected && !isSigned // somebody else may have written the first
					f.At, f.Run = f.At.Add(time.Hour), "https://another/run"
					if again, created, err := connected.RecordFact(t.Context(), f); err != nil || created != anew || (again != first) != anew {
						t.Errorf("%s again: got %s, %t, %v, first %s", kind, again, created, err, first)
					}
					read, err := connected.Facts(t.Context(), image, kind)
					if anew && len(read) == 2 && read[1].Record == first {
						all, read = all+2, read[1:]
					} else {
						all++
					}
					if err != nil || len(read) != 1 || read[0].Record != first || read[0].Trusted() != isSigned || read[0].Signed != isSigned || !f.Repeats(read[0].Fact) {
						t.Errorf("%s: got %+v, %v", kind, read, err)
					}
				}
				if _, err := connected.Record(t.Context(), record(image, "staging", release.Pass, time.Now())); err != nil {
					t.Fatal(err)
				}
				if read, err := connected.Facts(t.Context(), image); err != nil || len(read) != all+1 {
					t.Errorf("got %+v, %v", read, err)
				}
				if newest, found, err := connected.Newest(t.Context(), image, "staging"); err != nil || !found || newest.Verdict != release.Pass {
					t.Errorf("smoke beside other facts: got %+v, %t, %v", newest, found, err)
				}
				if told.Len() > 0 {
					t.Errorf("warned of %s", told)
				}
			})
		}
	}
}

// TestAChangedFactIsRecorded: it names the earlier one, and counts.
func TestAChangedFactIsRecorded(t *testing.T) {
	t.Parallel()
	connected, _ := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	f := factsAbout(t, image)[fact.Deployed]
	first, _, err := connected.RecordFact(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	again := *f.Deployment
	again.Revision = 2
	f.Deployment, f.At = &again, f.At.Add(-time.Hour) // a clock that lags
	second, created, err := connected.RecordFact(t.Context(), f)
	if err != nil || !created || second == first {
		t.Fatalf("got %s, %t, %v", second, created, err)
	}
	read, err := connected.Facts(t.Context(), image, fact.Deployed)
	if err != nil {
		t.Fatal(err)
	}
	if newest, found := fact.Newest(read, fact.Deployed, "staging", nil); !found || newest.Record != second || newest.After[0] != first {
		t.Errorf("got %+v, %t", newest, found)
	}
}

// TestDeploymentsOfSeveralClustersAreRecordedOnce: the newest of the same cluster, namespace and release counts, not that of the environment.
func TestDeploymentsOfSeveralClustersAreRecordedOnce(t *testing.T) {
	t.Parallel()
	connected, _ := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	f := factsAbout(t, image)[fact.Deployed]
	for round, want := range []bool{true, false} {
		for _, change := range []func(*fact.Deployment){
			func(d *fact.Deployment) { d.Cluster = "eu" }, func(d *fact.Deployment) { d.Cluster = "us" },
			func(d *fact.Deployment) { d.Namespace = "other" }, func(d *fact.Deployment) { d.Release = "other" },
		} {
			deployment := *f.Deployment
			change(&deployment)
			one := f
			one.Deployment, one.At = &deployment, f.At.Add(time.Duration(round)*time.Hour)
			if _, created, err := connected.RecordFact(t.Context(), one); err != nil || created != want {
				t.Errorf("round %d, %+v: got %t, %v", round, deployment, created, err)
			}
		}
	}
}

// TestAScanIsRecordedUnlessTheNewestStatesIt: a scan that repeats an older one of its scanner is recorded if the newest by the time of the scan, which is what a gate
// reads, is another.
func TestAScanIsRecordedUnlessTheNewestStatesIt(t *testing.T) {
	t.Parallel()
	day := time.Now().UTC().Add(-12 * time.Hour)
	type one struct {
		scanner string
		hour    int // of the scan
		bad     bool
		by      int // signer
	}
	for name, test := range map[string]struct {
		earlier []one
		latest  one
		created bool
	}{
		"the same":                       {[]one{{"Trivy", 1, true, 0}}, one{"Trivy", 2, true, 0}, false},
		"another scanner between":        {[]one{{"Trivy", 1, true, 0}, {"Grype", 2, false, 0}}, one{"Trivy", 3, true, 0}, true},
		"another signer between":         {[]one{{"Trivy", 1, true, 0}, {"Trivy", 2, false, 1}}, one{"Trivy", 3, true, 0}, true},
		"an old one recorded late":       {[]one{{"Trivy", 2, false, 0}, {"Trivy", 1, true, 0}}, one{"Trivy", 3, true, 0}, true},
		"the same as another's":          {[]one{{"Trivy", 1, true, 1}}, one{"Trivy", 2, true, 0}, true},
		"an old one, and the same again": {[]one{{"Trivy", 2, true, 0}, {"Grype", 1, false, 0}}, one{"Trivy", 3, true, 0}, false},
	} {
		connected, _ := connect(t, nil)
		image := push(t, connected, registrytest.Repository(t))
		signers := []*signed.KeySigner{newSigner(t), newSigner(t)}
		recorded := time.Duration(0)
		record := func(of one) bool {
			f := factsAbout(t, image)[fact.Scanned]
			f.Scan.Scanner, f.Scan.ScannedAt = of.scanner, day.Add(time.Duration(of.hour)*time.Hour)
			f.At, recorded = day.Add(5*time.Hour+recorded), recorded+time.Minute
			if !of.bad {
				f.Scan.AddFindings(nil)
			}
			connected.SignWith(signers[of.by])
			_, created, err := connected.RecordFact(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return created
		}
		for _, each := range test.earlier {
			record(each)
		}
		if got := record(test.latest); got != test.created {
			t.Errorf("%s: recorded %t", name, got)
		}
	}
}

// TestFactsOfStrangers: what a trusted key did not sign is shown as such; a signer's own record is written beside it, and unreadable hides nothing.
func TestFactsOfStrangers(t *testing.T) {
	t.Parallel()
	connected, told := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	trusted, stranger := newSigner(t), newSigner(t)
	f := factsAbout(t, image)[fact.Promoted]
	connected.SignWith(stranger)
	if _, _, err := connected.RecordFact(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	connected.SignWith(trusted)
	connected.Trust(signed.Verifiers(trusted.Key()))
	own, created, err := connected.RecordFact(t.Context(), f)
	if err != nil || !created {
		t.Fatalf("a stranger's record keeps one's own from being written: %t, %v", created, err)
	}
	other := f
	other.Image.Digest = releasetest.Digest(t, "9")
	about, err := evidence.EncodeFact(other)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := signed.Sign(t.Context(), about, trusted)
	if err != nil {
		t.Fatal(err)
	}
	client := registry.New(registry.Options{})
	for _, attached := range []struct {
		content     []byte
		annotations map[string]string
	}{
		{bundle, map[string]string{signed.AnnotationPredicateType: evidence.PredicatePromoted, evidence.AnnotationEnvironment: "production"}},
		{[]byte("unreadable"), map[string]string{signed.AnnotationPredicateType: evidence.PredicatePromoted}},
		{[]byte("unreadable"), map[string]string{"a": "b"}},
		{[]byte("unreadable"), map[string]string{signed.AnnotationPredicateType: "https://example.com/other"}},
	} {
		if _, err := client.Attach(t.Context(), image, signed.MediaType, signed.MediaType, attached.content, attached.annotations); err != nil {
			t.Fatal(err)
		}
	}
	read, err := connected.Facts(t.Context(), image, fact.Promoted)
	if err != nil || len(read) != 4 {
		t.Fatalf("got %+v, %v", read, err)
	}
	problems := 0
	for _, record := range read {
		if record.Problem != "" {
			problems++
		} else if record.Trusted() != (record.Record == own) || !record.Signed {
			t.Errorf("got %+v", record)
		}
	}
	if problems != 2 || !strings.Contains(told.String(), "skipping 1 records") {
		t.Errorf("%d problems, told %q", problems, told)
	}
	if newest, found := fact.Newest(read, fact.Promoted, "production", fact.Record.Trusted); !found || newest.Record != own {
		t.Errorf("got %+v, %t", newest, found)
	}
}

// TestFactsHideSecrets: a way out into the registry.
func TestFactsHideSecrets(t *testing.T) {
	t.Parallel()
	secrets := new(text.Secrets)
	secrets.Add("canary-secret")
	connected, err := images.New(t.Context(), &app.RunContext{Process: app.Process{Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	image := push(t, connected, registrytest.Repository(t))
	for kind, f := range factsAbout(t, image) {
		if kind != fact.Listed {
			f.By, f.Run = "canary-secret", "https://example.com/canary-secret"
		}
		switch kind {
		case fact.Scanned:
			f.Scan.Scanner, f.Scan.Findings[0].Package, f.Scan.Excused[0].Excuse = "canary-secret", "canary-secret", "canary-secret"
		case fact.Listed:
			sbom, at, err := fact.NewSBOM([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"canary-secret"}]}`))
			if err != nil {
				t.Fatal(err)
			}
			f.SBOM, f.At = &sbom, at
		case fact.Built:
			f.Build.Source, f.Build.Builder = "https://u:canary-secret@example.com/a", "https://canary-secret"
		case fact.Deployed:
			f.Deployment.Cluster, f.Deployment.Chart = "canary-secret", "https://u:canary-secret@example.com/chart"
			f.Deployment.Set = []string{"a.canary-secret"}
		case fact.Promoted:
			f.Promotion.Override = "because of canary-secret"
		case fact.Rejected:
			f.Rejection.Reason = "because of can\x1b[0mary-sec\u200dret"
		}
		if _, _, err := connected.RecordFact(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	read, err := connected.Facts(t.Context(), image)
	if err != nil || len(read) != 6 {
		t.Fatalf("got %d, %v", len(read), err)
	}
	for _, record := range read {
		encoded, err := evidence.EncodeFact(record.Fact)
		if err != nil || strings.Contains(string(encoded), "ary-") || !strings.Contains(string(encoded), "***") {
			t.Errorf("got %s, %v", encoded, err)
		}
	}
}

// TestARejectionThatIsArchived: it counts; where ECR's own API, which lists it, may not be called, a warning says so once.
func TestARejectionThatIsArchived(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{"listed": false, "refused": true} {
		server := localawstest.Start(t)
		connected, told := connect(t, server.Env())
		image := push(t, connected, server.Repository("shop"))
		record, _, err := connected.RecordFact(t.Context(), factsAbout(t, image)[fact.Rejected])
		if err != nil {
			t.Fatal(err)
		}
		if err := server.ArchiveImage("shop", record); err != nil {
			t.Fatal(err)
		}
		if refused {
			server.Inject(localaws.Fault{Route: localaws.RouteListImageReferrers, Do: localaws.APIError(400, "AccessDeniedException", "not authorized")})
		}
		told.Reset()
		for range 2 {
			read, err := connected.Facts(t.Context(), image, fact.Rejected)
			if err != nil || len(read) != 1 {
				t.Errorf("%s: got %+v, %v", name, read, err)
			}
		}
		if got := strings.Count(told.String(), "archived records, such as a rejection, may be missing"); got != map[bool]int{true: 1}[refused] {
			t.Errorf("%s: warned %d times: %s", name, got, told)
		}
	}
}
