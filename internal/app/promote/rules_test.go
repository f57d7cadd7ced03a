package promote_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	promoting "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
	"github.com/onedigest/onedigest/internal/text"
)

const ruled = `version: 1
environments:
  - name: staging
    signers: [keys/old.pub, keys/staging.pub]
  - name: production
    signers: [keys/production.pub]
    requires: {smoked: {max-age: 168h}}
    override: {actors: [octocat], signers: [keys/override.pub]}
`

// guarded is a gate with the rules above. Keys are in a directory beside them.
type guarded struct {
	gate
	dir     string
	signers map[string]*signed.KeySigner
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	g := guarded{gate: newGate(t, false), dir: t.TempDir(), signers: map[string]*signed.KeySigner{}}
	g.write(".onedigest.yaml", []byte(ruled))
	for _, name := range []string{"old", "staging", "production", "override", "stranger"} {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		content := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
		if g.signers[name], err = signed.ParseSigner(content, ""); err != nil {
			t.Fatal(err)
		}
		public, err := g.signers[name].Key().PEM()
		if err != nil {
			t.Fatal(err)
		}
		g.write("keys/"+name+".key", content)
		g.write("keys/"+name+".pub", public)
	}
	return g
}

func (g guarded) write(name string, content []byte) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// statement is a verdict about the image, changed.
func (g guarded) statement(change func(*release.Evidence)) []byte {
	g.t.Helper()
	of := release.Evidence{Image: g.image, Commit: releasetest.Commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().Add(-time.Minute).UTC()}
	if change != nil {
		change(&of)
	}
	content, err := evidence.Encode(of)
	if err != nil {
		g.t.Fatal(err)
	}
	return content
}

// bundle signs a statement.
func (g guarded) bundle(by string, statement []byte) []byte {
	g.t.Helper()
	content, err := signed.Sign(g.t.Context(), statement, g.signers[by])
	if err != nil {
		g.t.Fatal(err)
	}
	return content
}

// attachBundle attaches a bundle as one of smoke.
func (g guarded) attachBundle(content []byte, environment string, verdict release.Verdict) {
	g.t.Helper()
	if _, err := g.client.Attach(g.t.Context(), g.image, signed.MediaType, signed.MediaType, content, map[string]string{
		evidence.AnnotationEnvironment: environment, evidence.AnnotationVerdict: string(verdict), signed.AnnotationPredicateType: evidence.PredicateType,
	}); err != nil {
		g.t.Fatal(err)
	}
}

func (g guarded) pass(by string, change func(*release.Evidence)) {
	g.t.Helper()
	g.attachBundle(g.bundle(by, g.statement(change)), "staging", release.Pass)
}

// listed is everything that a promotion could change: every tag of the repository with its digest, and everything that is attached to the image.
func (g guarded) listed() []string {
	g.t.Helper()
	if g.environ != nil { // ECR's protocol needs a password
		digests, err := g.client.ListReferrers(g.t.Context(), g.image, []string{signed.MediaType, evidence.ArtifactType}, nil)
		if err != nil {
			g.t.Fatal(err)
		}
		return strings.Fields(fmt.Sprint(digests))
	}
	response, err := http.Get("http://" + g.image.Repository.Host() + "/v2/" + g.image.Repository.Path() + "/referrers/" + g.image.Digest.String())
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	var attached struct{ Manifests []struct{ Digest string } }
	if err := json.NewDecoder(response.Body).Decode(&attached); err != nil || response.StatusCode != http.StatusOK {
		g.t.Fatalf("HTTP %d, %v", response.StatusCode, err)
	}
	var all []string
	for _, each := range attached.Manifests {
		all = append(all, each.Digest)
	}
	tags, err := g.client.Tags(g.t.Context(), g.image.Repository)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, tag := range tags {
		found, exists, err := g.client.Find(g.t.Context(), g.image.Repository, tag)
		if err != nil {
			g.t.Fatal(err)
		}
		if exists {
			all = append(all, tag.String()+" "+found.Digest.String())
		}
	}
	slices.Sort(all)
	return all
}

// run promotes with more settings.
func (g guarded) run(change func(*promote.Settings), actor string) (promote.Result, error) {
	g.t.Helper()
	var settings promote.Settings
	if err := settings.Declare().ApplyDefaults(func() {
		settings.Image, settings.To = g.image, "production"
		if change != nil {
			change(&settings)
		}
	}); err != nil {
		g.t.Fatal(err)
	}
	return promoting.Run(g.t.Context(), &settings, &app.RunContext{
		Process: app.Process{Dir: g.dir, Environ: append(slices.Clone(g.environ), "USER="+actor), Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets),
	})
}

func key(name string) setting.KeyRef {
	return setting.KeyRef{Source: setting.KeyFile, Name: "keys/" + name + ".key"}
}

// reencoded changes the JSON of a bundle.
func (g guarded) reencoded(content []byte, change func(envelope map[string]any)) []byte {
	g.t.Helper()
	var bundle map[string]any
	if err := json.Unmarshal(content, &bundle); err != nil {
		g.t.Fatal(err)
	}
	envelope, isObject := bundle["dsseEnvelope"].(map[string]any)
	if !isObject {
		g.t.Fatalf("got %s", content)
	}
	change(envelope)
	encoded, err := json.Marshal(bundle)
	if err != nil {
		g.t.Fatal(err)
	}
	return encoded
}

// TestAttacks: nothing of this opens the gate, and every refusal leaves the registry as it was.
func TestAttacks(t *testing.T) {
	t.Parallel()
	var otherDigest = func(e *release.Evidence) { e.Image.Digest = releasetest.Digest(t, "d") }
	for name, test := range map[string]struct {
		records func(g guarded)
		want    string
	}{
		"nothing":     {func(guarded) {}, "no evidence"},
		"unsigned":    {func(g guarded) { g.attach(release.Pass, -time.Minute, nil) }, "that a trusted key signed"},
		"another key": {func(g guarded) { g.pass("stranger", nil) }, "that a trusted key signed"},
		"a key that the file trusts for another environment": {func(g guarded) { g.pass("production", nil) }, "that a trusted key signed"},
		"another repository": {func(g guarded) {
			g.pass("staging", func(e *release.Evidence) { e.Image.Repository = "registry.example/other" })
		}, "evidence is about the image in"},
		"another environment": {func(g guarded) {
			g.attachBundle(g.bundle("staging", g.statement(func(e *release.Evidence) { e.Environment = "qa" })), "staging", release.Pass)
		}, "no evidence"},
		"another digest": {func(g guarded) { g.pass("staging", otherDigest) }, "no evidence"},
		"failed": {func(g guarded) {
			g.attachBundle(g.bundle("staging", g.statement(func(e *release.Evidence) { e.Verdict = release.Fail })), "staging", release.Fail)
		}, `was "fail"`},
		"a failure after a pass": {func(g guarded) {
			g.pass("staging", func(e *release.Evidence) { e.At = e.At.Add(-time.Hour) })
			g.attachBundle(g.bundle("stranger", g.statement(func(e *release.Evidence) { e.Verdict = release.Fail })), "staging", release.Fail)
		}, `was "fail"`},
		"expired":             {func(g guarded) { g.pass("staging", func(e *release.Evidence) { e.At = e.At.Add(-169 * time.Hour) }) }, "older than 168h0m0s"},
		"dated in the future": {func(g guarded) { g.pass("staging", func(e *release.Evidence) { e.At = e.At.Add(time.Hour) }) }, "in the future"},
		"two subjects": {func(g guarded) {
			statement := bytes.Replace(g.statement(nil), []byte(`"subject":[`), []byte(`"subject":[{"name":"registry.example/other","digest":{"sha256":"`+strings.Repeat("d", 64)+`"}},`), 1)
			g.attachBundle(g.bundle("staging", statement), "staging", release.Pass)
		}, "no evidence"},
		"a field twice": {func(g guarded) {
			statement := bytes.Replace(g.statement(nil), []byte(`"predicateType":`), []byte(`"predicateType":"x","predicateType":`), 1)
			g.attachBundle(g.bundle("staging", statement), "staging", release.Pass)
		}, "no evidence"},
		"another payload type": {func(g guarded) {
			g.attachBundle(g.reencoded(g.bundle("staging", g.statement(nil)), func(e map[string]any) { e["payloadType"] = "application/json" }), "staging", release.Pass)
		}, "no evidence"},
		"a payload that was encoded again": {func(g guarded) {
			g.attachBundle(g.reencoded(g.bundle("staging", g.statement(nil)), func(e map[string]any) {
				var indented bytes.Buffer
				if err := json.Indent(&indented, g.statement(nil), "", " "); err != nil {
					t.Error(err)
				}
				e["payload"] = indented.Bytes()
			}), "staging", release.Pass)
		}, "that a trusted key signed"},
		"a field of the bundle twice": {func(g guarded) {
			content := bytes.Replace(g.bundle("staging", g.statement(nil)), []byte(`"payloadType":`), []byte(`"payloadType":"x","payloadType":`), 1)
			g.attachBundle(content, "staging", release.Pass)
		}, "no evidence"},
		"a stranger's bundle that names a trusted key": {func(g guarded) {
			var trusted, strangers map[string]any
			for by, into := range map[string]*map[string]any{"staging": &trusted, "stranger": &strangers} {
				if err := json.Unmarshal(g.bundle(by, g.statement(nil)), into); err != nil {
					t.Error(err)
				}
			}
			strangers["verificationMaterial"] = trusted["verificationMaterial"]
			content, err := json.Marshal(strangers)
			if err != nil {
				t.Error(err)
			}
			g.attachBundle(content, "staging", release.Pass)
		}, "that a trusted key signed"},
		"two signatures": {func(g guarded) {
			g.attachBundle(g.reencoded(g.bundle("staging", g.statement(nil)), func(e map[string]any) {
				signatures, _ := e["signatures"].([]any)
				e["signatures"] = append(signatures, signatures...)
			}), "staging", release.Pass)
		}, "no evidence"},
		"a record that is listed and gone": {func(g guarded) {
			g.pass("staging", nil)
			records, err := g.client.ListReferrers(g.t.Context(), g.image, []string{signed.MediaType}, nil)
			if err != nil || len(records) != 1 {
				g.t.Fatalf("got %v, %v", records, err)
			}
			g.lost.Store(records[0].String(), http.NotFoundHandler())
		}, "no evidence"},
		"a key that was rotated out": {func(g guarded) {
			g.write(".onedigest.yaml", []byte(strings.Replace(ruled, "keys/old.pub, ", "", 1)))
			g.pass("old", nil)
		}, "that a trusted key signed"},
		"garbage of our type":       {func(g guarded) { g.attachContent([]byte("garbage"), string(release.Pass), "") }, "no evidence"},
		"garbage":                   {func(g guarded) { g.attachBundle([]byte("garbage"), "staging", release.Pass) }, "no evidence"},
		"garbage that is a failure": {func(g guarded) { g.pass("staging", nil); g.attachBundle([]byte("garbage"), "staging", release.Fail) }, "cannot be read"},
		"rejected":                  {func(g guarded) { g.pass("staging", nil); g.reject() }, "was rejected at"},
		"failed in production":      {func(g guarded) { g.pass("staging", nil); g.failInProduction() }, `failed in "production"`},
		"failed there by a check":   {func(g guarded) { g.pass("staging", nil); g.failIn("production", nil) }, `, check "/" failed`},
		"failed there, passed since": {func(g guarded) {
			g.pass("staging", nil)
			g.failInProduction()
			g.attachBundle(g.bundle("production", g.statement(func(e *release.Evidence) { e.Environment = "production" })), "production", release.Pass)
		}, `failed in "production"`},
		"a rejection lifted in another repository": {func(g guarded) {
			g.pass("staging", nil)
			rejected, err := g.run(func(s *promote.Settings) { s.Reject = rejecting }, "alice")
			if err != nil {
				g.t.Fatal(err)
			}
			statement, err := evidence.EncodeFact(fact.Fact{Kind: fact.Lifted, Image: release.Repository("registry.example/other").At(g.image.Digest), Environment: "production", By: "alice", At: time.Now().UTC(),
				Lift: &fact.Lift{Reason: "it was another image", Rejections: []release.Digest{rejected.Record}}})
			if err != nil {
				g.t.Fatal(err)
			}
			if _, err := g.client.Attach(g.t.Context(), g.image, signed.MediaType, signed.MediaType, g.bundle("production", statement), map[string]string{
				evidence.AnnotationFact: string(fact.Lifted), evidence.AnnotationEnvironment: "production", signed.AnnotationPredicateType: evidence.TypeOf(fact.Lifted),
			}); err != nil {
				g.t.Fatal(err)
			}
		}, "was rejected at"},
		"a rejection lifted by nobody": {func(g guarded) { g.pass("staging", nil); g.reject(); g.lift("stranger", "may not sign") }, "was rejected at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			test.records(g)
			before := g.listed()
			result, err := g.run(nil, "octocat")
			checkPromotion(t, err, test.want)
			if after := g.listed(); !slices.Equal(before, after) {
				t.Errorf("the registry had %q, and has %q", before, after)
			}
			if result.Gate == nil || result.Gate.Opens || result.Outcome != release.Refused {
				t.Errorf("got %+v", result)
			}
		})
	}
}

// TestAPassThatIsPushedAgain: somebody who may push writes the failure that smoke is going to find, so that smoke does not record it, and pushes the
// signed pass again. The gate stays closed.
func TestAPassThatIsPushedAgain(t *testing.T) {
	t.Parallel()
	for name, onECR := range map[string]bool{"plain": false, "ECR": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.gate = newGate(t, onECR)
			checks, passedAt := []release.Check{{Name: "/", Path: "/"}}, time.Now().Add(-2*time.Minute).UTC()
			pass := g.statement(func(e *release.Evidence) { e.CheckSet, e.At = release.CheckSet(checks), passedAt })
			g.attachBundle(g.bundle("staging", pass), "staging", release.Pass)
			g.attach(release.Fail, 0, func(e *release.Evidence) { e.CheckSet, e.At = release.CheckSet(checks), passedAt })
			g.failIn("staging", checks)
			g.attachBundle(g.bundle("staging", pass), "staging", release.Pass) // another signature, thus another manifest
			_, err := g.run(nil, "octocat")
			checkPromotion(t, err, `was "fail"`)
		})
	}
}

// TestScansOpenTheGate: the newest scan that a named key signed counts, without findings above the limit.
func TestScansOpenTheGate(t *testing.T) {
	t.Parallel()
	scan := func(age time.Duration, severities ...fact.Severity) fact.Scan {
		found := fact.Scan{Scanner: "Trivy", Format: "sarif", ScannedAt: time.Now().Add(-age).UTC()}
		var findings []fact.Finding
		for i, severity := range severities {
			findings = append(findings, fact.Finding{ID: fmt.Sprint("CVE-2026-000", i), Severity: severity})
		}
		found.AddFindings(findings)
		return found
	}
	type signedScan struct {
		by   string
		scan fact.Scan
	}
	for name, test := range map[string]struct {
		scans []signedScan
		want  string // "" to be promoted
	}{
		"none":                       {nil, "no statement that counts says what a scan of"},
		"clean":                      {[]signedScan{{"staging", scan(time.Minute)}}, ""},
		"within the limit":           {[]signedScan{{"staging", scan(time.Minute, fact.High, fact.Low)}}, ""},
		"above the limit":            {[]signedScan{{"staging", scan(time.Minute, fact.Critical)}}, "1 findings by Trivy at"},
		"a stranger's":               {[]signedScan{{"stranger", scan(time.Minute)}}, "found (one does not count: "},
		"unsigned":                   {[]signedScan{{"", scan(time.Minute)}}, "found (one does not count: "},
		"old":                        {[]signedScan{{"staging", scan(25 * time.Hour)}}, "older than 24h0m0s"},
		"clean, then not":            {[]signedScan{{"staging", scan(2 * time.Hour)}, {"staging", scan(time.Hour, fact.Critical)}}, "1 findings by"},
		"not, then clean":            {[]signedScan{{"staging", scan(2*time.Hour, fact.Critical)}, {"staging", scan(time.Hour)}}, ""},
		"an old one, recorded later": {[]signedScan{{"staging", scan(time.Hour, fact.Critical)}, {"staging", scan(2 * time.Hour)}}, "1 findings by"},
		"a stranger's, later":        {[]signedScan{{"staging", scan(2*time.Hour, fact.Critical)}, {"stranger", scan(time.Hour)}}, "1 findings by"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.write(".onedigest.yaml", []byte(strings.Replace(ruled, "requires: {", "requires: {scanned: {signers: [keys/staging.pub], max-age: 24h, max-severity: high}, ", 1)))
			g.pass("staging", nil)
			for _, each := range test.scans {
				g.record(each.by, fact.Fact{Kind: fact.Scanned, Image: g.image, At: time.Now().UTC(), Scan: &each.scan})
			}
			before := g.listed()
			result, err := g.run(nil, "octocat")
			if test.want != "" {
				checkPromotion(t, err, test.want)
				if after := g.listed(); !slices.Equal(before, after) {
					t.Errorf("the registry had %q, and has %q", before, after)
				}
				return
			}
			if err != nil || result.Outcome != release.Created {
				t.Errorf("got %+v, %v", result, err)
			}
		})
	}
}

// TestAnSBOMOpensTheGate: one that a named key signed counts, also that of another program, and no other.
func TestAnSBOMOpensTheGate(t *testing.T) {
	t.Parallel()
	listed := func(g guarded) fact.Fact {
		sbom, at, err := fact.NewSBOM([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"a"}]}`))
		if err != nil {
			g.t.Fatal(err)
		}
		return fact.Fact{Kind: fact.Listed, Image: g.image, At: at, SBOM: &sbom}
	}
	attach := func(g guarded, by, statement string) {
		content := g.bundle(by, []byte(statement))
		if _, err := g.client.Attach(g.t.Context(), g.image, signed.MediaType, signed.MediaType, content, map[string]string{signed.AnnotationPredicateType: "https://cyclonedx.org/bom", signed.AnnotationContent: signed.ContentEnvelope}); err != nil {
			g.t.Fatal(err)
		}
	}
	statement := func(of release.Image, predicate string) string {
		return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":%q,"digest":{"sha256":%q}}],"predicateType":"https://cyclonedx.org/bom","predicate":%s}`, of.Repository, strings.TrimPrefix(of.Digest.String(), "sha256:"), predicate)
	}
	const bom = `{"bomFormat":"CycloneDX","specVersion":"1.5"}`
	for name, test := range map[string]struct {
		record func(g guarded)
		want   string // "" to be promoted
	}{
		"none":                  {func(guarded) {}, "no statement that counts says what sha256:"},
		"the builder's":         {func(g guarded) { g.record("staging", listed(g)) }, ""},
		"as cosign attests":     {func(g guarded) { attach(g, "staging", statement(g.image, bom)) }, ""},
		"unsigned":              {func(g guarded) { g.record("", listed(g)) }, "one does not count: "},
		"a stranger's":          {func(g guarded) { g.record("stranger", listed(g)) }, "one does not count: "},
		"a key of another fact": {func(g guarded) { g.record("production", listed(g)) }, "one does not count: "},
		"of another image": {func(g guarded) {
			attach(g, "staging", statement(release.Repository("registry.example.com/other").At(g.image.Digest), bom))
		}, "it is about the image in registry.example.com/other"},
		"of another digest": {func(g guarded) {
			attach(g, "staging", statement(g.image.Repository.At(releasetest.Digest(g.t, "d")), bom))
		}, "no statement that counts says what sha256:"},
		"no SBOM": {func(g guarded) { attach(g, "staging", statement(g.image, `{"components":[]}`)) }, "it is not CycloneDX"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.write(".onedigest.yaml", []byte(strings.Replace(ruled, "requires: {", "requires: {listed: {signers: [keys/staging.pub]}, ", 1)))
			g.pass("staging", nil)
			test.record(g)
			before := g.listed()
			result, err := g.run(nil, "octocat")
			if test.want != "" {
				checkPromotion(t, err, test.want)
				if after := g.listed(); !slices.Equal(before, after) {
					t.Errorf("the registry had %q, and has %q", before, after)
				}
				return
			}
			if err != nil || result.Outcome != release.Created {
				t.Errorf("got %+v, %v", result, err)
			}
		})
	}
}

// TestVerifyKeysCountForEveryFact: where the file names no signers, those of --verify-key must have signed what was built and deployed, too.
func TestVerifyKeysCountForEveryFact(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		builder, deployer string // key; "" for none
		want              string // "" to be promoted
	}{
		"signed":             {"staging", "staging", ""},
		"an unsigned build":  {"", "staging", "no statement that counts says how"},
		"another's build":    {"stranger", "staging", "no statement that counts says how"},
		"an unsigned deploy": {"staging", "", "no statement that counts says that"},
		"another's deploy":   {"staging", "stranger", "no statement that counts says that"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.write(".onedigest.yaml", []byte("version: 1\nenvironments:\n- name: staging\n- name: production\n  requires: {built: {}, deployed: {}}\n"))
			at := time.Now().Add(-time.Minute).UTC()
			g.record(test.builder, fact.Fact{Kind: fact.Built, Image: g.image, Commit: releasetest.Commit, At: at, Build: &fact.Build{Type: fact.BuildType, Source: "https://git.example/shop", Builder: "https://ci.example", Recipe: releasetest.Digest(t, "1"), StartedAt: at}})
			g.record(test.deployer, fact.Fact{Kind: fact.Deployed, Image: g.image, Commit: releasetest.Commit, Environment: "staging", At: at,
				Deployment: &fact.Deployment{Cluster: "shop", Namespace: "staging", Release: "shop", Revision: 1, ChartDigest: releasetest.Digest(t, "2"), ValuesDigest: releasetest.Digest(t, "3"), Pods: 2}})
			result, err := g.run(func(s *promote.Settings) {
				s.VerifyKeys = []setting.KeyRef{{Source: setting.KeyFile, Name: "keys/staging.pub"}}
			}, "octocat")
			if test.want != "" {
				checkPromotion(t, err, test.want)
				return
			}
			if err != nil || result.Outcome != release.Created || result.Gate.Lines[1].By != "--verify-key keys/staging.pub" {
				t.Errorf("got %+v, %v", result, err)
			}
		})
	}
}

// TestAChartOfALaterCommit: an image that has the tag of a later commit enters with that commit's chart, so the environment before has to have run it. The pass is
// recorded again after the deploy of another chart.
func TestAChartOfALaterCommit(t *testing.T) {
	t.Parallel()
	const later = release.Commit("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee")
	for name, test := range map[string]struct {
		deployer string         // key; "": never deployed
		source   release.Commit // that was deployed
		smokes   bool           // after the deploy
		want     string         // "" to be promoted
	}{
		"never run":           {"", "", false, `no statement that counts says that "staging" ran chart and values of commit eeeeeeeeeeee`},
		"another one's":       {"staging", releasetest.Commit, true, "no statement that counts says that"},
		"a stranger's":        {"stranger", later, true, "who is not one of its signers"},
		"not smoked since":    {"staging", later, false, "no smoke passed while it was live"},
		"deployed and smoked": {"staging", later, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			layout := registrytest.Layout(t, map[string]string{release.AnnotationRevision: releasetest.Commit.String(), release.AnnotationInputs: "sha256:x"})
			if err := g.client.Push(t.Context(), layout, g.image.Repository, release.Tag(later), nil); err != nil {
				t.Fatal(err)
			}
			g.image = g.image.Repository.At(layout.Digest)
			g.write(".onedigest.yaml", []byte(strings.Replace(ruled, "max-age: 168h}", "max-age: 168h}, chart-of-commit: true", 1)))
			smoke := func(ago time.Duration) {
				g.pass("staging", func(e *release.Evidence) { e.Image, e.At = g.image, time.Now().Add(-ago).UTC() })
			}
			smoke(time.Hour)
			if test.deployer != "" {
				g.record(test.deployer, fact.Fact{Kind: fact.Deployed, Image: g.image, Commit: releasetest.Commit, Environment: "staging", At: time.Now().Add(-time.Minute).UTC(),
					Deployment: &fact.Deployment{Cluster: "shop", Namespace: "staging", Release: "shop", Revision: 2, ChartDigest: releasetest.Digest(t, "2"), ValuesDigest: releasetest.Digest(t, "3"), Source: test.source, Pods: 2}})
			}
			earlier, _, err := g.registry("staging").Newest(t.Context(), g.image, "staging")
			if err != nil {
				t.Fatal(err)
			}
			if since, err := g.registry("staging").DeployedSince(t.Context(), earlier); err != nil || since != (test.source == later) {
				t.Errorf("since the pass, another chart was deployed: got %t, %v", since, err)
			}
			if test.smokes {
				smoke(0)
			}
			result, err := g.run(func(s *promote.Settings) {
				s.Image, s.Repository, s.Commit = release.Image{}, g.image.Repository, later
			}, "octocat")
			if test.want != "" {
				checkPromotion(t, err, test.want)
				return
			}
			if err != nil || result.Outcome != release.Created || result.Source != later {
				t.Errorf("got %+v, %v", result, err)
			}
			if result, err := g.run(nil, "octocat"); err != nil || result.Source != releasetest.Commit { // the image alone: its own commit's chart
				t.Errorf("got %+v, %v", result, err)
			}
		})
	}
}

// registry is the registry whose records a key signs; "" for none.
func (g guarded) registry(by string) *images.Images {
	g.t.Helper()
	registry, err := images.New(g.t.Context(), &app.RunContext{Process: app.Process{Environ: g.environ, Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)})
	if err != nil {
		g.t.Fatal(err)
	}
	if by != "" {
		registry.SignWith(g.signers[by])
		registry.Trust(signed.Verifiers(g.signers[by].Key()))
	}
	return registry
}

// record attaches a fact that a key signs; "" for none.
func (g guarded) record(by string, f fact.Fact) {
	g.t.Helper()
	if _, created, err := g.registry(by).RecordFact(g.t.Context(), f); err != nil || !created {
		g.t.Fatalf("got %t, %v", created, err)
	}
}

// failIn is a smoke that fails and signs with the key of its environment.
func (g guarded) failIn(environment release.Environment, checks []release.Check) {
	g.t.Helper()
	before := len(g.listed())
	report := smoke.Report{Verdict: release.Fail, Rounds: 3, Answers: []release.Answer{{Check: "/", Wrong: []string{"status 500"}}}}
	err := smoke.RecordFailure(g.t.Context(), smoke.Subject{Checks: checks}, report, []string{"shop-1"}, smoke.Settings{Image: g.image, ExpectCommit: releasetest.Commit, Environment: environment},
		smoke.Deps{Registry: g.registry(environment.String()), Signer: g.signers[environment.String()].Key().ID, Reporter: releasetest.DiscardReporter{}, Now: time.Now})
	if after := len(g.listed()); err != nil || after != before+1 {
		g.t.Fatalf("got %v and %d new records, want 1", err, after-before)
	}
}

const rejecting = "CVE-2026-1, agreed with security"

func (g guarded) reject(change ...func(*promote.Settings)) {
	g.t.Helper()
	if result, err := g.run(func(s *promote.Settings) {
		s.Reject = rejecting
		for _, one := range change {
			one(s)
		}
	}, "alice"); err != nil || result.Outcome != release.Created || result.Record.IsZero() {
		g.t.Fatalf("got %+v, %v", result, err)
	}
}

// lift lifts the rejections with a key; refused is the refusal, "" for none.
func (g guarded) lift(by, refused string) {
	g.t.Helper()
	_, err := g.run(func(s *promote.Settings) { s.LiftRejection, s.SignKey = "it was another image", key(by) }, "alice")
	if (err == nil) != (refused == "") || err != nil && !strings.Contains(err.Error(), refused) {
		g.t.Fatalf("got %v, want %q", err, refused)
	}
}

func (g guarded) failInProduction() {
	g.t.Helper()
	g.attachBundle(g.bundle("production", g.statement(func(e *release.Evidence) { e.Environment, e.Verdict = "production", release.Fail })), "production", release.Fail)
}

// TestLiftWithoutRules lifts what bars an image where no policy names signers: by anybody, as anybody can write a pass then, or with a key of
// --verify-key if that is given.
func TestLiftWithoutRules(t *testing.T) {
	t.Parallel()
	verifyKeys := []setting.KeyRef{{Source: setting.KeyFile, Name: "keys/staging.pub"}}
	for name, test := range map[string]struct {
		rules string // "": no file
		keys  []setting.KeyRef
		by    string // who may lift; "": anybody
	}{
		"without keys":                        {"", nil, ""},
		"with --verify-key":                   {"", verifyKeys, "staging"},
		"with --verify-key, by an overriding": {"version: 1\nenvironments:\n- name: staging\n- name: production\n  override: {actors: [octocat], signers: [keys/override.pub]}\n", verifyKeys, "override"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, keys := newGuarded(t), test.keys
			if err := os.Remove(filepath.Join(g.dir, ".onedigest.yaml")); err != nil {
				t.Fatal(err)
			}
			if test.rules != "" {
				g.write(".onedigest.yaml", []byte(test.rules))
			}
			lift := func(s *promote.Settings) { s.LiftRejection = "the load balancer was down" }
			verified := func(change func(*promote.Settings)) func(*promote.Settings) {
				return func(s *promote.Settings) {
					s.VerifyKeys = keys
					if change != nil {
						change(s)
					}
				}
			}
			g.pass("staging", nil)
			g.failInProduction()
			g.reject()
			refused := func(want string, change func(*promote.Settings)) {
				t.Helper()
				if _, err := g.run(verified(change), "alice"); err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, want %q", err, want)
				}
			}
			refused("was rejected at", nil)
			if keys != nil {
				refused("this run has no key", lift)
				refused("may not sign", func(s *promote.Settings) { lift(s); s.SignKey = key("production") })
				if test.rules == "" { // whoever may push leaves out --verify-key
					if _, err := g.run(lift, "mallory"); err != nil {
						t.Fatal(err)
					}
				}
				refused("was rejected at", nil)
			}
			result, err := g.run(verified(func(s *promote.Settings) {
				if lift(s); test.by != "" {
					s.SignKey = key(test.by)
				}
			}), "alice")
			if err != nil || result.Outcome != release.Created || result.Record.IsZero() {
				t.Fatalf("got %+v, %v", result, err)
			}
			if result, err = g.run(verified(nil), "alice"); err != nil || !result.Gate.Opens {
				t.Fatalf("got %+v, %v", result, err)
			}
			g.failIn("production", nil)
			refused(`failed in "production"`, nil)
		})
	}
}

// TestTheGateOpens for what the rules accept: evidence of a key that was rotated, and what a key of the environment has lifted.
func TestTheGateOpens(t *testing.T) {
	t.Parallel()
	for name, records := range map[string]func(g guarded){
		"signed":                      func(g guarded) { g.pass("staging", nil) },
		"signed with a key of before": func(g guarded) { g.pass("old", nil) },
		"a lifted rejection":          func(g guarded) { g.pass("staging", nil); g.reject(); g.lift("production", "") },
		"a lifted failure":            func(g guarded) { g.pass("staging", nil); g.failInProduction(); g.lift("override", "") },
		"garbage beside a pass":       func(g guarded) { g.pass("staging", nil); g.attachBundle([]byte("garbage"), "staging", "") },
		"a clock that is a little ahead": func(g guarded) {
			g.pass("staging", func(e *release.Evidence) { e.At = time.Now().Add(release.ClockSkew / 2).UTC() })
		},
		"a stranger's pass beside one": func(g guarded) { g.pass("staging", nil); g.pass("stranger", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			records(g)
			result, err := g.run(nil, "octocat")
			if err != nil || !result.Gate.Opens || result.Gate.Overridden != nil || result.Outcome != release.Created {
				t.Fatalf("got %+v, %v", result, err)
			}
			if by := result.Gate.Lines[0].By; by != "keys/staging.pub" && by != "keys/old.pub" {
				t.Errorf("signed by %q", by)
			}
		})
	}
	for name, test := range map[string]struct {
		again func(g guarded)
		want  string
	}{
		"rejected again": {func(g guarded) { g.reject(); g.lift("production", ""); g.reject() }, "was rejected at"},
		"rejected again, signed": {func(g guarded) {
			signs := func(s *promote.Settings) { s.SignKey = key("production") }
			g.reject(signs)
			if result, err := g.run(func(s *promote.Settings) { s.Reject = rejecting; signs(s) }, "alice"); err != nil || result.Outcome != release.Unchanged {
				g.t.Fatalf("got %+v, %v, want a rejection that is there already", result, err)
			}
			g.lift("production", "")
			g.reject(signs)
		}, "was rejected at"},
		"failed again": {func(g guarded) { g.failIn("production", nil); g.lift("production", ""); g.failIn("production", nil) }, `failed in "production"`},
	} {
		t.Run("not if it was lifted and is "+name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.pass("staging", nil)
			test.again(g)
			_, err := g.run(nil, "octocat")
			checkPromotion(t, err, test.want)
		})
	}
	t.Run("not with a key that is gone", func(t *testing.T) {
		t.Parallel()
		g := newGuarded(t)
		g.write(".onedigest.yaml", []byte(strings.Replace(ruled, "keys/old.pub, ", "", 1)))
		g.pass("old", nil)
		_, err := g.run(nil, "octocat")
		checkPromotion(t, err, "that a trusted key signed")
	})
}

// TestAnOverrideIsSigned: those who may pass over the rules do so with a statement, once; nobody else does, and the registry stays as it was.
func TestAnOverrideIsSigned(t *testing.T) {
	t.Parallel()
	override := func(by string) func(*promote.Settings) {
		return func(s *promote.Settings) {
			s.OverrideReason, s.SignKey = "staging is down, agreed with the owner", key(by)
		}
	}
	for name, test := range map[string]struct {
		change func(*promote.Settings)
		actor  string
		want   string
	}{
		"by somebody else": {override("override"), "mallory", `"mallory" may not override`},
		"with another key": {override("staging"), "octocat", "may not sign an override"},
		"without a key":    {func(s *promote.Settings) { s.OverrideReason = "staging is down, agreed with the owner" }, "octocat", "must be signed"},
		"with verify-key": {func(s *promote.Settings) {
			s.VerifyKeys = []setting.KeyRef{{Source: setting.KeyFile, Name: "keys/stranger.pub"}}
		}, "octocat", "names the signers"},
		"to another ladder":   {func(s *promote.Settings) { s.To = "moon" }, "octocat", "is not an environment of .onedigest.yaml"},
		"with a missing file": {func(s *promote.Settings) { s.Policy = "none.yaml" }, "octocat", "does not exist"},
		"from somewhere else": {func(s *promote.Settings) { s.From = "qa" }, "octocat", "is not what .onedigest.yaml requires"},
	} {
		g := newGuarded(t)
		before := g.listed()
		_, err := g.run(test.change, test.actor)
		if err == nil || !strings.Contains(err.Error(), test.want) || !slices.Equal(before, g.listed()) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	g := newGuarded(t)
	before := g.listed()
	result, err := g.run(override("override"), "octocat")
	if err != nil || result.Gate.Opens || result.Gate.Overridden == nil || result.Gate.Overridden.Record.IsZero() || result.Outcome != release.Created {
		t.Fatalf("got %+v, %v", result, err)
	}
	after := g.listed()
	if len(after) != len(before)+3 || // the tag, the override and the promotion
		!slices.Contains(after, result.Gate.Overridden.Record.String()) {
		t.Errorf("the registry had %q, and has %q", before, after)
	}
	if result, err = g.run(override("override"), "octocat"); err != nil || result.Outcome != release.Unchanged || !slices.Equal(after, g.listed()) {
		t.Errorf("again: got %+v, %v, and %q", result, err, g.listed())
	}
	g.reject()
	_, err = g.run(override("override"), "octocat")
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "a rejection cannot be overridden") {
		t.Errorf("got %v", err)
	}
}

// TestAnOverrideThatMovesATag is stated, although the environment's tag was there before; with both tags there, nothing is entered.
func TestAnOverrideThatMovesATag(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	tag := "production-" + release.Tag(releasetest.Commit)
	state, err := g.registry("").Inspect(t.Context(), g.image.Repository, g.image.Digest, tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.registry("").Tag(t.Context(), g.image.Repository, state, g.image.Digest, tag); err != nil {
		t.Fatal(err)
	}
	override := func(s *promote.Settings) {
		s.OverrideReason, s.SignKey, s.MovingTag = "staging is down, agreed with the owner", key("override"), "production"
	}
	result, err := g.run(override, "octocat")
	if err != nil || result.Gate.Overridden == nil || result.Gate.Overridden.Record.IsZero() {
		t.Fatalf("got %+v, %v", result.Gate, err)
	}
	after := g.listed()
	if !slices.Contains(after, "production "+g.image.Digest.String()) {
		t.Errorf("the registry has %q", after)
	}
	if _, err := g.run(override, "octocat"); err != nil || !slices.Equal(after, g.listed()) {
		t.Errorf("again: got %v, and %q, want %q", err, g.listed(), after)
	}
}
