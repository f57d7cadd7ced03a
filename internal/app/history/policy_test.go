package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	apphistory "github.com/onedigest/onedigest/internal/app/history"
	"github.com/onedigest/onedigest/internal/app/keyless"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/sigstore/sigstoretest"
	"github.com/onedigest/onedigest/internal/text"
)

const workflowRules = `version: 1
trusted-root: sigstore/trusted_root.json
environments:
  - name: staging
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/staging.yml@refs/heads/main"}]
  - name: production
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/production.yml@refs/heads/main"}]
    requires:
      smoked: {}
      built: {signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/build.yml@refs/heads/main"}]}
`

// workflows are a registry, and a work tree with rules and the files of an instance of Sigstore that signs for workflows.
type workflows struct {
	t        *testing.T
	dir      string
	image    release.Image
	instance *sigstoretest.Instance
}

func newWorkflows(t *testing.T) workflows {
	t.Helper()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	w := workflows{t: t, dir: t.TempDir(), instance: sigstoretest.Start(t)}
	w.instance.Write(filepath.Join(w.dir, "sigstore"))
	if err := os.WriteFile(filepath.Join(w.dir, ".onedigest.yaml"), []byte(workflowRules), 0o600); err != nil {
		t.Fatal(err)
	}
	layout := registrytest.Layout(t, map[string]string{release.AnnotationRevision: releasetest.Commit.String()})
	repository := release.Repository(strings.TrimPrefix(server.URL, "http://") + "/shop")
	w.image = repository.At(layout.Digest)
	if err := registry.New(registry.Options{}).Push(t.Context(), layout, repository, release.Tag(releasetest.Commit.String()), nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w workflows) context(environ ...string) *app.RunContext {
	return &app.RunContext{Process: app.Process{Dir: w.dir, Environ: environ, Now: time.Now, Keyless: keyless.Sigstore{}}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
}

func (w workflows) signer(workflow string) signed.Signer {
	w.t.Helper()
	run := w.context(w.instance.JobEnv(sigstoretest.Job(release.GitHubIssuer, workflow))...)
	signer, err := keys.Signer(w.t.Context(), run, "sign-key", setting.KeyRef{Source: setting.KeyKeyless, Name: "sigstore"})
	if err != nil {
		w.t.Fatal(err)
	}
	return signer
}

// smoked, deployed and built record a fact, signed as a workflow.
func (w workflows) smoked(workflow string, of release.Image) {
	w.t.Helper()
	content, err := evidence.Encode(release.Evidence{Image: of, Commit: releasetest.Commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3, Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.attach(workflow, content, evidence.PredicateType, map[string]string{evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: string(release.Pass)})
}

func (w workflows) deployed(workflow string, environment release.Environment) {
	w.t.Helper()
	content, err := evidence.EncodeFact(fact.Fact{Kind: fact.Deployed, Image: w.image, Commit: releasetest.Commit, Environment: environment, At: time.Now().UTC(), Deployment: &fact.Deployment{Cluster: "c",
		Namespace: "n", Release: "shop", Revision: 3, Chart: "charts/service", ChartDigest: w.image.Digest, ValuesDigest: w.image.Digest, Pods: 1}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.attach(workflow, content, evidence.PredicateDeployed, nil)
}

// built attaches what GitHub's action attest-build-provenance does. Source: actions/buildtypes, workflow/v1/README.md.
func (w workflows) built(workflow string) {
	w.t.Helper()
	content := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"name":%q,"digest":{"sha256":%q}}],"predicate":{
		"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"ref":"refs/heads/main","repository":"https://github.com/octo/shop","path":".github/workflows/build.yml"}},
			"resolvedDependencies":[{"uri":"git+https://github.com/octo/shop@refs/heads/main","digest":{"gitCommit":%q}}]},
		"runDetails":{"builder":{"id":"https://github.com/octo/shop/.github/workflows/build.yml@refs/heads/main"}}}}`,
		evidence.PredicateBuilt, w.image.Repository, strings.TrimPrefix(w.image.Digest.String(), "sha256:"), releasetest.Commit)
	w.attach(workflow, content, evidence.PredicateBuilt, nil)
}

func (w workflows) attach(workflow string, statement []byte, predicateType string, annotations map[string]string) {
	w.t.Helper()
	bundle, err := w.signer(workflow).SignStatement(w.t.Context(), statement)
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]string{signed.AnnotationContent: signed.ContentEnvelope, signed.AnnotationPredicateType: predicateType, release.AnnotationCreated: time.Now().UTC().Format(time.RFC3339)}
	for key, value := range annotations {
		all[key] = value
	}
	if _, err := registry.New(registry.Options{}).Attach(w.t.Context(), w.image, signed.MediaType, signed.MediaType, bundle, all); err != nil {
		w.t.Fatal(err)
	}
}

// history runs the verb in the work tree, whose file of rules it finds.
func (w workflows) history(arguments ...string) (result history.Result, page string) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	process := w.context("GITHUB_WORKSPACE=" + w.dir).Process
	process.Stdout, process.Stderr = &stdout, &stderr
	process.Args = append([]string{"--repository", w.image.Repository.String(), "--output", "json", "--board", "board.html"}, arguments...)
	if code := apphistory.Command().Run(w.t.Context(), process); code != 0 {
		w.t.Fatalf("exit %d: %s", code, &stderr)
	}
	content, readErr := os.ReadFile(filepath.Join(w.dir, "board.html"))
	if err := errors.Join(json.Unmarshal(stdout.Bytes(), &result), readErr); err != nil {
		w.t.Fatal(err)
	}
	return result, string(content)
}

// TestHistoryByThePolicy: certificates count for the fact and the environment for which the policy names their identities, as the gate counts them.
func TestHistoryByThePolicy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		record              func(w workflows)
		staging, production history.State
		verdict             release.Verdict
		because             string // what runs in production; "" if that is not known
	}{
		"proved": {func(w workflows) {
			w.built("build.yml")
			w.smoked("staging.yml", w.image)
			w.deployed("staging.yml", "staging")
			w.deployed("production.yml", "production")
		}, history.StateLive, history.StateLive, release.Pass, "what .onedigest.yaml requires is met"},
		"provenance of another workflow": {func(w workflows) {
			w.built("staging.yml")
			w.smoked("staging.yml", w.image)
			w.deployed("production.yml", "production")
		}, history.StateProved, history.StateLive, release.Pass, ".onedigest.yaml would not let it in now; no statement that counts says how"},
		"a pass of another workflow": {func(w workflows) {
			w.built("build.yml")
			w.smoked("production.yml", w.image)
			w.deployed("production.yml", "production")
		}, history.StateNone, history.StateLive, "", `no smoke in "staging" is recorded`},
		"a deploy to production by the workflow of staging": {func(w workflows) {
			w.smoked("staging.yml", w.image)
			w.deployed("staging.yml", "production")
		}, history.StateProved, history.StateNone, release.Pass, ""},
		"a pass of another repository": {func(w workflows) {
			w.smoked("staging.yml", release.Repository("registry.example.com/other").At(w.image.Digest))
			w.deployed("staging.yml", "staging")
		}, history.StateLive, history.StateNone, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkflows(t)
			test.record(w)
			result, page := w.history()
			staging, production := result.Commits[0].Cells[0], result.Commits[0].Cells[1]
			if staging.State != test.staging || production.State != test.production || staging.Verdict != test.verdict || !result.Verified || result.Policy.File != ".onedigest.yaml" {
				t.Errorf("got %+v", result)
			}
			if running := result.Running[1]; !strings.Contains(running.Because, test.because) || (running.Commit != "") != (test.because != "") {
				t.Errorf("production runs %+v", running)
			}
			if !strings.Contains(page, "The rules are those of .onedigest.yaml") || strings.Contains(page, "cosign verify-attestation --certificate-oidc-issuer &#39;"+release.GitHubIssuer) != (test.staging != history.StateNone || test.production != history.StateNone) {
				t.Errorf("the board is\n%s", page)
			}
		})
	}
}

// TestHistoryOfOtherEnvironments: with a policy, those that it lists can be asked about.
func TestHistoryOfOtherEnvironments(t *testing.T) {
	t.Parallel()
	w := newWorkflows(t)
	if result, _ := w.history("--environments", "production"); len(result.Environments) != 1 || result.Environments[0] != "production" {
		t.Errorf("got %+v", result.Environments)
	}
	for arguments, says := range map[string]string{
		"--environments preview":                      `"preview" is not an environment of .onedigest.yaml`,
		"--policy none.yaml":                          "none.yaml",
		"--verify-key cosign.pub":                     "names the signers",
		"--max-age 1h":                                "168h",
		"--environments a,a --policy .onedigest.yaml": `"a" is not an environment`,
	} {
		var stderr bytes.Buffer
		process := w.context("GITHUB_WORKSPACE=" + w.dir).Process
		process.Stdout, process.Stderr, process.Args = io.Discard, &stderr, append([]string{"--repository", w.image.Repository.String()}, strings.Fields(arguments)...)
		if code := apphistory.Command().Run(t.Context(), process); code != 2 || !strings.Contains(stderr.String(), says) {
			t.Errorf("%s: exit %d: %s", arguments, code, &stderr)
		}
	}
}

// TestCertificatesNeedTheWholeProgram: without keyless signing in the program, a policy of identities is refused before anything is read.
func TestCertificatesNeedTheWholeProgram(t *testing.T) {
	t.Parallel()
	w := newWorkflows(t)
	run := w.context("GITHUB_WORKSPACE=" + w.dir)
	run.Process.Keyless = nil
	settings := history.Settings{Repository: "registry.invalid/shop"}
	_, err := apphistory.Run(t.Context(), &settings, run)
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "only the program onedigest has") {
		t.Errorf("got %v", err)
	}
}
