package promote_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	promoting "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/smoke"
	"github.com/onedigest/onedigest/internal/text"
)

// smokedAt is a smoke of staging in a cluster that signs with a key; "" is none.
func (g guarded) smokedAt(cluster string, verdict release.Verdict, by string) {
	g.t.Helper()
	of := release.Evidence{Image: g.image, Commit: releasetest.Commit, Environment: "staging", Verdict: verdict, Checks: []string{"/"}, Rounds: 3, Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()}
	if cluster != "" {
		of.Target = release.Target{Cluster: cluster, Namespace: "staging", Release: "shop"}
	}
	if _, err := g.registry(by).Record(g.t.Context(), of); err != nil {
		g.t.Fatal(err)
	}
}

// TestEachTargetHasToPass: what one cluster failed is not proved by the pass of another one, but by its own, or lifted by a signer of the environment in which it
// failed.
func TestEachTargetHasToPass(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	enters := func(step string, refused ...string) {
		t.Helper()
		_, err := g.run(func(s *promote.Settings) { s.DryRun = true }, "alice")
		if (err == nil) != (len(refused) == 0) {
			t.Fatalf("%s: got %v", step, err)
		}
		for _, want := range refused {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", step, err, want)
			}
		}
	}
	lift := func(by, refused string) {
		t.Helper()
		_, err := g.run(func(s *promote.Settings) {
			s.To, s.LiftRejection, s.SignKey = "staging", "the cluster is gone", key(by)
		}, "alice")
		if (err == nil) != (refused == "") || err != nil && !strings.Contains(err.Error(), refused) {
			t.Fatalf("got %v, want %q", err, refused)
		}
	}
	g.smokedAt("eu", release.Fail, "staging")
	g.smokedAt("us", release.Pass, "staging")
	of := `release "shop" in namespace "staging" of cluster eu`
	enters("eu failed", `the verdict in "staging", of `+of+`, was "fail"`, "run it with --environment staging and --image for "+of, "promote --lift-rejection TEXT --to staging --image ")
	g.smokedAt("", release.Pass, "staging")
	enters("a pass of no target", of)
	g.smokedAt("eu", release.Pass, "stranger")
	enters("a pass of eu that nobody trusted signed", of)
	g.smokedAt("eu", release.Pass, "staging")
	enters("eu passed")
	g.smokedAt("us", release.Fail, "")
	enters("us failed, unsigned", "of cluster us")
	lift("production", "not sign")
	enters("lifted by the key of the next environment", "of cluster us")
	lift("staging", "")
	enters("lifted")
	g.smokedAt("us", release.Fail, "")
	enters("us failed again", "of cluster us")
	g.smokedAt("", release.Fail, "staging")
	g.smokedAt("us", release.Pass, "staging")
	enters("a failure of no target, and a pass")
}

// TestAnotherReleaseFailed: two releases of one image in one environment are two targets, also for the verdicts of smoke itself.
func TestAnotherReleaseFailed(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	record := func(namespace string, verdict release.Verdict, want int) {
		t.Helper()
		before := len(g.listed())
		settings := smoke.Settings{Image: g.image, ExpectCommit: releasetest.Commit, Environment: "staging"}
		deps := smoke.Deps{Registry: g.registry("staging"), Signer: g.signers["staging"].Key().ID, Reporter: releasetest.DiscardReporter{}, Now: time.Now, Target: release.Target{Cluster: "eu", Namespace: namespace, Release: "shop"}}
		err := smoke.RecordFailure(t.Context(), smoke.Subject{}, smoke.Report{Verdict: verdict, Rounds: 3, Answers: []release.Answer{{Check: "/"}}}, []string{"shop-1"}, settings, deps)
		if after := len(g.listed()); err != nil || after != before+want {
			t.Errorf("namespace %q: got %v and %d new records, want %d", namespace, err, after-before, want)
		}
	}
	record("a", release.Fail, 1)
	record("a", release.Fail, 0)
	record("b", release.Fail, 1)
	record("a", release.Fail, 0)
	record("b", release.Fail, 0)
}

// warnings keeps what a run warns of.
type warnings struct {
	releasetest.DiscardReporter
	said *[]string
}

func (w warnings) Warnf(format string, args ...any) {
	*w.said = append(*w.said, fmt.Sprintf(format, args...))
}

// TestAPromotionIntoAnotherRepositoryCountsThere: the key of the environment that is entered lets all facts count at the target, and each fact's own key that one. Nothing is warned of then.
func TestAPromotionIntoAnotherRepositoryCountsThere(t *testing.T) {
	t.Parallel()
	const built = "version: 1\nenvironments:\n- name: staging\n  signers: [keys/staging.pub]\n- name: production\n  signers: [keys/production.pub]\n  requires: {smoked: {}, built: {signers: [keys/old.pub]}}\n"
	for name, test := range map[string]struct {
		rules, by string
		lost      string // in the refusal at the target, and the warning before
	}{
		"by the environment's key":           {ruled, "production", ""},
		"by the key of the proof":            {ruled, "staging", ""},
		"by another key":                     {ruled, "stranger", "smoked"},
		"of two facts":                       {built, "production", ""},
		"of two facts, by the key of one":    {built, "staging", "built"},
		"of two facts, by that of the other": {built, "old", "smoked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.write(".onedigest.yaml", []byte(test.rules))
			g.smokedAt("eu", release.Pass, "staging")
			g.record("old", fact.Fact{Kind: fact.Built, Image: g.image, Commit: releasetest.Commit, At: time.Now().UTC(),
				Build: &fact.Build{Type: fact.BuildType, Builder: "https://example.com/builder", Recipe: releasetest.Digest(t, "1"), Platforms: []string{"linux/amd64"}}})
			target := registrytest.Repository(t)
			var said []string
			promoted := promote.Settings{}
			if err := promoted.Declare().ApplyDefaults(func() {
				promoted.Image, promoted.To, promoted.TargetRepository, promoted.SignKey = g.image, "production", target, key(test.by)
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := promoting.Run(t.Context(), &promoted, &app.RunContext{Process: app.Process{Dir: g.dir, Environ: g.environ, Now: time.Now}, Reporter: warnings{said: &said}, Secrets: new(text.Secrets)}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(said, "\n"); strings.Contains(got, "does not count") || strings.Contains(got, "will not count") != (test.lost != "") || !strings.Contains(got, test.lost) {
				t.Errorf("warned %q, want %q", got, test.lost)
			}
			entered, err := g.run(func(s *promote.Settings) { s.Image, s.DryRun = target.At(g.image.Digest), true }, "alice")
			if (err == nil) != (test.lost == "") {
				t.Fatalf("at the target: got %v", err)
			}
			for _, line := range entered.Gate.Missing() {
				if line.Fact != test.lost {
					t.Errorf("at the target: missing %s", line)
				}
			}
		})
	}
}

// TestARejectionIsLiftedWhereItIs: one in the target repository is lifted with the image that the refusal names.
func TestARejectionIsLiftedWhereItIs(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.smokedAt("eu", release.Pass, "staging")
	live := registrytest.Repository(t)
	promoteThere := func(s *promote.Settings) { s.TargetRepository, s.SignKey = live, key("production") }
	if _, err := g.run(promoteThere, "alice"); err != nil {
		t.Fatal(err)
	}
	of := func(change func(*promote.Settings)) promote.Result {
		t.Helper()
		result, err := g.run(func(s *promote.Settings) {
			s.Image, s.SignKey = live.At(g.image.Digest), key("production")
			change(s)
		}, "alice")
		if err != nil || result.Outcome != release.Created {
			t.Fatalf("got %+v, %v", result, err)
		}
		return result
	}
	of(func(s *promote.Settings) { s.Reject = "orders are lost" })
	if _, err := g.run(promoteThere, "alice"); err == nil || !strings.Contains(err.Error(), "--lift-rejection TEXT --to production --image "+live.At(g.image.Digest).String()) {
		t.Fatalf("got %v, want the image of %s", err, live)
	}
	of(func(s *promote.Settings) { s.To, s.LiftRejection = "production", "it was another image" })
	if _, err := g.run(promoteThere, "alice"); err != nil {
		t.Fatal(err)
	}
}

// TestLiftAFailureWithoutRules: of the first environment, into which nothing is promoted.
func TestLiftAFailureWithoutRules(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	if err := os.Remove(filepath.Join(g.dir, ".onedigest.yaml")); err != nil {
		t.Fatal(err)
	}
	g.smokedAt("eu", release.Fail, "")
	g.smokedAt("us", release.Pass, "")
	if _, err := g.run(nil, "alice"); err == nil || !strings.Contains(err.Error(), "of cluster eu") {
		t.Fatalf("got %v", err)
	}
	result, err := g.run(func(s *promote.Settings) { s.To, s.LiftRejection = "staging", "the cluster is gone" }, "alice")
	if err != nil || result.Outcome != release.Created {
		t.Fatalf("got %+v, %v", result, err)
	}
	if result, err := g.run(nil, "alice"); err != nil || result.Outcome != release.Created {
		t.Fatalf("got %+v, %v", result, err)
	}
}
