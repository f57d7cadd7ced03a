package smoke_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/smoke"
)

const (
	commit = releasetest.Commit
	older  = releasetest.Another
)

func image(t *testing.T) release.Image {
	t.Helper()
	i, err := release.ParseImage("localhost:5000/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// scene is everything around smoke, on a clock that only pauses and probes move.
type scene struct {
	now       time.Time
	script    []release.Answer // the answers in order; the last one goes on for ever
	asked     int
	checks    []release.Check
	pods      [][]release.PodImage // per question to the cluster; the last one goes on
	podsAsked int
	revision  string
	recorded  []release.Evidence
}

func (s *scene) Load(string) ([]release.Check, error) { return s.checks, nil }

func (s *scene) Base(url string) (string, error) { return url, nil }

func (s *scene) Probe(_ context.Context, _ string, check release.Check) release.Answer {
	answer := s.script[min(s.asked, len(s.script)-1)]
	s.asked++
	s.now = s.now.Add(10 * time.Millisecond)
	answer.Check = check.Name
	return answer
}

func (s *scene) Address(context.Context, string, string, func(string)) (string, error) {
	return "http://127.0.0.1:1", nil
}

func (s *scene) Images(ctx context.Context, _, _ string) ([]release.PodImage, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	pods := s.pods[min(s.podsAsked, len(s.pods)-1)]
	s.podsAsked++
	return pods, nil
}

func (s *scene) Record(ctx context.Context, evidence release.Evidence) (release.Digest, error) {
	if ctx.Err() != nil {
		return release.Digest{}, ctx.Err()
	}
	s.recorded = append(s.recorded, evidence)
	return evidence.Image.Digest, nil
}

func (s *scene) Describe(context.Context, release.Image) (release.ImageInfo, bool, error) {
	return release.ImageInfo{Revision: s.revision}, true, nil
}

func (s *scene) run(t *testing.T, flags ...string) (smoke.Result, error) {
	t.Helper()
	var settings smoke.Settings
	if err := settings.Declare().Parse(flags, nil); err != nil {
		t.Fatal(err)
	}
	if s.checks == nil {
		s.checks = []release.Check{{Name: "/", Path: "/"}}
	}
	began := s.now
	ctx := &timer{Context: t.Context(), up: make(chan struct{})}
	return smoke.Run(ctx, settings, smoke.Deps{Checks: s, Prober: s, Cluster: s, Registry: s, Reporter: releasetest.DiscardReporter{},
		Now: func() time.Time { return s.now },
		Pause: func(within context.Context, d time.Duration) {
			if s.now = s.now.Add(d); s.now.Sub(began) > settings.Timeout {
				ctx.end()
				<-within.Done()
			}
		}})
}

// timer is a context whose time is up when the scene's clock says so.
type timer struct {
	context.Context //nolint:containedctx // it is a context
	up              chan struct{}
	once            sync.Once
}

func (c *timer) end()                  { c.once.Do(func() { close(c.up) }) }
func (c *timer) Done() <-chan struct{} { return c.up }
func (c *timer) Err() error {
	select {
	case <-c.up:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func right(by release.Commit) release.Answer {
	return release.Answer{Stage: release.StageDone, Status: 200, Commit: by.String()}
}

func repeat(answer release.Answer, n int) (answers []release.Answer) {
	for range n {
		answers = append(answers, answer)
	}
	return answers
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	nxdomain := release.Answer{Stage: release.StageDNS, Wrong: []string{"no such host"}}
	refusing := release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}}
	broken := release.Answer{Stage: release.StageCheck, Status: 500, Commit: commit.String(), Wrong: []string{"status: 500, want 200"}}
	for name, test := range map[string]struct {
		script []release.Answer
		want   release.Verdict
		exit   int
		reason string
	}{
		"right at once":                      {[]release.Answer{right(commit)}, release.Pass, 0, ""},
		"a load balancer that warms up":      {append(append(repeat(nxdomain, 40), repeat(refusing, 40)...), right(commit)), release.Pass, 0, ""},
		"old pods answering among new":       {append(append(repeat(right(older), 2), right(commit), right(older)), right(commit)), release.Pass, 0, ""},
		"old pods that never go":             {append(repeat(right(commit), 2), right(older)), release.Fail, 1, "answered by 89abcdef0123, want 0123456789ab"},
		"no commit in the answers":           {[]release.Answer{{Stage: release.StageDone, Status: 200}}, release.Fail, 1, "has no X-Commit header"},
		"a broken application":               {[]release.Answer{broken}, release.Fail, 1, "status: 500, want 200"},
		"an application that comes to":       {append(repeat(broken, 5), right(commit)), release.Pass, 0, ""},
		"a name that never resolves":         {[]release.Answer{nxdomain}, release.Inconclusive, 3, "no such host"},
		"a load balancer that never accepts": {[]release.Answer{refusing}, release.Inconclusive, 3, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene := &scene{script: test.script}
			result, err := scene.run(t, "--url", "http://127.0.0.1:1", "--expect-commit", commit.String(), "--timeout", "60s")
			if result.Verdict != test.want || release.ExitCode(err) != test.exit || !strings.Contains(fmt.Sprint(err), test.reason) {
				t.Errorf("got %q, %v; want %q, exit %d, %q", result.Verdict, err, test.want, test.exit, test.reason)
			}
			if test.want == release.Pass && result.Report.InARow != 3 {
				t.Errorf("passed after %d rounds in a row, want 3", result.Report.InARow)
			}
		})
	}
}

func TestConsecutiveRoundsAreAllRight(t *testing.T) {
	t.Parallel()
	wrong := release.Answer{Stage: release.StageCheck, Wrong: []string{"x"}, Commit: commit.String()}
	scene := &scene{
		checks: []release.Check{{Name: "/"}, {Name: "/configs"}},
		// Rounds of two: right, wrong in its second check, then right for ever.
		script: []release.Answer{right(commit), right(commit), right(commit), wrong, right(commit)},
	}
	result, err := scene.run(t, "--url", "http://127.0.0.1:1", "--consecutive", "4")
	if err != nil || result.Report.Rounds != 6 {
		t.Errorf("got %d rounds, %v; want 6 (one right, one wrong, four right)", result.Report.Rounds, err)
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	good, other := release.PodImage{Pod: "a", Digest: image(t).Digest}, release.PodImage{Pod: "b"}
	broken := release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}
	for name, test := range map[string]struct {
		script   release.Answer
		pods     [][]release.PodImage
		revision string
		recorded release.Verdict // "" for nothing
		want     string
	}{
		"a pass":                             {right(commit), [][]release.PodImage{{good}}, commit.String(), release.Pass, "<nil>"},
		"a sidecar does not count":           {right(commit), [][]release.PodImage{{{Pod: "a", Container: "sidecar"}, good}}, commit.String(), release.Pass, "<nil>"},
		"a failure":                          {broken, [][]release.PodImage{{good}}, commit.String(), release.Fail, "smoke failed"},
		"nothing answers":                    {release.Answer{Stage: release.StageDNS}, [][]release.PodImage{{good}}, commit.String(), "", "nothing was learnt"},
		"another digest runs":                {right(commit), [][]release.PodImage{{good, other}}, commit.String(), "", `pod "b" runs`},
		"another digest after the rounds":    {right(commit), [][]release.PodImage{{good}, {good, other}}, commit.String(), "", `pod "b" runs`},
		"no pod":                             {right(commit), [][]release.PodImage{{}}, commit.String(), "", "has no running pod"},
		"an image that is no commit's":       {right(commit), [][]release.PodImage{{good}}, commit.String() + "-dirty", "", "which is no commit"},
		"the image's own commit is expected": {right(older), [][]release.PodImage{{good}}, commit.String(), release.Fail, "answered by"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene := &scene{script: []release.Answer{test.script}, pods: test.pods, revision: test.revision}
			_, err := scene.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "30s")
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			var verdict release.Verdict
			if len(scene.recorded) == 1 {
				verdict = scene.recorded[0].Verdict
			}
			if verdict != test.recorded || len(scene.recorded) > 1 {
				t.Errorf("recorded %v, want verdict %q", scene.recorded, test.recorded)
			}
			if verdict == release.Pass {
				if err := scene.recorded[0].Proves(image(t).Digest, "staging"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestAFailureFoundAtTheTimeoutIsRecorded flaps: never wrong for as long as the patience, never right often enough.
func TestAFailureFoundAtTheTimeoutIsRecorded(t *testing.T) {
	t.Parallel()
	broken := release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}
	scene := &scene{revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}}}
	for range 2000 {
		scene.script = append(scene.script, broken, right(commit), right(commit))
	}
	_, err := scene.run(t, "--environment", "staging", "--image", image(t).String(), "--timeout", "10s")
	if release.ExitCode(err) != release.ExitFailed || len(scene.recorded) != 1 || scene.recorded[0].Verdict != release.Fail {
		t.Errorf("got %v and %v, want a recorded failure", err, scene.recorded)
	}
}

func TestEvidenceForAnotherCommitIsRefused(t *testing.T) {
	t.Parallel()
	scene := &scene{script: []release.Answer{right(older)}, revision: commit.String(), pods: [][]release.PodImage{{}}}
	_, err := scene.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--expect-commit", older.String())
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || scene.asked != 0 {
		t.Errorf("got %v after %d questions, want a refusal before any", err, scene.asked)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                   {nil, "give --url, or --release and --namespace"},
		"a release in no namespace": {[]string{"--release", "shop"}, "give the release's namespace"},
		"an image and a URL":        {[]string{"--url", "http://x", "--image", "localhost:1/x@sha256:" + strings.Repeat("a", 64)}, "nobody could say that this address is the release's"},
		"no round":                  {[]string{"--url", "http://x", "--consecutive", "0"}, "whole number from 1"},
		"no time":                   {[]string{"--url", "http://x", "--timeout", "0s"}, "is not above zero"},
		"a short commit":            {[]string{"--url", "http://x", "--expect-commit", "abc"}, "not a full commit id"},
		"a header with a space":     {[]string{"--url", "http://x", "--commit-header", "X Commit"}, "is not a header name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := new(smoke.Settings).Declare().Parse(test.args, nil)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
