package gates

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/evidence/signed/signedtest"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

func TestFind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file string // in the work tree, whose verbs run in a/b
		want string
		bad  bool
	}{
		"none":                    {},
		"in the directory":        {file: "a/b/.onedigest.yaml", want: ".onedigest.yaml"},
		"above it":                {file: "a/.onedigest.yaml", want: "../.onedigest.yaml"},
		"at the root":             {file: ".onedigest.yaml", want: "../../.onedigest.yaml"},
		"above the root":          {file: "../.onedigest.yaml"},
		"with the other ending":   {file: "a/.onedigest.yml", bad: true},
		"in another directory":    {file: "a/c/.onedigest.yaml"},
		"another ending, outside": {file: "../.onedigest.yml"},
	} {
		root := filepath.Join(t.TempDir(), "tree")
		dir := filepath.Join(root, "a/b")
		for _, each := range []string{dir, filepath.Join(root, "a/c")} {
			if err := os.MkdirAll(each, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if test.file != "" {
			if err := os.WriteFile(filepath.Join(root, test.file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := find(dir, root)
		if input := new(release.InputError); got != test.want || errors.As(err, &input) != test.bad {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
}

// TestACopyCountsByTheSignersOfItsFact: the statement that an image was copied lets a build recorded in another repository count only if a signer of builds
// signed it, or one of the environment that is entered, and not a signer of another fact or environment.
func TestACopyCountsByTheSignersOfItsFact(t *testing.T) {
	t.Parallel()
	run, signers := tree(t, releasetest.DiscardReporter{}, "builder", "scanner", "staging", "production")
	rules := `{"version": 1, "environments": [{"name": "staging", "signers": ["staging.pub"], "requires": {"built": {"signers": ["builder.pub"]}, "scanned": {"signers": ["scanner.pub"]}}}, {"name": "production", "signers": ["production.pub"]}]}`
	read := ruled(t, run, rules)
	rung, _ := read.Rung("staging")
	for copier, want := range map[string]bool{"builder": true, "scanner": false, "staging": true, "production": false} {
		connected, err := images.New(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		layout, from, to := registrytest.Layout(t, nil), registrytest.Repository(t), registrytest.Repository(t)
		for _, repository := range []release.Repository{from, to} {
			if err := connected.Push(t.Context(), layout, repository, "one", nil); err != nil {
				t.Fatal(err)
			}
		}
		image := from.At(layout.Digest)
		built := fact.Fact{Kind: fact.Built, Image: image, Commit: releasetest.Commit, At: time.Now().UTC(),
			Build: &fact.Build{Type: fact.BuildType, Builder: "https://example.com/builder", Recipe: releasetest.Digest(t, "1"), Platforms: []string{"linux/amd64"}}}
		if _, _, err := connected.Signing(signers["builder"]).RecordFact(t.Context(), built); err != nil {
			t.Fatal(err)
		}
		if err := connected.Signing(signers[copier]).CopyEvidence(t.Context(), image, release.Digest{}, to, ""); err != nil {
			t.Fatal(err)
		}
		gate, err := New(run, connected, read, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		facts, err := gate.Facts(t.Context(), to.At(layout.Digest), rung)
		if err != nil || facts.Built.Found != want {
			t.Errorf("copied by the %s: got %+v, %v", copier, facts.Built, err)
		}
	}
}

// TestWarnCopy: a run that copies an image is told before it does which facts its key leaves behind.
func TestWarnCopy(t *testing.T) {
	t.Parallel()
	told := new(warned)
	run, signers := tree(t, told, "staging", "production", "builder", "stranger")
	const (
		smoked = `{"version": 1, "environments": [{"name": "staging", "signers": ["staging.pub"]}, {"name": "production", "signers": ["production.pub"], "requires": {"smoked": {}}}]}`
		built  = `{"version": 1, "environments": [{"name": "staging", "signers": ["staging.pub"]}, {"name": "production", "signers": ["production.pub"], "requires": {"smoked": {}, "built": {"signers": ["builder.pub"]}}}]}`
		nobody = `{"version": 1, "environments": [{"name": "staging"}, {"name": "production", "requires": {"smoked": {}}}]}`
	)
	for name, test := range map[string]struct {
		rules, by, want string
	}{
		"the environment's key":           {smoked, "production", ""},
		"the key of the proof":            {smoked, "staging", ""},
		"the environment's key, for both": {built, "production", ""},
		"the key of one of the facts":     {built, "staging", "(built): "},
		"the key of the other":            {built, "builder", "(smoked): "},
		"a stranger":                      {built, "stranger", "(built, smoked): "},
		"no key":                          {smoked, "", "this run has no --sign-key"},
		"no signers":                      {nobody, "stranger", ""},
	} {
		told.said = nil
		read := ruled(t, run, test.rules)
		rung, err := read.ForPromotion("production", "", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		gate, err := New(run, nil, read, nil, signers[test.by])
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			gate.WarnCopy(t.Context(), rung, "registry.example/production/shop")
		}
		if got := strings.Join(told.said, "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) || strings.Count(got, "will not count in") > 1 {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// TestAgainst: a rejection counts whoever signed it, a failure in the environment too, and what a signer of the environment lifted does not. Nothing else is read.
func TestAgainst(t *testing.T) {
	t.Parallel()
	run, signers := tree(t, releasetest.DiscardReporter{}, "production", "stranger")
	own, stranger := signers["production"], signers["stranger"]
	rules := `{"version": 1, "environments": [{"name": "staging", "signers": ["missing.pub"]}, {"name": "production", "signers": ["production.pub"], "requires": {"smoked": {}}}]}`
	read := ruled(t, run, rules)
	rung, _ := read.Rung("production")
	connected, err := images.New(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	layout, repository := registrytest.Layout(t, nil), registrytest.Repository(t)
	if err := connected.Push(t.Context(), layout, repository, "one", nil); err != nil {
		t.Fatal(err)
	}
	image := repository.At(layout.Digest)
	gate, err := New(run, connected, read, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(step string, want int) []policy.Rejection {
		t.Helper()
		against, err := gate.Against(t.Context(), image, rung)
		if err != nil || len(against) != want {
			t.Errorf("%s: got %+v, %v, want %d", step, against, err, want)
		}
		return against
	}
	fail := func(environment release.Environment, verdict release.Verdict) {
		t.Helper()
		if _, err := connected.Signing(stranger).Record(t.Context(), release.Evidence{Image: image, Commit: releasetest.Commit, Environment: environment, Verdict: verdict, Checks: []string{"/"}, Rounds: 1,
			Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()}); err != nil {
			t.Fatal(err)
		}
	}
	check("nothing", 0)
	fail("staging", release.Fail)
	fail("production", release.Pass)
	check("no failure there", 0)
	fail("production", release.Fail)
	check("a failure", 1)
	rejected := fact.Fact{Kind: fact.Rejected, Image: image, At: time.Now().UTC(), Rejection: &fact.Rejection{Reason: "recalled", Cause: fact.ByPerson}}
	if _, _, err := connected.RecordFact(t.Context(), rejected); err != nil {
		t.Fatal(err)
	}
	both := check("a rejection", 2)
	lift := fact.Fact{Kind: fact.Lifted, Image: image, Environment: "production", At: time.Now().UTC(), Lift: &fact.Lift{Reason: "by mistake", Rejections: []release.Digest{both[0].Record, both[1].Record}}}
	for _, by := range []struct {
		signer signed.Signer
		want   int
	}{{stranger, 2}, {own, 0}} {
		if _, _, err := connected.Signing(by.signer).RecordFact(t.Context(), lift); err != nil {
			t.Fatal(err)
		}
		check("lifted by "+by.signer.ID(), by.want)
	}
}

// TestWarnUnsigned: once for each environment whose signers the rules name.
func TestWarnUnsigned(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rules string
		want  int
	}{
		"no file":    {"", 0},
		"no signers": {`{"version": 1, "environments": [{"name": "staging"}]}`, 0},
		"signers":    {`{"version": 1, "environments": [{"name": "staging", "signers": ["staging.pub"]}]}`, 1},
		"no rules":   {`{}`, 0},
	} {
		told := new(warned)
		run, _ := tree(t, told)
		if test.rules != "" {
			if err := os.WriteFile(filepath.Join(run.Process.Dir, policy.DefaultFile), []byte(test.rules), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		warnings := new(Warnings)
		for range 2 {
			WarnUnsigned(t.Context(), run, "staging", nil, warnings)
		}
		WarnUnsigned(t.Context(), run, "production", nil, warnings)
		if len(told.said) != test.want {
			t.Errorf("%s: warned %q", name, told.said)
		}
	}
}

// TestASignerThatDoesNotCount: a run signs with a key, or as a workflow, that is none of those that the rules name for the environment.
func TestASignerThatDoesNotCount(t *testing.T) {
	t.Parallel()
	told := new(warned)
	run, signers := tree(t, told, "own", "previous", "overriding", "stranger")
	workflow := func(name string) signed.Signer {
		return identified(release.Identity{Issuer: release.GitHubIssuer, Subject: "https://github.com/octo/shop/.github/workflows/" + name + "@refs/heads/main", Repository: "https://github.com/octo/shop"}.String())
	}
	own, previous, overriding, stranger := signers["own"], signers["previous"], signers["overriding"], signers["stranger"]
	const (
		byKeys     = `{"version": 1, "environments": [{"name": "staging", "signers": ["previous.pub", "own.pub"], "override": {"actors": ["octo"], "signers": ["overriding.pub"]}}]}`
		byWorkflow = `{"version": 1, "environments": [{"name": "staging", "signers": [{"keyless": {"identity": "https://github.com/octo/shop/.github/workflows/staging.yml@refs/heads/main"}}]}]}`
	)
	for name, test := range map[string]struct {
		rules  string
		signer signed.Signer
		want   bool
	}{
		"a key that is listed":           {byKeys, own, false},
		"one of the keys before":         {byKeys, previous, false},
		"a key of overrides":             {byKeys, overriding, false},
		"another key":                    {byKeys, stranger, true},
		"a workflow, where keys count":   {byKeys, workflow("staging.yml"), true},
		"the workflow":                   {byWorkflow, workflow("staging.yml"), false},
		"another workflow":               {byWorkflow, workflow("production.yml"), true},
		"a key, where a workflow counts": {byWorkflow, own, true},
		"a key of another environment":   {strings.ReplaceAll(byKeys, `"staging"`, `"production"`), own, false},
		"a listed key that is not there": {strings.ReplaceAll(byKeys, "previous.pub", "gone.pub"), stranger, false},
		"rules that are not read at all": {`{}`, stranger, false},
		"an environment without signers": {`{"version": 1, "environments": [{"name": "staging"}]}`, stranger, false},
	} {
		if err := os.WriteFile(filepath.Join(run.Process.Dir, policy.DefaultFile), []byte(test.rules), 0o600); err != nil {
			t.Fatal(err)
		}
		told.said = nil
		warnings := new(Warnings)
		for range 2 {
			WarnUnsigned(t.Context(), run, "staging", test.signer, warnings)
		}
		if (len(told.said) == 1) != test.want || len(told.said) > 1 || test.want && (!strings.Contains(told.said[0], test.signer.ID()) || !strings.Contains(told.said[0], "does not count")) {
			t.Errorf("%s: warned %q", name, told.said)
		}
	}
}

// identified is a signer of which only the ID is asked.
type identified string

func (i identified) ID() string { return string(i) }
func (identified) SignStatement(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("unexpected")
}
func (identified) Verifier() signed.Verifier { return nil }

// warned keeps warnings.
type warned struct {
	releasetest.DiscardReporter
	said []string
}

func (w *warned) Warnf(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

// tree is a work tree with keys of these names, and the run of a verb in it.
func tree(t *testing.T, reporter release.Reporter, names ...string) (run *app.RunContext, signers map[string]signed.Signer) {
	t.Helper()
	dir := t.TempDir()
	run = &app.RunContext{Process: app.Process{Dir: dir, Environ: []string{"GITHUB_WORKSPACE=" + dir}, Now: time.Now}, Reporter: reporter, Secrets: new(text.Secrets)}
	signers = map[string]signed.Signer{}
	for _, name := range names {
		signers[name] = signedtest.Write(t, dir, name)
	}
	return run, signers
}

// ruled writes rules into the work tree of a run, and reads them.
func ruled(t *testing.T, run *app.RunContext, rules string) policy.Policy {
	t.Helper()
	if err := os.WriteFile(filepath.Join(run.Process.Dir, policy.DefaultFile), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := Load(run, policy.DefaultFile)
	if err != nil {
		t.Fatal(err)
	}
	return read
}
