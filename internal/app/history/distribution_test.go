package history_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	apphistory "github.com/onedigest/onedigest/internal/app/history"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

const keyRules = `version: 1
environments:
  - name: staging
    signers: [staging.pub]
  - name: production
    signers: [production.pub]
    requires:
      smoked: {checks: 1}
      deployed: {in: staging}
`

// delivery is a repository in the CNCF's registry, and a work tree with rules and keys.
type delivery struct {
	t     *testing.T
	dir   string
	image release.Image
}

func newDelivery(t *testing.T, variable string) delivery {
	t.Helper()
	d := delivery{t: t, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(d.dir, "rules.yaml"), []byte(keyRules), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"staging", "production", "stranger"} {
		d.writeKey(name)
	}
	layout := registrytest.Layout(t, map[string]string{release.AnnotationRevision: releasetest.Commit.String(), release.AnnotationCreated: "2026-03-04T05:06:07Z"})
	repository := release.Repository(registrytest.Distribution(t, os.Getenv(variable)) + "/team/shop")
	d.image = repository.At(layout.Digest)
	if err := d.signing("").Push(t.Context(), layout, repository, release.Tag(releasetest.Commit.String()), nil); err != nil {
		t.Fatal(err)
	}
	return d
}

// writeKey writes NAME.key and NAME.pub.
func (d delivery) writeKey(name string) {
	d.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		d.t.Fatal(err)
	}
	public, err := signed.NewKey(&private.PublicKey)
	if err != nil {
		d.t.Fatal(err)
	}
	publicPEM, err := public.PEM()
	if err != nil {
		d.t.Fatal(err)
	}
	for file, content := range map[string][]byte{name + ".key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), name + ".pub": publicPEM} {
		if err := os.WriteFile(filepath.Join(d.dir, file), content, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d delivery) process() app.Process {
	return app.Process{Dir: d.dir, Environ: []string{"GITHUB_WORKSPACE=" + d.dir}, Now: time.Now}
}

// signing is the adapter with which deploy and smoke record, with a key of the work tree; "" for none.
func (d delivery) signing(key string) *images.Images {
	d.t.Helper()
	run := &app.RunContext{Process: d.process(), Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	connected, err := images.New(d.t.Context(), run)
	if err != nil {
		d.t.Fatal(err)
	}
	if key == "" {
		return connected
	}
	signer, err := keys.Signer(d.t.Context(), run, "sign-key", setting.KeyRef{Source: setting.KeyFile, Name: key + ".key"})
	if err != nil {
		d.t.Fatal(err)
	}
	return connected.Signing(signer)
}

func (d delivery) deployed(environment release.Environment, key string) {
	d.t.Helper()
	_, _, err := d.signing(key).RecordFact(d.t.Context(), fact.Fact{Kind: fact.Deployed, Image: d.image, Commit: releasetest.Commit, Environment: environment, At: time.Now().UTC(),
		Deployment: &fact.Deployment{Cluster: "c", Namespace: "n", Release: "shop", Revision: 3, Chart: "charts/service", ChartDigest: d.image.Digest, ValuesDigest: d.image.Digest, Pods: 1}})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d delivery) smoked(environment release.Environment, key string, verdict release.Verdict) {
	d.t.Helper()
	_, err := d.signing(key).Record(d.t.Context(), release.Evidence{Image: d.image, Commit: releasetest.Commit, Environment: environment, Verdict: verdict, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()})
	if err != nil {
		d.t.Fatal(err)
	}
}

// run runs a verb in the work tree.
func (d delivery) run(command app.Command, arguments ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	var out, log bytes.Buffer
	process := d.process()
	process.Stdout, process.Stderr, process.Args = &out, &log, arguments
	code = command.Run(d.t.Context(), process)
	return code, out.String(), log.String()
}

// promote promotes to production by the rules, and expects an exit code.
func (d delivery) promote(want int) {
	d.t.Helper()
	if code, stdout, stderr := d.run(apppromote.Command(), "--image", d.image.String(), "--to", "production", "--policy", "rules.yaml", "--sign-key", "production.key"); code != want {
		d.t.Fatalf("promote: exit %d, want %d: %s%s", code, want, stdout, stderr)
	}
}

// expect asks history by the rules, and compares the states of staging and production, the verdict of staging, and why production may run the image; no reason
// if it runs nothing.
func (d delivery) expect(step string, staging, production history.State, verdict release.Verdict, because ...string) (board string) {
	d.t.Helper()
	code, stdout, stderr := d.run(apphistory.Command(), "--repository", d.image.Repository.String(), "--policy", "rules.yaml", "--board", "board.html", "--output", "json")
	var result history.Result
	if err := json.Unmarshal([]byte(stdout), &result); code != 0 || err != nil || len(result.Commits) != 1 || len(result.Running) != 2 {
		d.t.Fatalf("%s: exit %d, %v: %s%s", step, code, err, stdout, stderr)
	}
	if cells := result.Commits[0].Cells; cells[0].State != staging || cells[1].State != production || cells[0].Verdict != verdict || !result.Verified || result.Policy.File != "rules.yaml" {
		d.t.Errorf("%s: got %q (%q) and %q, want %q (%q) and %q", step, cells[0].State, cells[0].Verdict, cells[1].State, staging, verdict, production)
	}
	running := result.Running[1]
	missing := slices.DeleteFunc(because, func(want string) bool { return strings.Contains(running.Because, want) })
	if (running.Commit != "") != (len(because) > 0) || len(missing) > 0 {
		d.t.Errorf("%s: production runs %+v, which lacks %q", step, running, missing)
	}
	content, err := os.ReadFile(filepath.Join(d.dir, "board.html"))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(content)
}

// TestHistoryOfARealRegistry takes a commit from staging to production by rules in the CNCF's registry, which has no referrers API, with attempts to forge what
// they require. history says of each step what the gate says, and cosign verifies what the board tells to verify.
func TestHistoryOfARealRegistry(t *testing.T) {
	t.Parallel()
	for version, variable := range registrytest.Distributions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			d := newDelivery(t, variable)
			d.promote(release.ExitFailed)
			d.expect("built", history.StateNone, history.StateNone, "")

			d.deployed("staging", "stranger")
			d.smoked("staging", "stranger", release.Pass)
			d.smoked("staging", "", release.Pass)
			d.promote(release.ExitFailed)
			if board := d.expect("forged", history.StateNone, history.StateNone, ""); strings.Contains(board, "cosign verify-attestation") {
				t.Error("the board has a command for what nobody whom the rules name signed")
			}

			d.deployed("staging", "staging")
			d.expect("deployed to staging", history.StateLive, history.StateNone, "")
			d.deployed("production", "production")
			d.expect("deployed past the gate", history.StateLive, history.StateLive, "", "rules.yaml would not let it in now", `no smoke in "staging" is recorded`)

			d.smoked("staging", "staging", release.Pass)
			d.promote(release.ExitDone)
			board := d.expect("proved", history.StateLive, history.StateLive, release.Pass, `"staging" proved it at`, "signed by staging.pub", "promoted at", "what rules.yaml requires is met")
			d.cosign(board)

			d.smoked("staging", "staging", release.Fail)
			d.promote(release.ExitFailed)
			d.expect("failed later", history.StateLive, history.StateLive, release.Fail, "rules.yaml would not let it in now", `the newest smoke in "staging" is "fail"`)

			if code, stdout, stderr := d.run(apppromote.Command(), "--image", d.image.String(), "--to", "production", "--policy", "rules.yaml", "--reject", "CVE-2026-1"); code != release.ExitDone {
				t.Fatalf("reject: exit %d: %s%s", code, stdout, stderr)
			}
			d.expect("rejected", history.StateRejected, history.StateRejected, release.Fail, "rules.yaml would not let it in now", "CVE-2026-1")
		})
	}
}

var verifyCommands = regexp.MustCompile(`<code>(cosign verify-attestation [^<]*)</code>`)

// cosign runs the commands of the board in the work tree, as a person who copies them does. The registry has no TLS.
func (d delivery) cosign(board string) {
	d.t.Helper()
	commands := verifyCommands.FindAllStringSubmatch(board, -1)
	if len(commands) < 3 {
		d.t.Errorf("the board has %d commands, want one for each record that counts", len(commands))
	}
	program := os.Getenv("ONEDIGEST_COSIGN")
	if program == "" {
		d.t.Log("NOT CHECKED: ONEDIGEST_COSIGN names no program that runs the commands of the board")
		return
	}
	for _, each := range commands {
		line := strings.Replace(html.UnescapeString(each[1]), "cosign verify-attestation", `"$COSIGN" verify-attestation --allow-http-registry`, 1)
		command := exec.CommandContext(d.t.Context(), "/bin/sh", "-c", line)
		command.Dir, command.Env = d.dir, []string{"COSIGN=" + program, "HOME=" + d.t.TempDir(), "PATH=/usr/bin:/bin"}
		if output, err := command.CombinedOutput(); err != nil {
			d.t.Errorf("%s: %v: %s", line, err, output)
		}
	}
}
