package smoke

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Report summarizes all rounds. A round sends every check once to every address of the service.
type Report struct {
	URL         string           `json:"url"`
	Verdict     release.Verdict  `json:"verdict"`
	Reason      string           `json:"reason,omitempty"` // why the last round failed
	Expected    release.Commit   `json:"expectedCommit,omitempty"`
	Rounds      int              `json:"rounds"`      // rounds that were run
	Consecutive int              `json:"consecutive"` // rounds in a row that passed, up to the last one
	Requests    int              `json:"requests"`    // of all rounds
	Errors      int              `json:"errors"`      // requests that were not answered as expected
	Seconds     float64          `json:"seconds"`
	Answers     []release.Answer `json:"answers"` // of the last round
}

// checkNames are the names of the checks, each once: a check has an answer from every address.
func (r Report) checkNames() (names []string) {
	for _, answer := range r.Answers {
		if !slices.Contains(names, answer.Check) {
			names = append(names, answer.Check)
		}
	}
	return names
}

// pauseAfterFailure spares a failing service a flood of requests, and is short so that one that starts up is noticed soon.
const pauseAfterFailure = 200 * time.Millisecond

// runRounds sends rounds of checks until enough in a row passed for long enough, until rounds failed for longer than the
// patience without one that passed, or until the context ends. A service that cannot be reached yet does not use up the
// patience.
func runRounds(ctx context.Context, url string, checks []release.Check, settings Settings, deps Deps) Report {
	deps.Reporter.Infof("probing %s: %d checks, %d rounds in a row%s%s", url, len(checks), settings.Consecutive, duringSoak(settings), expectedCommit(settings))
	report := Report{URL: url, Expected: settings.ExpectCommit}
	start := deps.Now()
	failing := failingPeriod{limit: settings.Patience}
	soak := soakWindow{length: settings.Soak, budget: float64(settings.MaxErrors)}
	var failed failedRound
	logLine := logChanges(deps.Reporter)
	for ctx.Err() == nil || report.Rounds == 0 {
		answers := runRound(ctx, url, checks, settings, deps.Prober)
		if ctx.Err() != nil && report.Rounds > 0 {
			break // the round was cut short and proves nothing; the one before it counts
		}
		now := deps.Now()
		unreachable := report.addRound(answers)
		if report.Reason != "" && !unreachable {
			unreachable = isWarming(ctx, answers, settings, deps)
		}
		if report.Reason != "" {
			failed = failedRound{reason: report.Reason, at: now, unreachable: unreachable}
		}
		soak.add(now, answers)
		logLine(now.Sub(start), describeRound(report, settings.Consecutive))
		if report.Consecutive >= settings.Consecutive && soak.passed(now) {
			report.Verdict = release.Pass
			break
		}
		if failing.exceeded(now, report.Reason != "" && !unreachable) {
			break
		}
		if report.Reason != "" {
			deps.Pause(ctx, pauseAfterFailure)
		} else {
			deps.Pause(ctx, settings.Pause)
		}
	}
	if report.Verdict == "" {
		report.Verdict, report.Reason = withoutPass(report, failed, deps.Now(), settings)
	}
	report.Seconds = deps.Now().Sub(start).Seconds()
	wrong := ""
	if report.Errors > 0 {
		wrong = fmt.Sprintf(", %d of %d requests not as expected", report.Errors, report.Requests)
	}
	deps.Reporter.Infof("verdict: %s after %d rounds in %.1f s%s", report.Verdict, report.Rounds, report.Seconds, wrong)
	return report
}

// duringSoak describes the time that the rounds must cover, or is empty.
func duringSoak(settings Settings) string {
	switch {
	case settings.Soak == 0:
		return ""
	case settings.MaxErrors == 0:
		return fmt.Sprintf(" for %s", settings.Soak)
	}
	return fmt.Sprintf(" for %s with at most %s of the requests wrong", settings.Soak, settings.MaxErrors)
}

// expectedCommit describes the commit that every answer must come from, or is empty.
func expectedCommit(settings Settings) string {
	if settings.ExpectCommit == "" {
		return ""
	}
	return ", every answer from commit " + settings.ExpectCommit.Short()
}

// runRound sends every check once to every address that the service's name has now, and compares each answer with the expected
// commit: one wrong backend among several is not found by chance.
func runRound(ctx context.Context, url string, checks []release.Check, settings Settings, prober Prober) []release.Answer {
	addresses := prober.Addresses(ctx, url)
	if len(addresses) == 0 {
		addresses = []string{""}
	}
	answers := make([]release.Answer, 0, len(checks)*len(addresses))
	for _, address := range addresses {
		for _, check := range checks {
			answer := prober.Probe(ctx, url, address, check)
			if answer.Stage == release.StageDone || answer.Stage == release.StageCheck {
				answer = checkCommit(answer, settings)
			}
			answers = append(answers, answer)
		}
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
	answer.Stage, answer.OtherCommit = release.StageCheck, true
	return answer
}

// addRound adds a round to the report, and returns whether it failed only because the service could not be reached.
func (r *Report) addRound(answers []release.Answer) (unreachable bool) {
	r.Rounds++
	r.Answers = answers
	r.Requests += len(answers)
	r.Errors += countWrong(answers)
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
		at := ""
		if answer.Address != "" {
			at = " at " + answer.Address
		}
		failures = append(failures, fmt.Sprintf("%s [%s]%s %s", answer.Check, answer.Stage, at, strings.Join(answer.Wrong, "; ")))
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
