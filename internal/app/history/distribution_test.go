package history_test

import (
	"bytes"
	"encoding/json"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	apphistory "github.com/onedigest/onedigest/internal/app/history"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/evidence/signed/signedtest"
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

// delivery is a repository with an image, and a work tree with rules and keys.
type delivery struct {
	t       *testing.T
	dir     string
	image   release.Image
	environ []string // that leads to a local AWS
}

func newDelivery(t *testing.T, repository release.Repository, environ ...string) delivery {
	t.Helper()
	d := delivery{t: t, dir: t.TempDir(), environ: environ}
	if err := os.WriteFile(filepath.Join(d.dir, "rules.yaml"), []byte(keyRules), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"staging", "production", "stranger"} {
		d.writeKey(name)
	}
	layout := registrytest.Layout(t, map[string]string{release.AnnotationRevision: releasetest.Commit.String(), release.AnnotationCreated: "2026-03-04T05:06:07Z"})
	d.image = repository.At(layout.Digest)
	if err := d.signing("").Push(t.Context(), layout, repository, release.Tag(releasetest.Commit.String()), nil); err != nil {
		t.Fatal(err)
	}
	return d
}

// writeKey writes NAME.key and NAME.pub.
func (d delivery) writeKey(name string) {
	d.t.Helper()
	signedtest.Write(d.t, d.dir, name)
}

func (d delivery) process() app.Process {
	return app.Process{Dir: d.dir, Environ: append([]string{"GITHUB_WORKSPACE=" + d.dir}, d.environ...), Now: time.Now}
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
	d.smokedAt(environment, key, verdict, time.Now())
}

func (d delivery) smokedAt(environment release.Environment, key string, verdict release.Verdict, at time.Time) {
	d.t.Helper()
	_, err := d.signing(key).Record(d.t.Context(), release.Evidence{Image: d.image, Commit: releasetest.Commit, Environment: environment, Verdict: verdict, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: at.UTC()})
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
			d := newDelivery(t, release.Repository(registrytest.Distribution(t, os.Getenv(variable), false)+"/team/shop"))
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

// TestCompaction: of many passes and scans, those between the first and the newest go, in registries of each kind, if somebody asks for that with credentials that
// may delete. The gate decides as before.
func TestCompaction(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) (repository release.Repository, environ []string, deletes bool){
		"ECR": func(t *testing.T) (release.Repository, []string, bool) {
			server := localawstest.Start(t)
			return server.Repository("shop"), server.Env(), true
		},
		"with the referrers API": func(t *testing.T) (release.Repository, []string, bool) { return registrytest.Repository(t), nil, true },
		"distribution 2": func(t *testing.T) (release.Repository, []string, bool) {
			return release.Repository(registrytest.Distribution(t, os.Getenv(registrytest.Distributions["2"]), true) + "/shop"), nil, true
		},
		"distribution 3": func(t *testing.T) (release.Repository, []string, bool) {
			return release.Repository(registrytest.Distribution(t, os.Getenv(registrytest.Distributions["3"]), true) + "/shop"), nil, true
		},
		"distribution 3, which deletes nothing": func(t *testing.T) (release.Repository, []string, bool) {
			return release.Repository(registrytest.Distribution(t, os.Getenv(registrytest.Distributions["3"]), false) + "/shop"), nil, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repository, environ, deletes := start(t)
			d := newDelivery(t, repository, environ...)
			now := time.Now()
			d.deployed("staging", "staging")
			d.smokedAt("staging", "staging", release.Fail, now.Add(-50*24*time.Hour))
			for day := 40; day > 0; day -= 10 {
				d.smokedAt("staging", "staging", release.Pass, now.Add(-time.Duration(day)*24*time.Hour+time.Hour))
				d.scanned("staging", now.Add(-time.Duration(day)*24*time.Hour))
			}
			d.promote(release.ExitDone)
			const records, superseded = 11, 4 // of 4 passes and 4 scans, the first and the newest stay
			compact := func(mode string, code int) (history.Result, string) {
				t.Helper()
				got, stdout, stderr := d.run(apphistory.Command(), "--repository", d.image.Repository.String(), "--policy", "rules.yaml", "--compact", mode, "--output", "json")
				var result history.Result
				if err := json.Unmarshal([]byte(stdout), &result); got != code || code == 0 && err != nil {
					t.Fatalf("%s: exit %d, want %d, %v: %s%s", mode, got, code, err, stdout, stderr)
				}
				return result, stderr
			}
			count := func(what string, want int) {
				t.Helper()
				left, err := d.signing("").Facts(t.Context(), d.image)
				if err != nil || len(left) != want || slices.ContainsFunc(left, func(r fact.Record) bool { return r.Problem != "" }) {
					t.Errorf("%s: %d records, want %d; %v", what, len(left), want, err)
				}
			}
			listed, _ := compact("list", release.ExitDone)
			if len(listed.Superseded) != superseded || listed.Superseded[0].Deleted {
				t.Errorf("listed %+v", listed.Superseded)
			}
			count("listed", records)
			if !deletes {
				if _, stderr := compact("delete", release.ExitFailed); !strings.Contains(stderr, "storage.delete.enabled") {
					t.Errorf("got %s", stderr)
				}
				count("refused", records)
				d.promote(release.ExitDone)
				return
			}
			if result, stderr := compact("delete", release.ExitDone); len(result.Superseded) != superseded || !result.Superseded[0].Deleted || !strings.Contains(stderr, "deleted 4 superseded records") {
				t.Errorf("deleted %+v\n%s", result.Superseded, stderr)
			}
			count("deleted", records-superseded)
			if again, _ := compact("delete", release.ExitDone); len(again.Superseded) != 0 {
				t.Errorf("again: %+v", again.Superseded)
			}
			d.promote(release.ExitDone)
			d.expect("compacted", history.StateLive, history.StatePromoted, release.Pass)
			d.smoked("staging", "staging", release.Fail)
			d.promote(release.ExitFailed)
		})
	}
	var stderr bytes.Buffer
	process := app.Process{Dir: t.TempDir(), Now: time.Now, Stdout: &stderr, Stderr: &stderr, Args: []string{"--repository", "registry.invalid/shop", "--compact", "list"}}
	if code := apphistory.Command().Run(t.Context(), process); code != release.ExitInput || !strings.Contains(stderr.String(), "no signers are named") {
		t.Errorf("without signers: exit %d: %s", code, &stderr)
	}
}

func (d delivery) scanned(key string, at time.Time) {
	d.t.Helper()
	_, _, err := d.signing(key).RecordFact(d.t.Context(), fact.Fact{Kind: fact.Scanned, Image: d.image, At: at.UTC(), Scan: &fact.Scan{Scanner: "Trivy", Format: "sarif", Results: release.DigestOf([]byte("results")),
		Images: []release.Digest{d.image.Digest}, ScannedAt: at.UTC(), Counts: map[fact.Severity]int{}}})
	if err != nil {
		d.t.Fatal(err)
	}
}
