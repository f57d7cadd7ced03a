package promote_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// TestAPromotionIsRecordedOnce: beside the image in the target repository, once its tag is there. A run that is repeated records what was lost.
func TestAPromotionIsRecordedOnce(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	settings.TargetRepository = "localhost:6000/live/shop"
	facts := new(releasetest.Facts)
	deps := promote.Deps{Registry: registry, Gate: registry, Evidence: registry, Facts: facts, Origin: fact.Origin{By: "octocat", Run: "https://run/1"}, Reporter: releasetest.DiscardReporter{}, Now: now}
	lost := errors.New("lost")
	facts.Err = lost
	if result, err := promote.Run(t.Context(), settings, deps); !errors.Is(err, lost) || result.Outcome != release.Created {
		t.Fatalf("got %+v, %v", result, err)
	}
	tag := release.Tag("production-" + commit.String())
	facts.Err, facts.OnRecord = nil, func() {
		if registry.tags["localhost:6000/live/shop:"+tag.String()] != settings.Image.Digest {
			t.Error("recorded before the tag was there")
		}
	}
	for range 2 {
		result, err := promote.Run(t.Context(), settings, deps)
		if err != nil || result.Outcome != release.Unchanged || result.Record.IsZero() {
			t.Fatalf("got %+v, %v", result, err)
		}
	}
	proof := registry.evidence[0]
	want := []fact.Fact{{Kind: fact.Promoted, Image: settings.TargetRepository.At(settings.Image.Digest), Commit: commit, Environment: "production", By: "octocat", Run: "https://run/1", At: now(),
		Promotion: &fact.Promotion{From: "staging", Tag: tag, Proof: settings.Image.Digest, ProvedAt: proof.At}}}
	if diff := cmp.Diff(want, facts.Recorded, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestARefusedPromotionIsNotRecorded.
func TestARefusedPromotionIsNotRecorded(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	registry.evidence = nil
	facts := new(releasetest.Facts)
	_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Gate: registry, Evidence: registry, Facts: facts, Reporter: releasetest.DiscardReporter{}, Now: now})
	if wantRefusal(t, err, "no evidence"); len(facts.Recorded) > 0 {
		t.Errorf("recorded %v", facts.Recorded)
	}
}

// TestAnImageThatMayNotBeSignedIsNotPromoted: it is found before anything is copied, tagged or recorded.
func TestAnImageThatMayNotBeSignedIsNotPromoted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*promote.Settings){
		"in place":   func(*promote.Settings) {},
		"copied":     func(s *promote.Settings) { s.TargetRepository = "localhost:6000/live/shop" },
		"a dry run":  func(s *promote.Settings) { s.DryRun = true },
		"a rejected": func(s *promote.Settings) { s.Reject = "orders are lost" },
	} {
		registry, settings := provedImage(t)
		change(&settings)
		tags := len(registry.tags)
		facts := &releasetest.Facts{Unsigned: &release.Refusal{Why: "it has a signature of cosign 2"}}
		result, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Gate: registry, Evidence: registry, Facts: facts, Reporter: releasetest.DiscardReporter{}, Now: now})
		if wantRefusal(t, err, "cosign 2"); result.Outcome != release.Refused || len(facts.Recorded) > 0 || len(registry.tags) != tags {
			t.Errorf("%s: got %+v, recorded %v, tags %v", name, result, facts.Recorded, registry.tags)
		}
		for _, request := range registry.requests {
			if !strings.HasPrefix(request, "inspect ") {
				t.Errorf("%s: %s", name, request)
			}
		}
	}
}
