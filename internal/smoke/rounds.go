package smoke

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Report summarizes all rounds. A round sends every check once.
type Report struct {
	URL         string           `json:"url"`
	Verdict     release.Verdict  `json:"verdict"`
	Reason      string           `json:"reason,omitempty"` // why the last round failed
	Expected    release.Commit   `json:"expectedCommit,omitempty"`
	Rounds      int              `json:"rounds"`      // rounds that were run
	Consecutive int              `json:"consecutive"` // rounds in a row that passed, up to the last one
	Seconds     float64          `json:"seconds"`
	Answers     []release.Answer `json:"answers"` // of the last round
}

func (r Report) checkNames() []string {
	names := make([]string, len(r.Answers))
	for i, answer := range r.Answers {
		names[i] = answer.Check
	}
	return names
}

// pauseAfterFailure spares a failing service a flood of requests, and is short so that one that starts up is noticed soon.
const pauseAfterFailure = 200 * time.Millisecond

// runRounds sends rounds of checks until enough in a row passed, until rounds failed for longer than the patience without
// one that passed, or until the context ends. A service that cannot be reached does not use up the patience.
func runRounds(ctx context.Context, url string, checks []release.Check, settings Settings, deps Deps) Report {
	deps.Reporter.Infof("probing %s: %d checks, %d rounds in a row%s", url, len(checks), settings.Consecutive, expectedCommit(settings))
	report := Report{URL: url, Expected: settings.ExpectCommit}
	start := deps.Now()
	failing := failingPeriod{limit: settings.Patience}
	logLine := logChanges(deps.Reporter)
	for ctx.Err() == nil || report.Rounds == 0 {
		answers := runRound(ctx, url, checks, settings, deps.Prober)
		if ctx.Err() != nil && report.Rounds > 0 {
			break // the round was cut short and proves nothing; the one before it counts
		}
		unreachable := report.addRound(answers)
		logLine(deps.Now().Sub(start), describeRound(report, settings.Consecutive))
		if report.Consecutive >= settings.Consecutive || failing.exceeded(deps.Now(), report.Reason != "" && !unreachable) {
			break
		}
		if report.Reason != "" {
			deps.Pause(ctx, pauseAfterFailure)
		}
	}
	report.Verdict = verdict(report, settings)
	report.Seconds = deps.Now().Sub(start).Seconds()
	deps.Reporter.Infof("verdict: %s after %d rounds in %.1f s", report.Verdict, report.Rounds, report.Seconds)
	return report
}

// expectedCommit describes the commit that every answer must come from, or is empty.
func expectedCommit(settings Settings) string {
	if settings.ExpectCommit == "" {
		return ""
	}
	return ", every answer from commit " + settings.ExpectCommit.Short()
}

// runRound sends every check once and compares each answer with the expected commit.
func runRound(ctx context.Context, url string, checks []release.Check, settings Settings, prober Prober) []release.Answer {
	answers := make([]release.Answer, 0, len(checks))
	for _, check := range checks {
		answer := prober.Probe(ctx, url, check)
		if answer.Stage == release.StageDone || answer.Stage == release.StageCheck {
			answer = checkCommit(answer, settings)
		}
		answers = append(answers, answer)
	}
	return answers
}

// checkCommit adds a problem to an answer that does not come from the expected commit.
func checkCommit(answer release.Answer, settings Settings) release.Answer {
	switch {
	case settings.ExpectCommit == "" || answer.Commit == settings.ExpectCommit.String():
		return answer
	case answer.Commit == "":
		answer.Wrong = append(answer.Wrong, fmt.Sprintf("commit: the response has no %s header, want %s", settings.CommitHeader, settings.ExpectCommit.Short()))
	default:
		answer.Wrong = append(answer.Wrong, fmt.Sprintf("commit: answered by %.12s, want %s", answer.Commit, settings.ExpectCommit.Short()))
	}
	answer.Stage = release.StageCheck
	return answer
}

// addRound adds a round to the report, and returns whether it failed only because the service could not be reached.
func (r *Report) addRound(answers []release.Answer) (unreachable bool) {
	r.Rounds++
	r.Answers = answers
	r.Reason, unreachable = summarizeRound(answers)
	r.Consecutive++
	if r.Reason != "" {
		r.Consecutive = 0
	}
	return unreachable
}

// summarizeRound says why a round failed, "" if it passed, and whether no failing check reached the service.
func summarizeRound(answers []release.Answer) (reason string, unreachable bool) {
	var failures []string
	unreachable = true
	for _, answer := range answers {
		if answer.OK() {
			continue
		}
		unreachable = unreachable && answer.Stage.Inconclusive()
		failures = append(failures, fmt.Sprintf("%s [%s] %s", answer.Check, answer.Stage, strings.Join(answer.Wrong, "; ")))
	}
	return strings.Join(failures, " | "), unreachable && len(failures) > 0
}

// failingPeriod measures for how long rounds have failed without one that passed.
type failingPeriod struct {
	limit time.Duration
	since time.Time // zero while rounds pass
}

// exceeded notes the outcome of a round and returns whether failures have lasted for the limit.
func (p *failingPeriod) exceeded(now time.Time, failed bool) bool {
	switch {
	case !failed:
		p.since = time.Time{}
	case p.since.IsZero():
		p.since = now
	}
	return failed && now.Sub(p.since) >= p.limit
}

// logChanges returns a function that logs a line, with the time since the start, unless it repeats the line before it.
func logChanges(reporter release.Reporter) func(at time.Duration, line string) {
	last := ""
	return func(at time.Duration, line string) {
		if line != last {
			reporter.Raw(fmt.Sprintf("%6.1fs  %s", at.Seconds(), line))
			last = line
		}
	}
}

func describeRound(report Report, wanted int) string {
	if report.Reason == "" {
		return fmt.Sprintf("passed, %d of %d in a row", report.Consecutive, wanted)
	}
	return report.Reason + " (retrying)"
}
