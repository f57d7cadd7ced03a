package promote_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keyless"
	"github.com/onedigest/onedigest/internal/app/keys"
	promoting "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/sigstore/sigstoretest"
	"github.com/onedigest/onedigest/internal/text"
)

// keylessRules are those of workflows: each environment's facts are signed by a workflow of its own.
const keylessRules = `version: 1
trusted-root: sigstore/trusted_root.json
environments:
  - name: staging
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/staging.yml@refs/heads/main"}]
  - name: production
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/production.yml@refs/heads/main"}]
    requires:
      smoked: {}
      built: {signers: [keyless: {identity-regexp: 'https://github\.com/octo/shared/\.github/workflows/build\.yml@refs/tags/v.*', repository: "https://github.com/octo/shop", ref: refs/heads/main}]}
`

// Directories of keyless://DIR: which services of the instance a signer uses.
const (
	everything = "sigstore"
	noLog      = "without-log"
)

// identities is a gate with the rules above, and an instance of Sigstore.
type identities struct {
	gate
	dir      string
	instance *sigstoretest.Instance
}

func newIdentities(t *testing.T) identities {
	t.Helper()
	g := identities{gate: newGate(t, false), dir: t.TempDir(), instance: sigstoretest.Start(t)}
	g.instance.Write(filepath.Join(g.dir, everything))
	g.write(noLog+"/trusted_root.json", g.instance.TrustedRoot(false))
	g.write(noLog+"/signing_config.json", g.instance.SigningConfig(false, true))
	g.write(".onedigest.yaml", []byte(keylessRules))
	return g
}

func (g identities) write(name string, content []byte) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		g.t.Fatal(err)
	}
}

// job is a run of a workflow of octo/shop.
func job(workflow string) sigstoretest.Claims {
	return sigstoretest.Job(release.GitHubIssuer, workflow)
}

// builder is a job of a reusable workflow that octo/shop calls.
func builder(change func(*sigstoretest.Claims)) sigstoretest.Claims {
	claims := job("")
	claims.JobWorkflowRef = "octo/shared/.github/workflows/build.yml@refs/tags/v1"
	if change != nil {
		change(&claims)
	}
	return claims
}

func (g identities) context(claims sigstoretest.Claims, told *bytes.Buffer) *app.RunContext {
	process := app.Process{Dir: g.dir, Environ: append(slices.Clone(g.environ), g.instance.JobEnv(claims)...), Now: time.Now, Keyless: keyless.Sigstore{}}
	var reporter release.Reporter = releasetest.DiscardReporter{}
	if told != nil {
		reporter = writer{releasetest.DiscardReporter{}, told}
	}
	return &app.RunContext{Process: process, Reporter: reporter, Secrets: new(text.Secrets)}
}

// writer is a reporter that keeps all lines.
type writer struct {
	releasetest.DiscardReporter
	told *bytes.Buffer
}

func (w writer) Infof(format string, args ...any) { fmt.Fprintf(w.told, format+"\n", args...) }
func (w writer) Warnf(format string, args ...any) { fmt.Fprintf(w.told, format+"\n", args...) }
func (w writer) Raw(line string)                  { fmt.Fprintln(w.told, line) }

// signer signs as a job.
func (g identities) signer(claims sigstoretest.Claims, dir string) signed.Signer {
	g.t.Helper()
	signer, err := keys.Signer(g.t.Context(), g.context(claims, nil), "sign-key", setting.KeyRef{Source: setting.KeyKeyless, Name: dir})
	if err != nil {
		g.t.Fatal(err)
	}
	return signer
}

// pass records that staging proved the image, signed as a job.
func (g identities) pass(claims sigstoretest.Claims, dir string) {
	g.t.Helper()
	g.passDated(claims, dir, time.Now().Add(-time.Minute))
}

// passDated is pass with a time of the verdict.
func (g identities) passDated(claims sigstoretest.Claims, dir string, at time.Time) {
	g.t.Helper()
	registry, err := images.New(g.t.Context(), g.context(claims, nil))
	if err != nil {
		g.t.Fatal(err)
	}
	registry.SignWith(g.signer(claims, dir))
	if _, err := registry.Record(g.t.Context(), release.Evidence{Image: g.image, Commit: releasetest.Commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: at.UTC()}); err != nil {
		g.t.Fatal(err)
	}
}

// provenance is what GitHub's action attest-build-provenance states of an image. Source: actions/buildtypes, workflow/v1/README.md, and SLSA v1.0, provenance.
func provenance(image release.Image) []byte {
	statement, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": evidence.PredicateBuilt,
		"subject": []any{map[string]any{"name": image.Repository.String(), "digest": map[string]string{"sha256": strings.TrimPrefix(image.Digest.String(), "sha256:")}}},
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":            "https://actions.github.io/buildtypes/workflow/v1",
				"externalParameters":   map[string]any{"workflow": map[string]any{"ref": "refs/heads/main", "repository": "https://github.com/octo/shop", "path": ".github/workflows/release.yml"}},
				"internalParameters":   map[string]any{"github": map[string]any{"event_name": "push", "repository_id": "22", "repository_owner_id": "11", "runner_environment": "github-hosted"}},
				"resolvedDependencies": []any{map[string]any{"uri": "git+https://github.com/octo/shop@refs/heads/main", "digest": map[string]string{"gitCommit": releasetest.Commit.String()}}},
			},
			"runDetails": map[string]any{"builder": map[string]any{"id": "https://github.com/octo/shared/.github/workflows/build.yml@refs/tags/v1"},
				"metadata": map[string]any{"invocationId": "https://github.com/octo/shop/actions/runs/1/attempts/1"}},
		},
	})
	if err != nil {
		panic(err)
	}
	return statement
}

// attest attaches a bundle as GitHub's action does with push-to-registry. Source: actions/toolkit, packages/attest; sigstore-js, packages/oci.
func (g identities) attest(bundle []byte) {
	g.t.Helper()
	if _, err := g.client.Attach(g.t.Context(), g.image, signed.MediaType, signed.MediaType, bundle, map[string]string{
		signed.AnnotationContent: signed.ContentEnvelope, signed.AnnotationPredicateType: evidence.PredicateBuilt, release.AnnotationCreated: time.Now().UTC().Format(time.RFC3339),
	}); err != nil {
		g.t.Fatal(err)
	}
}

func (g identities) sign(claims sigstoretest.Claims, dir string, statement []byte) []byte {
	g.t.Helper()
	bundle, err := g.signer(claims, dir).SignStatement(g.t.Context(), statement)
	if err != nil {
		g.t.Fatal(err)
	}
	return bundle
}

// promote promotes as the workflow of production, which signs the promotion.
func (g identities) promote() (promote.Result, string, error) {
	g.t.Helper()
	var settings promote.Settings
	if err := settings.Declare().ApplyDefaults(func() {
		settings.Image, settings.To, settings.SignKey = g.image, "production", setting.KeyRef{Source: setting.KeyKeyless, Name: everything}
	}); err != nil {
		g.t.Fatal(err)
	}
	told := new(bytes.Buffer)
	result, err := promoting.Run(g.t.Context(), &settings, g.context(job("production.yml"), told))
	return result, told.String(), err
}

// overview is what history shows of the image and production.
func (g identities) overview() policy.Standing {
	g.t.Helper()
	run := g.context(job("production.yml"), nil)
	rules, err := gates.Load(run, "")
	if err != nil {
		g.t.Fatal(err)
	}
	registry, err := images.New(g.t.Context(), run)
	if err != nil {
		g.t.Fatal(err)
	}
	gate, err := gates.New(run, registry, rules, nil, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	overview, err := gate.Overview(g.t.Context(), g.image, rules.Ladder)
	if err != nil {
		g.t.Fatal(err)
	}
	return overview.Standings["production"]
}

// TestKeylessChain: a pass that staging's workflow signed and GitHub's attestation of the build let the workflow of production promote, and its
// promotion is signed too.
func TestKeylessChain(t *testing.T) {
	t.Parallel()
	g := newIdentities(t)
	g.attest(g.sign(builder(nil), everything, provenance(g.image)))
	g.pass(job("staging.yml"), everything)
	result, told, err := g.promote()
	if err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	if result.Gate == nil || !result.Gate.Opens {
		t.Errorf("got %+v", result.Gate)
	}
	if shown := g.overview(); !shown.Entry.Opens || fmt.Sprint(shown.Entry.Lines[0]) != fmt.Sprint(result.Gate.Lines[0]) {
		t.Errorf("history shows %+v, the gate says %+v", shown.Entry, result.Gate)
	}
	for _, want := range []string{
		"built from commit " + releasetest.Commit.Short() + ", by https://github.com/octo/shared/.github/workflows/build.yml@refs/tags/v1 of " + release.GitHubIssuer + " in https://github.com/octo/shop",
		"by https://github.com/octo/shop/.github/workflows/staging.yml@refs/heads/main of " + release.GitHubIssuer,
		"signing as https://github.com/octo/shop/.github/workflows/production.yml@refs/heads/main",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told:\n%s", want, told)
		}
	}
	registry, err := images.New(t.Context(), g.context(job("production.yml"), nil))
	if err != nil {
		t.Fatal(err)
	}
	own := g.signer(job("production.yml"), everything)
	records, err := registry.Trusting([]signed.Verifier{own.Verifier()}).Facts(t.Context(), g.image, fact.Promoted)
	if err != nil || len(records) != 1 || records[0].Signer != own.ID() {
		t.Errorf("got %+v, %v", records, err)
	}
}

// TestForgedAttestationsProveNothing: each looks like what the rules ask for, and none opens the gate.
func TestForgedAttestationsProveNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attest func(g identities)
		want   string // of the log
	}{
		"nothing": {func(identities) {}, "no statement that counts says how"},
		"another repository calls the workflow": {func(g identities) {
			g.attest(g.sign(builder(func(c *sigstoretest.Claims) { c.Repository = "mallory/shop" }), everything, provenance(g.image)))
		}, "mallory/shop at refs/heads/main, who is not one of the signers that count"},
		"a pull request": {func(g identities) {
			g.attest(g.sign(builder(func(c *sigstoretest.Claims) { c.Ref = "refs/pull/1/merge" }), everything, provenance(g.image)))
		}, "who is not one of the signers that count"},
		"another workflow": {func(g identities) { g.attest(g.sign(job("staging.yml"), everything, provenance(g.image))) }, "who is not one of the signers that count"},
		"another issuer": {func(g identities) {
			g.attest(g.sign(builder(func(c *sigstoretest.Claims) { c.Issuer = "https://token.example.com" }), everything, provenance(g.image)))
		}, "https://token.example.com"},
		"no log entry": {func(g identities) { g.attest(g.sign(builder(nil), noLog, provenance(g.image))) }, "not enough verified log entries"},
		"no time, certificate expired": {func(g identities) {
			var bundle map[string]any
			if err := json.Unmarshal(g.sign(builder(nil), everything, provenance(g.image)), &bundle); err != nil {
				g.t.Fatal(err)
			}
			material := bundle["verificationMaterial"].(map[string]any) //nolint:forcetypeassert // the test's own
			delete(material, "timestampVerificationData")
			delete(material["tlogEntries"].([]any)[0].(map[string]any), "inclusionPromise") //nolint:forcetypeassert // the test's own
			encoded, err := json.Marshal(bundle)
			if err != nil {
				g.t.Fatal(err)
			}
			g.attest(encoded)
		}, "its certificate does not count"},
		"another instance of Sigstore": {func(g identities) {
			other := newIdentities(g.t)
			g.attest(other.sign(builder(nil), everything, provenance(g.image)))
		}, "its certificate does not count"},
		"another digest": {func(g identities) {
			g.attest(g.sign(builder(nil), everything, provenance(g.image.Repository.At(releasetest.Digest(g.t, "d")))))
		}, "it is about sha256:d"},
		"another image": {func(g identities) {
			g.attest(g.sign(builder(nil), everything, provenance(release.Repository("registry.example.com/other").At(g.image.Digest))))
		}, "it is about the image in registry.example.com/other"},
		"a key": {func(g identities) {
			keyed := newGuarded(g.t)
			g.attest(keyed.bundle("staging", provenance(g.image)))
		}, "none of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newIdentities(t)
			g.pass(job("staging.yml"), everything)
			test.attest(g)
			_, told, err := g.promote()
			var refusal *release.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(told, test.want) {
				t.Errorf("got %v; want %q in\n%s", err, test.want, told)
			}
			if shown := g.overview(); shown.Entry.Opens {
				t.Errorf("history shows that it may enter: %+v", shown)
			}
			if _, promoted, err := g.client.Find(t.Context(), g.image.Repository, release.Tag("production-"+releasetest.Commit)); err != nil || promoted {
				t.Errorf("the tag is there: %t, %v", promoted, err)
			}
		})
	}
}

// TestAPassOfAnotherTime: a pass whose time is far from the one at which the log has its signature proves nothing.
func TestAPassOfAnotherTime(t *testing.T) {
	t.Parallel()
	g := newIdentities(t)
	g.attest(g.sign(builder(nil), everything, provenance(g.image)))
	g.passDated(job("staging.yml"), everything, time.Now().Add(-time.Hour))
	_, told, err := g.promote()
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(told+err.Error(), "more than 10 minutes apart") {
		t.Errorf("got %v\n%s", err, told)
	}
}

// TestAPassOfAnotherWorkflow: what the build's workflow may state, a pass is not.
func TestAPassOfAnotherWorkflow(t *testing.T) {
	t.Parallel()
	for name, claims := range map[string]sigstoretest.Claims{"of the build": builder(nil), "of production": job("production.yml")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newIdentities(t)
			g.attest(g.sign(builder(nil), everything, provenance(g.image)))
			g.pass(claims, everything)
			_, told, err := g.promote()
			var refusal *release.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(told, "who is not one of the signers that count") {
				t.Errorf("got %v\n%s", err, told)
			}
		})
	}
}

// TestKeylessBadInput: what is missing is bad input, and no request is sent to Sigstore for it.
func TestKeylessBadInput(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(g identities, run *app.RunContext, settings *promote.Settings)
		want   string
	}{
		"no token":     {func(g identities, run *app.RunContext, _ *promote.Settings) { run.Process.Environ = g.environ }, "id-token: write"},
		"no keyless":   {func(_ identities, run *app.RunContext, _ *promote.Settings) { run.Process.Keyless = nil }, "only the program onedigest has"},
		"no directory": {func(_ identities, _ *app.RunContext, s *promote.Settings) { s.SignKey.Name = "missing" }, "does not exist"},
		"no trusted root": {func(g identities, _ *app.RunContext, _ *promote.Settings) {
			g.write("sigstore/trusted_root.json", []byte("{}"))
		}, "trusted root"},
		"no configuration": {func(g identities, _ *app.RunContext, _ *promote.Settings) {
			g.write("sigstore/signing_config.json", []byte("{}"))
		}, "signing configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newIdentities(t)
			var settings promote.Settings
			if err := settings.Declare().ApplyDefaults(func() {
				settings.Image, settings.To, settings.SignKey = g.image, "production", setting.KeyRef{Source: setting.KeyKeyless, Name: everything}
			}); err != nil {
				t.Fatal(err)
			}
			run := g.context(job("production.yml"), nil)
			test.change(g, run, &settings)
			_, err := promoting.Run(t.Context(), &settings, run)
			var input *release.InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if len(g.instance.Requests) > 0 {
				t.Errorf("requests: %q", g.instance.Requests)
			}
		})
	}
}

// TestCosignVerifiesKeyless: cosign verifies a record without a key as docs/evidence.md says, and for no other workflow. ONEDIGEST_COSIGN names the program,
// which make test builds.
func TestCosignVerifiesKeyless(t *testing.T) {
	t.Parallel()
	program := os.Getenv("ONEDIGEST_COSIGN")
	if program == "" {
		t.Skip("SKIPPED: set ONEDIGEST_COSIGN to the path of cosign 3")
	}
	page, err := os.ReadFile("../../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	_, documented, found := strings.Cut(string(page), "by the identity that the policy names:\n\n```bash\ncosign ")
	documented, _, _ = strings.Cut(documented, "```")
	if !found {
		t.Fatal("docs/evidence.md has no command of cosign for a record without a key")
	}
	g := newIdentities(t)
	g.pass(job("staging.yml"), everything)
	arguments := append(strings.Fields(strings.NewReplacer("\\\n", "", `"$IMAGE"`, g.image.String()).Replace(documented)), "--allow-http-registry", "--trusted-root", filepath.Join(g.dir, "sigstore/trusted_root.json"))
	cosign := func(arguments []string) (string, error) {
		command := exec.CommandContext(t.Context(), program, arguments...)
		command.Dir, command.Env = g.dir, []string{"HOME=" + g.dir, "PATH=/usr/bin:/bin"}
		output, err := command.CombinedOutput()
		return string(output), err
	}
	if output, err := cosign(arguments); err != nil {
		t.Errorf("%q: %v: %s", arguments, err, output)
	}
	for i, argument := range arguments {
		arguments[i] = strings.Replace(argument, "staging.yml", "other.yml", 1)
	}
	if output, err := cosign(arguments); err == nil {
		t.Errorf("%q verified the record of another workflow: %s", arguments, output)
	}
}
