package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

const commit = releasetest.Commit

// company is the verbs and the cluster, as the chain sees them.
type company struct {
	digest  release.Digest
	fails   string // the step whose verb and first flags contain this
	answers map[string]string
	runs    map[string]release.Digest
	calls   []string
}

func (c *company) Run(_ context.Context, verb string, flags []string) (pipeline.Done, error) {
	call := verb + " " + strings.Join(flags, " ")
	c.calls = append(c.calls, call)
	if c.fails != "" && strings.HasPrefix(call, c.fails) {
		return pipeline.Done{}, &release.Failure{What: "as told"}
	}
	done := pipeline.Done{Outcome: "created", Digest: c.digest, Commit: commit}
	if verb == "smoke" {
		done.Answers = []string{c.answers[flags[1]]}
	}
	return done, nil
}

func (c *company) Images(_ context.Context, namespace, _ string) ([]release.PodImage, error) {
	return []release.PodImage{{Pod: "shop-1", Digest: c.runs[namespace]}}, nil
}

func good(t *testing.T) *company {
	d := releasetest.Digest(t, "a")
	return &company{digest: d, answers: map[string]string{"staging": commit.String(), "production": commit.String()},
		runs: map[string]release.Digest{"staging": d, "production": d}}
}

func (c *company) run(t *testing.T) (pipeline.Result, error) {
	t.Helper()
	var settings pipeline.Settings
	if err := settings.Declare().Parse([]string{"--repository", "localhost:5000/shop", "--context", "app"}, nil); err != nil {
		t.Fatal(err)
	}
	return pipeline.Run(t.Context(), settings, pipeline.Deps{Verbs: c, Cluster: c, Reporter: releasetest.DiscardReporter{}, Now: time.Now})
}

func TestRunChainsTheVerbsByTheDigest(t *testing.T) {
	t.Parallel()
	c := good(t)
	result, err := c.run(t)
	if err != nil || !result.Proof.Holds {
		t.Fatalf("got %+v, %v", result, err)
	}
	var steps []string
	for _, step := range result.Steps {
		steps = append(steps, step.Name)
	}
	if diff := cmp.Diff([]string{"build", "deploy staging", "smoke staging", "promote", "deploy production", "smoke production"}, steps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, call := range c.calls[1:] {
		if !strings.Contains(call, "--image localhost:5000/shop@"+c.digest.String()) || strings.Contains(call, commit.String()) {
			t.Errorf("%q is not told the digest alone", call)
		}
	}
	if !strings.Contains(c.calls[4], "--values terraform/production/values-production.yaml") {
		t.Errorf("production is not deployed with its own values: %q", c.calls[4])
	}
}

func TestRunStopsAtTheFirstFailureAndSparesProduction(t *testing.T) {
	t.Parallel()
	for fails, last := range map[string]string{
		"build": "build", "deploy --environment staging": "deploy staging", "smoke --environment staging": "smoke staging", "promote": "promote",
	} {
		c := good(t)
		c.fails = fails
		result, err := c.run(t)
		if err == nil || result.Proof.Holds {
			t.Errorf("%s: got %+v, %v; want a failure", fails, result, err)
		}
		if step := result.Steps[len(result.Steps)-1]; step.Name != last || step.Outcome != "failed" {
			t.Errorf("%s: the last step is %+v", fails, step)
		}
		for _, call := range c.calls {
			if strings.Contains(call, "--environment production") {
				t.Errorf("%s: production was touched: %q", fails, call)
			}
		}
	}
}

func TestRunFailsWhenThePromiseIsBroken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*company)
		want  string
	}{
		"production runs another digest":    {func(c *company) { c.runs["production"] = releasetest.Digest(t, "b") }, `in production runs sha256:bbbb`},
		"staging answers another commit":    {func(c *company) { c.answers["staging"] = "x" }, "staging answered commits [x]"},
		"production answers with no commit": {func(c *company) { c.answers["production"] = "" }, "production answered commits []"},
	} {
		c := good(t)
		test.spoil(c)
		result, err := c.run(t)
		var failure *release.Failure
		if !errors.As(err, &failure) || !strings.Contains(fmt.Sprint(err), test.want) || result.Proof.Holds {
			t.Errorf("%s: got %v, want a failure with %q", name, err, test.want)
		}
	}
}
