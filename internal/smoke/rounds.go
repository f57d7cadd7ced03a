package smoke

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
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
	Answers     []release.Answer `json:"answers"`             // of the last round, and of the commands
	Latencies   []Latency        `json:"latencies,omitempty"` // of the rounds that count

	replaced string // what replaced the release during the rounds; "" if nothing is known to have
}

// checkNames returns the names of the checks, each once, because a check has an answer from every address.
func (r Report) checkNames() (names []string) {
	for _, answer := range r.Answers {
		if !slices.Contains(names, answer.Check) {
			names = append(names, answer.Check)
		}
	}
	return names
}

// failedChecks returns the names of the checks that were not answered as expected, each once.
func (r Report) failedChecks() (names []string) {
	for _, answer := range r.Answers {
		if !answer.OK() && !slices.Contains(names, answer.Check) {
			names = append(names, answer.Check)
		}
	}
	return names
}

// pauseAfterFailure is the time between rounds after a failure. It keeps a failing service from a flood of requests, and is
// short, so that a service that becomes ready is noticed quickly.
const pauseAfterFailure = 200 * time.Millisecond

// replacedInterval is the least time between two questions whether something has replaced the release while its rounds fail.
const replacedInterval = 2 * time.Second

// runRounds sends rounds of checks until enough in a row passed for long enough, until answers were wrong for longer than the
// patience without a round that passed, or until the context ends. Time in which the service cannot be reached, or in which pods that are
// being deleted still answer, does not use up the patience. It ends without a verdict once something has replaced the release. The error says that there is nothing to ask.
func runRounds(ctx context.Context, subject Subject, warm warmUp, settings Settings, deps Deps) (Report, error) {
	deps.Reporter.Infof("probing %s: %d rounds in a row%s%s", subject.where(), settings.Consecutive, duringSoak(settings), expectedCommit(settings))
	report := Report{URL: subject.where(), Expected: settings.ExpectCommit}
	start := deps.Now()
	var seen seenRounds
	unsteady := unsteadyTime{patience: settings.Patience}
	soak := soakWindow{length: settings.Soak, budget: float64(settings.MaxErrors)}
	latencies := latencyWindow{soak: settings.Soak, consecutive: settings.Consecutive}
	logLine := logChanges(deps.Reporter)
	asked := start
	runner := newRoundRunner(subject, deps)
	judge := func(answers []release.Answer) (time.Time, roundOutcome) {
		now, outcome := deps.Now(), report.addRound(answers)
		warm.observe(answers)
		if outcome == roundWrong && warm.covers(ctx, answers, subject, deps) {
			outcome = roundUnreachable
		}
		if outcome == roundWrong && runner.draining {
			outcome = roundDraining
		}
		soak.add(now, answers)
		return now, outcome
	}
	for ctx.Err() == nil || report.Rounds == 0 {
		answers, err := runner.runRound(ctx, settings)
		if err != nil {
			return report, err
		}
		if ctx.Err() != nil && report.Rounds > 0 {
			break // the round was cut short and proves nothing; the one before it counts
		}
		now, outcome := judge(answers)
		latencies.add(now, answers)
		if runner.isUnsteady {
			unsteady.add(now)
			runner.infoOnce("a pod that was ready is not, or has restarted: the rounds have to pass for %s without that", text.Duration(settings.Patience))
		}
		logLine(now.Sub(start), describeRound(report, settings.Consecutive), report.Reason == "")
		if report.Consecutive >= settings.Consecutive && soak.passed(now) && unsteady.isOver(now) {
			last, err := runner.finalChecks(ctx, latencies, settings)
			if err != nil {
				return report, err
			}
			if outcome = report.addFinal(last); outcome == roundPassed && len(last) > 0 { // the commands may have broken what the rounds saw
				if answers, err = runner.runRound(ctx, settings); err != nil {
					return report, err
				}
				if seen.cutAfter = ctx.Err() != nil; seen.cutAfter {
					break // it proves nothing
				}
				_, outcome = judge(answers)
				report.Answers = slices.Concat(answers, last)
			}
			if outcome == roundPassed {
				report.Verdict = release.Pass
				break
			}
			if seen.cutShort = commandCutShort(ctx, last); seen.cutShort != "" {
				break // it proves nothing
			}
			now = deps.Now()
			logLine(now.Sub(start), describeRound(report, settings.Consecutive), report.Reason == "")
		}
		seen.add(now, outcome, report.Reason)
		if outcome != roundPassed && subject.replaced != nil && now.Sub(asked) >= replacedInterval {
			asked = now
			if report.replaced = subject.replaced(ctx); report.replaced != "" {
				report.Verdict = release.Inconclusive
				break
			}
		}
		if outcome == roundWrong && (seen.wrongFor >= settings.Patience || unsteady.isTooLong(now)) {
			break
		}
		if report.Reason != "" {
			deps.Pause(ctx, pauseAfterFailure)
		} else {
			deps.Pause(ctx, settings.Pause)
		}
	}
	if report.Verdict == "" {
		report.Verdict, report.Reason = withoutPass(ctx, report, seen, subject, settings, deps)
	}
	if subject.HeldBack && !subject.AnyCommit && report.Verdict == release.Fail && onlyOtherCommits(report.Answers) { // the image's own answers are right
		report.Verdict = release.Inconclusive
	}
	report.Seconds = deps.Now().Sub(start).Seconds()
	report.Answers, report.Latencies = shortenOutput(report.Answers), latencies.summary()
	wrong := ""
	if report.Errors > 0 {
		wrong = fmt.Sprintf(", %d of %d requests not as expected", report.Errors, report.Requests)
	}
	verdict := "verdict: " + string(report.Verdict)
	if errors.Is(ctx.Err(), context.Canceled) && report.Verdict != release.Pass {
		verdict = "interrupted"
	}
	deps.Reporter.Infof("%s after %d rounds in %.1f s%s", verdict, report.Rounds, report.Seconds, wrong)
	return report, nil
}

// duringSoak describes how long rounds must pass, or is "".
func duringSoak(settings Settings) string {
	switch {
	case settings.Soak == 0:
		return ""
	case settings.MaxErrors == 0:
		return fmt.Sprintf(" for %s", text.Duration(settings.Soak))
	}
	return fmt.Sprintf(" for %s with at most %s of the requests wrong", text.Duration(settings.Soak), settings.MaxErrors)
}

// expectedCommit describes the commit that no answer may contradict, or is empty.
func expectedCommit(settings Settings) string {
	if settings.ExpectCommit == "" {
		return ""
	}
	return ", no answer from another commit than " + settings.ExpectCommit.Short()
}

// addRound adds a round to the report, and returns its outcome.
func (r *Report) addRound(answers []release.Answer) roundOutcome {
	r.Rounds++
	r.Answers = answers
	r.Requests += len(answers)
	r.Errors += countWrong(answers)
	reason, unreachable := summarizeRound(answers)
	r.Reason = reason
	if reason == "" {
		r.Consecutive++
		return roundPassed
	}
	r.Consecutive = 0
	if unreachable {
		return roundUnreachable
	}
	return roundWrong
}

// addFinal adds what is compared and run once the rounds have passed: limits of latencies, and commands. It returns the outcome of the
// whole; the rounds in a row are not lost by it.
func (r *Report) addFinal(answers []release.Answer) roundOutcome {
	r.Answers = append(slices.Clone(r.Answers), answers...)
	reason, unreachable := summarizeRound(answers)
	switch {
	case reason == "":
		return roundPassed
	case unreachable:
		r.Reason = reason
		return roundUnreachable
	}
	r.Reason = reason
	return roundWrong
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

// ownPort matches the port of this machine in an error of a connection: it differs each time.
var ownPort = regexp.MustCompile(`:[0-9]+->`)

// logChanges returns a function that logs the line of a round, with the time since the start, unless it repeats the line before it, or that of a failed round since the
// last one that passed: one cause may show in several ways that take turns.
func logChanges(reporter release.Reporter) func(at time.Duration, line string, passed bool) {
	last, shown := "", map[string]bool{}
	return func(at time.Duration, line string, passed bool) {
		key := ownPort.ReplaceAllString(line, "->")
		if passed {
			clear(shown)
		}
		if key != last && !shown[key] {
			reporter.Raw(fmt.Sprintf("%6.1fs  %s", at.Seconds(), line))
		}
		last, shown[key] = key, !passed
	}
}

func describeRound(report Report, wanted int) string {
	if report.Reason == "" {
		return fmt.Sprintf("passed, %d of %d in a row", report.Consecutive, wanted)
	}
	return report.Reason + " (retrying)"
}
