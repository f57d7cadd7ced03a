package smoke_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/smoke"
)

func commandCheck(name string) release.Check {
	return release.Check{Name: name, Kind: release.CheckCommand, Command: &release.Command{Args: []string{name}, Timeout: time.Minute}}
}

// TestCommandsRunOnceTheRoundsHavePassed, in the order of the file, at the URL or at the pods, and are recorded.
func TestCommandsRunOnceTheRoundsHavePassed(t *testing.T) {
	t.Parallel()
	right := answerFrom(commit)
	wrong := release.Answer{Stage: release.StageCheck, Status: 500, Commit: commit.String(), Wrong: []string{"status: 500"}}
	home := release.Check{Name: "/", Path: "/"}
	at := " http://127.0.0.1:1 0123 sha256:aaaaaaaaaaaa"
	pods := func() release.Backends {
		return release.Backends{Pods: []release.BackendPod{backendPod("a"), backendPod("b")}, Services: []release.BackendService{backendService("shop", "", "a", "b")}}
	}
	for name, test := range map[string]struct {
		checks   []release.Check
		answers  []release.Answer
		url      string
		backends func() release.Backends
		command  func(now time.Time, name string) (time.Duration, string)
		want     release.Verdict
		exit     int
		text     string
		runs     []string // of the first commands
		rounds   int
	}{
		"after three rounds": {checks: []release.Check{commandCheck("k6"), home, commandCheck("sh")}, want: release.Pass, runs: []string{"k6" + at, "sh" + at}, rounds: 4},
		"not before":         {checks: []release.Check{commandCheck("k6"), home}, answers: []release.Answer{right, right, wrong, right}, want: release.Pass, runs: []string{"k6" + at}, rounds: 7},
		"not at all":         {checks: []release.Check{commandCheck("k6"), home}, answers: []release.Answer{wrong}, want: release.Fail, exit: 1, text: "status: 500"},
		"commands alone":     {checks: []release.Check{commandCheck("k6")}, want: release.Pass, runs: []string{"k6" + at}, rounds: 4},
		"at the pods": {checks: []release.Check{commandCheck("k6")}, url: "none", backends: pods, want: release.Pass,
			runs: []string{"k6 a b 0123 sha256:aaaaaaaaaaaa"}, rounds: 4},
		"one that fails ends them": {checks: []release.Check{commandCheck("a"), home, commandCheck("b")}, want: release.Fail, exit: 1, text: "a [check] exited with status 1",
			runs: []string{"a" + at, "a" + at}, command: func(time.Time, string) (time.Duration, string) { return 10 * time.Second, "exited with status 1" }},
		"one that passes at last": {checks: []release.Check{commandCheck("a"), home}, want: release.Pass, runs: []string{"a" + at, "a" + at, "a" + at}, rounds: 6,
			command: flaky(2, time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{answers: test.answers, checks: test.checks, url: test.url, backends: test.backends, command: test.command, revision: commit.String(),
				pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}}}
			if fake.answers == nil {
				fake.answers = []release.Answer{right}
			}
			result, err := fake.run(t, "--environment", "staging", "--image", image(t).String(), "--timeout", "5m")
			if result.Verdict != test.want || release.ExitCode(err) != test.exit || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("got %q, %v; want %q, exit %d, %q", result.Verdict, err, test.want, test.exit, test.text)
			}
			if test.rounds > 0 && result.Report.Rounds != test.rounds {
				t.Errorf("%d rounds, want %d", result.Report.Rounds, test.rounds)
			}
			if diff := cmp.Diff(test.runs, fake.commandRuns[:min(len(fake.commandRuns), len(test.runs))]); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
			if len(fake.recorded) != 1 {
				t.Fatalf("%d records", len(fake.recorded))
			}
			if recorded := fake.recorded[0]; recorded.CheckSet != release.CheckSet(test.checks) {
				t.Errorf("the record is about other checks: %v", recorded.Checks)
			}
			if test.want == release.Pass && !strings.Contains(strings.Join(fake.recorded[0].Checks, " "), test.checks[0].Name) {
				t.Errorf("the record names %v", fake.recorded[0].Checks)
			}
		})
	}
}

// TestACommandThatBreaksTheService: what answers wrongly after the commands is not proved by the rounds before them.
func TestACommandThatBreaksTheService(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		breaks int // how many runs of the command
		want   release.Verdict
		runs   int
	}{"never": {0, release.Pass, 1}, "once": {1, release.Pass, 2}, "for good": {1000, release.Fail, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := 0 // requests that are still answered wrongly
			fake := &fakeDeps{checks: []release.Check{commandCheck("k6"), {Name: "/", Path: "/"}}, revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}},
				answer: func(time.Time, string) release.Answer {
					if broken > 0 {
						broken--
						return release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"status: 500"}}
					}
					return answerFrom(commit)
				}}
			fake.command = func(time.Time, string) (time.Duration, string) {
				switch {
				case test.breaks > 1:
					broken = test.breaks
				case len(fake.commandRuns) <= test.breaks:
					broken = 2
				}
				return time.Second, ""
			}
			result, err := fake.run(t, "--environment", "staging", "--image", image(t).String(), "--timeout", "5m", "--patience", "10s")
			if result.Verdict != test.want || (err == nil) != (test.want == release.Pass) || len(fake.commandRuns) != test.runs {
				t.Errorf("got %q after %d runs, %v; want %q after %d", result.Verdict, len(fake.commandRuns), err, test.want, test.runs)
			}
			if last := result.Report.Answers[len(result.Report.Answers)-1]; test.want == release.Pass && last.Check != "k6" {
				t.Errorf("the last answer is of %q", last.Check)
			}
		})
	}
}

// flaky fails some times.
func flaky(times int, takes time.Duration) func(time.Time, string) (time.Duration, string) {
	return func(time.Time, string) (time.Duration, string) {
		times--
		if times >= 0 {
			return takes, "exited with status 1"
		}
		return takes, ""
	}
}

// TestAFailedCommandShowsItsOutput a few times at most, and the result has its end.
func TestAFailedCommandShowsItsOutput(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{answers: []release.Answer{answerFrom(commit)}, checks: []release.Check{commandCheck("k6")},
		command: func(time.Time, string) (time.Duration, string) { return time.Second, "exited with status 1" }}
	result, err := fake.run(t, "--url", "http://127.0.0.1:1", "--timeout", "5m")
	if result.Verdict != release.Fail || err == nil {
		t.Errorf("got %q, %v", result.Verdict, err)
	}
	shown := 0
	for _, line := range fake.lines {
		shown += strings.Count(line, "line of output\nline of output\n"+strings.Repeat("line of output\n", 997))
	}
	if shown != 2 || len(fake.commandRuns) < 5 {
		t.Errorf("the output of %d runs is shown %d times, want 2", len(fake.commandRuns), shown)
	}
	last := result.Report.Answers[len(result.Report.Answers)-1]
	if last.Check != "k6" || len(last.Output) > 2100 || !strings.HasPrefix(last.Output, "…\nline of output\n") {
		t.Errorf("the result has %d bytes of output: %.40q", len(last.Output), last.Output)
	}
}

// TestACommandThatTheTimeEnds gives no verdict.
func TestACommandThatTheTimeEnds(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{answers: []release.Answer{answerFrom(commit)}, checks: []release.Check{commandCheck("k6")}}
	fake.command = func(time.Time, string) (time.Duration, string) {
		return 5 * time.Minute, "was ended, because the time of the whole command was up"
	}
	result, err := fake.run(t, "--url", "http://127.0.0.1:1", "--timeout", "5m")
	if result.Verdict != release.Inconclusive || release.ExitCode(err) != release.ExitFault || !strings.Contains(fmt.Sprint(err), `while check "k6" ran`) {
		t.Errorf("got %q, %v", result.Verdict, err)
	}
}

// TestPercentiles are those of the rounds that count, of the requests to the address if there are any.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	slowFirst := func(n int) func(int) time.Duration {
		return func(probe int) time.Duration {
			if probe < n {
				return time.Second
			}
			return 10 * time.Millisecond
		}
	}
	limited := []release.Check{{Name: "/", Path: "/", Latency: map[string]time.Duration{"p95": 100 * time.Millisecond, "p50": 50 * time.Millisecond}}}
	for name, test := range map[string]struct {
		latency func(int) time.Duration
		flags   []string
		want    release.Verdict
		text    string
		rounds  int
	}{
		"fast":          {slowFirst(0), nil, release.Pass, "", 3},
		"slow at first": {slowFirst(2), nil, release.Pass, "", 5},
		"slow":          {slowFirst(1000), nil, release.Fail, "latency p50: expected at most 50 ms, got 1 second of 3 requests; latency p95: expected at most 100 ms, got 1 second of 3 requests", 0},
		"few are slow": {func(probe int) time.Duration {
			return map[bool]time.Duration{true: time.Second, false: time.Millisecond}[probe%40 == 7]
		}, []string{"--soak", "60s"}, release.Pass, "", 0},
		"one of ten is slow": {func(probe int) time.Duration {
			return map[bool]time.Duration{true: time.Second, false: time.Millisecond}[probe%10 == 7]
		}, []string{"--soak", "60s"}, release.Fail, "latency p95: expected at most 100 ms, got 1 second of", 0},
		"slow before the soak's time": {slowFirst(5), []string{"--soak", "20s"}, release.Pass, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{answers: []release.Answer{answerFrom(commit)}, checks: limited, latency: test.latency}
			result, err := fake.run(t, append([]string{"--url", "http://127.0.0.1:1", "--timeout", "5m"}, test.flags...)...)
			if result.Verdict != test.want || !strings.Contains(fmt.Sprint(err), test.text) || test.rounds > 0 && result.Report.Rounds != test.rounds {
				t.Errorf("got %q after %d rounds, %v; want %q, %q", result.Verdict, result.Report.Rounds, err, test.want, test.text)
			}
			if len(result.Report.Latencies) != 1 || result.Report.Latencies[0].Check != "/" || result.Report.Latencies[0].Max < result.Report.Latencies[0].P50 {
				t.Errorf("latencies %+v", result.Report.Latencies)
			}
		})
	}
}

// TestPercentilesCountWhatTimesOut: a request without an answer in its time is among the slow ones, even if the budget allows it.
func TestPercentilesCountWhatTimesOut(t *testing.T) {
	t.Parallel()
	limited := []release.Check{{Name: "/", Path: "/", Latency: map[string]time.Duration{"p95": 100 * time.Millisecond}}}
	for name, test := range map[string]struct {
		notHTTP bool
		want    release.Verdict
	}{"no answer in time": {false, release.Fail}, "a connection that ends": {true, release.Pass}} {
		slow := func(probe int) bool { return probe%10 == 7 }
		fake := &fakeDeps{checks: limited, latency: func(probe int) time.Duration {
			return map[bool]time.Duration{true: 5 * time.Second, false: time.Millisecond}[slow(probe)]
		}}
		fake.answer = func(time.Time, string) release.Answer {
			if slow(fake.probes) {
				return release.Answer{Stage: release.StageHTTP, NotHTTP: test.notHTTP, Wrong: []string{"no answer within 5s"}}
			}
			return answerFrom(commit)
		}
		result, err := fake.run(t, "--url", "http://127.0.0.1:1", "--timeout", "5m", "--soak", "60s", "--max-errors", "20%")
		if result.Verdict != test.want || test.want == release.Fail && !strings.Contains(strings.Join(fake.lines, "\n"), "latency p95: expected at most 100 ms, got 5 seconds") {
			t.Errorf("%s: got %q, %v; want %q", name, result.Verdict, err, test.want)
		}
	}
}

// TestPercentilesOfPods count only where there is no address: the way through the API server is not that of a client.
func TestPercentilesOfPods(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]int{"none": 6, "": 3} {
		fake := &fakeDeps{url: url, answers: []release.Answer{answerFrom(commit)}, checks: []release.Check{{Name: "/", Path: "/"}}, revision: commit.String(),
			latency: func(int) time.Duration { return time.Millisecond }, pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}},
			backends: func() release.Backends {
				return release.Backends{Pods: []release.BackendPod{backendPod("a"), backendPod("b")}, Services: []release.BackendService{backendService("shop", "", "a", "b")}}
			}}
		result, err := fake.run(t, "--environment", "staging", "--image", image(t).String())
		if err != nil || len(result.Report.Latencies) != 1 || result.Report.Latencies[0] != (smoke.Latency{Check: "/", Requests: want, P50: 0.001, P90: 0.001, P95: 0.001, P99: 0.001, Max: 0.001}) {
			t.Errorf("%q: %v, %+v; want %d requests", url, err, result.Report.Latencies, want)
		}
	}
}

// TestGRPCAloneProvesNoCommit: where nothing else proves it, an answer has to name the commit, in the metadata or in a response of its own.
func TestGRPCAloneProvesNoCommit(t *testing.T) {
	t.Parallel()
	silent := release.Answer{Kind: release.CheckGRPC, Stage: release.StageDone}
	named := silent
	named.Commit = commit.String()
	health := []release.Check{{Name: "health", Kind: release.CheckGRPC}}
	for name, test := range map[string]struct {
		answer release.Answer
		checks []release.Check
		flags  []string
		want   release.Verdict
		asked  int // checks of a round
	}{
		"in the metadata":                    {named, health, nil, release.Pass, 1},
		"nowhere":                            {silent, health, nil, release.Fail, 1},
		"in no response of its own":          {silent, health, []string{"--commit-from", "json:/version#commit"}, release.Fail, 2},
		"in a response of its own":           {named, health, []string{"--commit-from", "json:/version#commit"}, release.Pass, 2},
		"in a response of its own, with one": {named, append([]release.Check{{Name: "/", Path: "/"}}, health...), []string{"--commit-from", "json:/version#commit"}, release.Pass, 3},
	} {
		fake := &fakeDeps{answers: []release.Answer{test.answer}, checks: test.checks}
		result, err := fake.run(t, append([]string{"--url", "http://127.0.0.1:1", "--expect-commit", commit.String(), "--timeout", "1m"}, test.flags...)...)
		if result.Verdict != test.want || len(result.Report.Answers) != test.asked {
			t.Errorf("%s: got %q of %d answers, %v; want %q of %d", name, result.Verdict, len(result.Report.Answers), err, test.want, test.asked)
		}
	}
}
