package app_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/evidence/signed/signedtest"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

// TestThePolicyPageAtWork runs the commands of docs/policy.md with the rules of the page: those whose comment says "refused" are, and tag nothing.
func TestThePolicyPageAtWork(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var rules, commands string
	for _, block := range blocksOf(t, "docs/policy.md") {
		switch {
		case rules == "" && block.kind == "yaml" && strings.Contains(block.text, "environments:"): // the first is the whole example
			rules = block.text
		case block.kind == "sh" && strings.Contains(block.text, "--reject"):
			commands = block.text
		}
	}
	if rules == "" || commands == "" {
		t.Fatal("the page has no rules or no commands")
	}
	s.prove("shop", "IMAGE")
	s.prove("worker", "UNPROVED")
	s.write(".onedigest.yaml", rules)
	signers := map[string]signed.Signer{}
	for _, name := range []string{"staging", "release-manager", "scanner"} {
		signers[name] = s.key(name)
	}
	for _, alias := range []string{"alias/staging", "alias/production"} {
		if _, err := s.server.CreateKey(alias); err != nil {
			t.Fatal(err)
		}
	}
	s.proveSigned(signers["staging"], signers["scanner"])
	s.env = append(s.env, "USER=octocat")
	client := registry.New(registry.Options{Credentials: func(context.Context, string) (string, string, error) { return "AWS", s.server.IssueToken(), nil }})
	tags := func() (all []release.Tag) {
		for _, name := range []string{"shop", "worker"} {
			listed, err := client.Tags(t.Context(), release.Repository(s.server.Address()+"/"+name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, listed...)
		}
		return all
	}
	for line := range strings.Lines(commands) {
		before := tags()
		code, output := s.shell(line)
		want := release.ExitDone
		if strings.Contains(line, "# refused") {
			want = release.ExitFailed
		}
		if code != want {
			t.Errorf("%s\nexit code %d, want %d:\n%s", line, code, want, output)
		}
		if after := tags(); want != release.ExitDone && !slices.Equal(before, after) {
			t.Errorf("%s\nthe tags were %q, and are %q", line, before, after)
		}
	}
}

// TestAKeptPlanOnGitHubNeedsItsDigest: there, the plan is an artifact, which another job of the run may have replaced since it was approved.
func TestAKeptPlanOnGitHubNeedsItsDigest(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.prove("shop", "IMAGE")
	const line = `onedigest deploy --environment production --image "$IMAGE" --kubeconfig "$KUBECONFIG" --plan plan.json`
	code, output := s.shell(`GITHUB_ACTIONS=true GITHUB_OUTPUT=/dev/null ` + line)
	if code != release.ExitInput || !strings.Contains(output, "plan-digest") {
		t.Errorf("exit code %d, want %d and a word about plan-digest:\n%s", code, release.ExitInput, output)
	}
	if code, output = s.shell(line); code == release.ExitInput || strings.Contains(output, "plan-digest") {
		t.Errorf("elsewhere: exit code %d:\n%s", code, output)
	}
}

// key writes a key and its public part into keys/, and returns the signer.
func (s *shop) key(name string) signed.Signer {
	s.t.Helper()
	return signedtest.Write(s.t, filepath.Join(s.dir, "keys"), name)
}

// proveSigned records with keys what the rules of the page ask of $IMAGE: that staging runs it and proved it an hour ago, and that a scanner found
// nothing.
func (s *shop) proveSigned(signer, scanner signed.Signer) {
	s.t.Helper()
	image, err := release.ParseImage(s.run(`echo "$IMAGE"`))
	if err != nil {
		s.t.Fatal(err)
	}
	connected, err := images.New(s.t.Context(), &app.RunContext{Process: app.Process{Environ: s.env, Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)})
	if err != nil {
		s.t.Fatal(err)
	}
	connected.SignWith(signer)
	at, commit := time.Now().Add(-time.Hour).UTC(), release.Commit(s.commit())
	if _, err := connected.Record(s.t.Context(), release.Evidence{Image: image, Commit: commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"home", "login"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: at}); err != nil {
		s.t.Fatal(err)
	}
	digest := releasetest.Digest(s.t, "c")
	if _, _, err := connected.RecordFact(s.t.Context(), fact.Fact{Kind: fact.Deployed, Image: image, Commit: commit, Environment: "staging", At: at,
		Deployment: &fact.Deployment{Cluster: "shop", Namespace: "staging", Release: "shop", Revision: 1, ChartDigest: digest, ValuesDigest: digest, Pods: 2}}); err != nil {
		s.t.Fatal(err)
	}
	scan := fact.Scan{Scanner: "Trivy", Format: "sarif", ScannedAt: at}
	scan.AddFindings(nil)
	if _, _, err := connected.Signing(scanner).RecordFact(s.t.Context(), fact.Fact{Kind: fact.Scanned, Image: image, At: at, Scan: &scan}); err != nil {
		s.t.Fatal(err)
	}
}
