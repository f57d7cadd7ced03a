package smoke

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Report is the account of all rounds.
type Report struct {
	URL      string           `json:"url"`
	Verdict  release.Verdict  `json:"verdict"`
	Reason   string           `json:"reason,omitempty"`
	Expected release.Commit   `json:"expectedCommit,omitempty"`
	Rounds   int              `json:"rounds"`      // asked in all
	InARow   int              `json:"consecutive"` // right ones at the end
	Seconds  float64          `json:"seconds"`
	Answers  []release.Answer `json:"answers"` // of the last round
}

func (r Report) names() []string {
	names := make([]string, len(r.Answers))
	for i, answer := range r.Answers {
		names[i] = answer.Check
	}
	return names
}

// betweenRounds keeps a failing service from being flooded and a starting one from being waited for long.
const betweenRounds = 200 * time.Millisecond

// ask puts rounds of questions until enough in a row were right (pass), wrong answers went on for longer than
// the patience (fail), or the time is up (fail if the service answered wrongly at the end, inconclusive if it did not answer).
func ask(ctx context.Context, base string, checks []release.Check, settings Settings, world Deps) Report {
	report := Report{URL: base, Expected: settings.ExpectCommit}
	began := world.Now()
	wrong := spell{patience: settings.Patience}
	tell := changes(world.Reporter)
	for ctx.Err() == nil || report.Rounds == 0 {
		answers := round(ctx, base, checks, settings, world.Prober)
		if ctx.Err() != nil && report.Rounds > 0 {
			break // the round was cut short: what was known before stands
		}
		warming := report.take(answers)
		tell(world.Now().Sub(began), describe(report, settings.Consecutive))
		if report.InARow >= settings.Consecutive || wrong.tooLong(world.Now(), report.Reason != "" && !warming) {
			break
		}
		if report.Reason != "" {
			world.Pause(ctx, betweenRounds)
		}
	}
	report.Verdict = verdictOf(report, settings)
	report.Seconds = world.Now().Sub(began).Seconds()
	return report
}

// take adds a round to the report and tells whether its only trouble is that nothing is there yet.
func (r *Report) take(answers []release.Answer) (warming bool) {
	r.Rounds++
	r.Answers = answers
	r.Reason, warming = judge(answers)
	r.InARow++
	if r.Reason != "" {
		r.InARow = 0
	}
	return warming
}

// spell is how long answers have been wrong without a break.
type spell struct {
	patience time.Duration
	since    time.Time
}

func (s *spell) tooLong(now time.Time, wrong bool) bool {
	switch {
	case !wrong:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	}
	return wrong && now.Sub(s.since) >= s.patience
}

// changes tells a line only if it differs from the one before.
func changes(account release.Reporter) func(at time.Duration, line string) {
	last := ""
	return func(at time.Duration, line string) {
		if line != last {
			account.Raw(fmt.Sprintf("%6.1fs  %s", at.Seconds(), line))
			last = line
		}
	}
}

// round puts every check once and holds each answer to the expected commit.
func round(ctx context.Context, base string, checks []release.Check, settings Settings, prober Prober) []release.Answer {
	answers := make([]release.Answer, 0, len(checks))
	for _, check := range checks {
		answer := prober.Probe(ctx, base, check)
		if answer.Stage == release.StageDone || answer.Stage == release.StageCheck {
			answer = held(answer, settings)
		}
		answers = append(answers, answer)
	}
	return answers
}

// held adds to an answer what is wrong with the commit that gave it.
func held(answer release.Answer, settings Settings) release.Answer {
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

// judge says what is wrong with a round, "" if nothing, and whether the trouble is only that nothing is there yet.
func judge(answers []release.Answer) (trouble string, warming bool) {
	var wrong []string
	warming = true
	for _, answer := range answers {
		if answer.OK() {
			continue
		}
		warming = warming && answer.Stage.Inconclusive()
		wrong = append(wrong, fmt.Sprintf("%s [%s] %s", answer.Check, answer.Stage, strings.Join(answer.Wrong, "; ")))
	}
	return strings.Join(wrong, " | "), warming && len(wrong) > 0
}

func describe(report Report, wanted int) string {
	if report.Reason == "" {
		return fmt.Sprintf("right, %d of %d in a row", report.InARow, wanted)
	}
	return report.Reason + " (asking on)"
}

func verdictOf(report Report, settings Settings) release.Verdict {
	if report.InARow >= settings.Consecutive {
		return release.Pass
	}
	_, warming := judge(report.Answers)
	if warming || report.Rounds == 0 {
		return release.Inconclusive
	}
	return release.Fail
}
