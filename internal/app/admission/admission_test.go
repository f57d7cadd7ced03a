package admission_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/admission"
	"github.com/onedigest/onedigest/internal/app"
	appadmission "github.com/onedigest/onedigest/internal/app/admission"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keyless"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/evidence/signed/signedtest"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/sigstore/sigstoretest"
	"github.com/onedigest/onedigest/internal/text"
)

const (
	byWorkflows = `version: 1
trusted-root: sigstore/trusted_root.json
environments:
  - name: staging
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/staging.yml@refs/heads/main"}]
  - name: production
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/production.yml@refs/heads/main"}]
    requires:
      listed: {signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/staging.yml@refs/heads/main"}]}
      smoked: {checks: 2, check-names: [home]}
      deployed: {in: staging}
`
	byKeys = `version: 1
environments:
  - name: staging
    signers: [keys/old.pub, keys/staging.pub]
  - name: production
    signers: [keys/production.pub]
    requires:
      listed: {signers: [keys/staging.pub]}
      smoked: {checks: 2, check-names: [home]}
      deployed: {in: staging}
`
)

// world is a registry, a work tree with rules, and who signs.
type world struct {
	t        *testing.T
	dir      string
	registry string
	instance *sigstoretest.Instance
	keys     map[string]*signed.KeySigner
}

func newWorld(t *testing.T, rules string) world {
	t.Helper()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	w := world{t: t, dir: t.TempDir(), registry: strings.TrimPrefix(server.URL, "http://"), instance: sigstoretest.Start(t), keys: map[string]*signed.KeySigner{}}
	w.write(".onedigest.yaml", []byte(rules))
	w.write("sigstore/trusted_root.json", w.instance.TrustedRoot(true))
	w.write("sigstore/signing_config.json", w.instance.SigningConfig(true, true))
	for _, name := range []string{"old", "staging", "production", "stranger"} {
		signer, _, public := signedtest.New(t)
		w.keys[name] = signer
		w.write("keys/"+name+".pub", public)
	}
	return w
}

func (w world) write(name string, content []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

func (w world) context(environ ...string) *app.RunContext {
	return &app.RunContext{Process: app.Process{Dir: w.dir, Environ: environ, Now: time.Now, Keyless: keyless.Sigstore{}}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
}

// push pushes an image.
func (w world) push() release.Image {
	w.t.Helper()
	layout := registrytest.Layout(w.t, map[string]string{release.AnnotationRevision: releasetest.Commit.String(), "n": rand.Text()})
	repository := release.Repository(w.registry + "/shop")
	if err := registry.New(registry.Options{}).Push(w.t.Context(), layout, repository, release.Tag(strings.ToLower(rand.Text())), nil); err != nil {
		w.t.Fatal(err)
	}
	return repository.At(layout.Digest)
}

// signer signs as a workflow (with a dot in its name), or with a key.
func (w world) signer(name string) signed.Signer {
	w.t.Helper()
	if !strings.Contains(name, ".") {
		return w.keys[name]
	}
	run := w.context(w.instance.JobEnv(sigstoretest.Job(release.GitHubIssuer, name))...)
	signer, err := keys.Signer(w.t.Context(), run, "sign-key", setting.KeyRef{Source: setting.KeyKeyless, Name: "sigstore"})
	if err != nil {
		w.t.Fatal(err)
	}
	return signer
}

// record records a fact about an image.
func (w world) record(by string, f fact.Fact) {
	w.t.Helper()
	connected, err := images.New(w.t.Context(), w.context())
	if err != nil {
		w.t.Fatal(err)
	}
	connected.SignWith(w.signer(by))
	if f.Smoke != nil {
		_, err = connected.Record(w.t.Context(), *f.Smoke)
	} else {
		_, _, err = connected.RecordFact(w.t.Context(), f)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// attach attaches a signed statement with a predicate.
func (w world) attach(by string, image release.Image, predicateType, predicate string) {
	w.t.Helper()
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":%q,"digest":{"sha256":%q}}],"predicateType":%q,"predicate":%s}`,
		image.Repository, strings.TrimPrefix(image.Digest.String(), "sha256:"), predicateType, predicate)
	bundle, err := w.signer(by).SignStatement(w.t.Context(), statement)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := registry.New(registry.Options{}).Attach(w.t.Context(), image, signed.MediaType, signed.MediaType, bundle,
		map[string]string{signed.AnnotationContent: signed.ContentEnvelope, signed.AnnotationPredicateType: predicateType}); err != nil {
		w.t.Fatal(err)
	}
}

func smoked(image release.Image, environment release.Environment, verdict release.Verdict, checks ...string) fact.Fact {
	return fact.Fact{Kind: fact.Smoked, Image: image, Smoke: &release.Evidence{Image: image, Commit: releasetest.Commit, Environment: environment, Verdict: verdict, Checks: checks, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().Add(-time.Minute).UTC()}}
}

func listed(t *testing.T, image release.Image) fact.Fact {
	t.Helper()
	sbom, at, err := fact.NewSBOM([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6"}`))
	if err != nil {
		t.Fatal(err)
	}
	return fact.Fact{Kind: fact.Listed, Image: image, At: at, SBOM: &sbom}
}

func deployed(image release.Image, environment release.Environment) fact.Fact {
	return fact.Fact{Kind: fact.Deployed, Image: image, Commit: releasetest.Commit, Environment: environment, At: time.Now().UTC(), Deployment: &fact.Deployment{Cluster: "c", Namespace: "staging",
		Release: "shop", Revision: 3, Chart: "charts/service", ChartDigest: image.Digest, ValuesDigest: image.Digest, Pods: 1}}
}

// manifest writes the rules for a controller.
func (w world) manifest(format string) []byte {
	w.t.Helper()
	settings := admission.Settings{Format: format, Environment: "production", Repositories: []release.Repository{release.Repository(w.registry + "/shop")}, Manifest: "policy.yaml"}
	if _, err := appadmission.Run(w.t.Context(), &settings, w.context()); err != nil {
		w.t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(w.dir, "policy.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	return content
}

// cases are images with evidence by the signer of staging, or by others, and whether the rules admit them.
func cases(staging, stranger string) map[string]struct {
	evidence func(w world, image release.Image)
	admitted bool
} {
	return map[string]struct {
		evidence func(w world, image release.Image)
		admitted bool
	}{
		"proved": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.record(staging, smoked(image, "staging", release.Pass, "home", "login"))
			w.record(staging, deployed(image, "staging"))
		}, true},
		"without an SBOM": {func(w world, image release.Image) {
			w.record(stranger, listed(w.t, image))
			w.record(staging, smoked(image, "staging", release.Pass, "home", "login"))
			w.record(staging, deployed(image, "staging"))
		}, false},
		"nothing": {func(world, release.Image) {}, false},
		"by a stranger": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.record(stranger, smoked(image, "staging", release.Pass, "home", "login"))
			w.record(stranger, deployed(image, "staging"))
		}, false},
		"failed": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.record(staging, smoked(image, "staging", release.Fail, "home", "login"))
			w.record(staging, deployed(image, "staging"))
		}, false},
		"in another environment": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.record(staging, smoked(image, "preview", release.Pass, "home", "login"))
			w.record(staging, deployed(image, "staging"))
		}, false},
		"too few checks": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.record(staging, smoked(image, "staging", release.Pass, "home"))
			w.record(staging, deployed(image, "staging"))
		}, false},
		"without a check": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.record(staging, smoked(image, "staging", release.Pass, "login", "search"))
			w.record(staging, deployed(image, "staging"))
		}, false},
		"another program's result": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.attach(staging, image, evidence.PredicateType, `{"result":"PASSED"}`)
			w.attach(staging, image, evidence.PredicateDeployed, `{}`)
		}, false},
		"not deployed": {func(w world, image release.Image) {
			w.record(staging, listed(w.t, image))
			w.record(staging, smoked(image, "staging", release.Pass, "home", "login"))
		}, false},
	}
}

// run runs a program of a controller and returns its output.
func (w world) run(program string, arguments ...string) (string, error) {
	command := exec.CommandContext(w.t.Context(), program, arguments...)
	command.Dir, command.Env = w.dir, []string{"HOME=" + w.dir, "PATH=/usr/bin:/bin"}
	output, err := command.CombinedOutput()
	return string(output), err
}

// TestPolicyController: policy-controller's own tester decides as the rules do. ONEDIGEST_POLICY_TESTER names the program, which is cmd/tester of the
// module github.com/sigstore/policy-controller v0.13.1.
func TestPolicyController(t *testing.T) {
	t.Parallel()
	program := os.Getenv("ONEDIGEST_POLICY_TESTER")
	if program == "" {
		t.Skip("SKIPPED: set ONEDIGEST_POLICY_TESTER to the path of policy-controller's tester")
	}
	w := newWorld(t, byWorkflows)
	trustRoot, policies, _ := bytes.Cut(w.manifest(admission.FormatPolicyController), []byte("\n---\n"))
	w.write("trustroot.yaml", trustRoot)
	var files []string
	for i, policy := range bytes.Split(policies, []byte("\n---\n")) {
		files = append(files, fmt.Sprintf("policy-%d.yaml", i))
		w.write(files[i], policy)
	}
	for name, c := range cases("staging.yml", "other.yml") {
		image := w.push()
		c.evidence(w, image)
		var refused []string
		for _, policy := range files { // the controller asks each policy that matches
			output, err := w.run(program, "-log-level", "error", "-policy", policy, "-trustroot", "trustroot.yaml", "-image", image.String())
			var exit *exec.ExitError
			if err != nil && (!errors.As(err, &exit) || !strings.Contains(output, `"errors"`)) {
				t.Fatalf("%s: %v: %s", name, err, output)
			}
			if err != nil {
				refused = append(refused, output)
			}
		}
		if admitted := len(refused) == 0; admitted != c.admitted {
			t.Errorf("%s: admitted is %t: %s", name, admitted, refused)
		}
	}
}

// TestKyverno: Kyverno's own command decides as the rules do. ONEDIGEST_KYVERNO names the program, which is cmd/cli/kubectl-kyverno of the module
// github.com/kyverno/kyverno v1.19.1. It reads TUF metadata of a Sigstore instance for every certificate, also with a trusted root in the policy, so only keys are
// tried without a network.
func TestKyverno(t *testing.T) {
	t.Parallel()
	program := os.Getenv("ONEDIGEST_KYVERNO")
	if program == "" {
		t.Skip("SKIPPED: set ONEDIGEST_KYVERNO to the path of Kyverno's command")
	}
	w := newWorld(t, byKeys)
	w.manifest(admission.FormatKyverno)
	for name, c := range cases("staging", "stranger") {
		image := w.push()
		c.evidence(w, image)
		w.write("pod.yaml", fmt.Appendf(nil, "apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: default}\nspec: {containers: [{name: shop, image: %q}]}\n", image))
		output, err := w.run(program, "apply", "policy.yaml", "--resource", "pod.yaml", "--registry")
		admitted := err == nil && strings.Contains(output, "pass: 1, fail: 0")
		if admitted != c.admitted || !admitted && !strings.Contains(output, "fail: 1") {
			t.Errorf("%s: admitted is %t, %v: %s", name, admitted, err, output)
		}
	}
}

// TestTheManifestIsWritten: with the keys that the rules name, beside the file of rules.
func TestTheManifestIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, byKeys)
	content := w.manifest(admission.FormatKyverno)
	for _, name := range []string{"old", "staging"} {
		public, err := w.keys[name].Key().PEM()
		if err != nil {
			t.Fatal(err)
		}
		if indented := strings.ReplaceAll(strings.TrimSpace(string(public)), "\n", "\n            "); !bytes.Contains(content, []byte(indented)) {
			t.Errorf("the key %s is not in\n%s", name, content)
		}
	}
	other, err := w.keys["production"].Key().PEM()
	if err != nil {
		t.Fatal(err)
	}
	if body := strings.Split(string(other), "\n")[1]; bytes.Contains(content, []byte(body)) {
		t.Errorf("a key that no requirement names is written:\n%s", content)
	}
	if err := os.Remove(filepath.Join(w.dir, "keys/old.pub")); err != nil {
		t.Fatal(err)
	}
	settings := admission.Settings{Format: admission.FormatKyverno, Environment: "production", Repositories: []release.Repository{"registry.example.com/shop"}, Manifest: "other.yaml"}
	_, err = appadmission.Run(t.Context(), &settings, w.context())
	var input *release.InputError
	if _, exists := os.Stat(filepath.Join(w.dir, "other.yaml")); !errors.As(err, &input) || exists == nil {
		t.Errorf("got %v, and the manifest is there: %t", err, exists == nil)
	}
}
