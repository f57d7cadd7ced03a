package smoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// roundOutcome is how a round ended.
type roundOutcome int

const (
	roundPassed      roundOutcome = iota
	roundWrong                    // the service answered wrongly
	roundUnreachable              // no failing check reached the service
	roundDraining                 // pods that are being deleted may have given the wrong answers
)

// seenRounds is what the verdict needs to know about the rounds so far.
type seenRounds struct {
	reason   string        // of the last wrong answer; "" if there was none
	wrongAt  time.Time     // when it came
	wrongFor time.Duration // answers were wrong since a round passed, without the time in which the service could not be reached
	passedAt time.Time     // when a round last passed; zero if none did
	last     roundOutcome
	cutShort string // the command that ran when the time was up; "" for none
	cutAfter bool   // the round after the commands ran when the time was up
}

// add adds a round. Only a round that passes resets the time of wrong answers.
func (s *seenRounds) add(now time.Time, outcome roundOutcome, reason string) {
	switch outcome {
	case roundPassed:
		s.passedAt, s.wrongFor = now, 0
	case roundWrong:
		if s.last == roundWrong {
			s.wrongFor += now.Sub(s.wrongAt)
		}
		s.reason, s.wrongAt = reason, now
	case roundUnreachable, roundDraining:
	}
	s.last = outcome
}

// maxUnsteady is for how many times the patience pods may become unready or restart before that is a failure.
const maxUnsteady = 3

// unsteadyTime is the time in which pods became unready or restarted again and again. A container that ends a few seconds after each start is ready in
// between, so the rounds have to pass for as long as the patience after the last such event.
type unsteadyTime struct {
	patience    time.Duration
	first, last time.Time // zero: nothing has happened
}

// add adds a round in which a pod was no longer ready or had restarted.
func (u *unsteadyTime) add(now time.Time) {
	if u.isOver(now) {
		u.first = now
	}
	u.last = now
}

// isOver reports whether no pod was unsteady for as long as the patience.
func (u *unsteadyTime) isOver(now time.Time) bool {
	return u.last.IsZero() || now.Sub(u.last) >= u.patience
}

// isTooLong reports whether pods have been unsteady for so long that it is a failure.
func (u *unsteadyTime) isTooLong(now time.Time) bool {
	return !u.isOver(now) && now.Sub(u.first) >= maxUnsteady*u.patience
}

// withoutPass is the verdict of rounds that did not pass often or long enough, and its reason. It is fail if the service answered
// wrongly and no round passed since, or did so within the time that wrong answers count. If it could not be reached in the end,
// its pods decide. It is inconclusive if rounds passed until the time was up, or pods that are being deleted answered until then.
func withoutPass(ctx context.Context, report Report, seen seenRounds, subject Subject, settings Settings, deps Deps) (release.Verdict, string) {
	recently := deps.Now().Sub(seen.wrongAt) <= max(settings.Soak, settings.Patience)
	switch {
	case seen.reason != "" && (recently || seen.wrongAt.After(seen.passedAt)):
		return release.Fail, seen.reason
	case seen.last == roundUnreachable:
		return unreached(ctx, report.Reason, seen, subject, settings, deps)
	case seen.last == roundDraining:
		return release.Inconclusive, report.Reason + ", while pods of the release were being deleted"
	}
	reason := fmt.Sprintf("the time was up after %d of %d rounds in a row%s", report.Consecutive, settings.Consecutive, duringSoak(settings))
	if seen.cutShort != "" {
		reason += fmt.Sprintf(", while check %q ran", seen.cutShort)
	}
	if seen.cutAfter {
		reason += ", in the round after the commands"
	}
	return release.Inconclusive, reason
}

// unreached is the verdict about a service that could not be reached in the last round, and its reason. It is fail if a workload
// is down, and inconclusive if pods are ready or wait for a node, or the cluster does not answer. Without a cluster to ask, it is
// fail only if a round passed earlier and the service was unreachable for as long as the patience.
func unreached(ctx context.Context, reason string, seen seenRounds, subject Subject, settings Settings, deps Deps) (release.Verdict, string) {
	if errors.Is(ctx.Err(), context.Canceled) { // interrupted: no verdict will be given
		return release.Inconclusive, reason
	}
	state, why, err := readPodState(ctx, subject, deps)
	switch {
	case err != nil:
		deps.Reporter.Warnf("%v", err)
	case state == podsDown && strings.Contains(reason, why):
		return release.Fail, reason
	case state == podsDown:
		return release.Fail, why + ": " + reason
	case state == podsWaiting:
		return release.Inconclusive, why + ": " + reason
	case state == podsReady:
		return release.Inconclusive, reason + ", although pods are ready"
	case !seen.passedAt.IsZero() && deps.Now().Sub(seen.passedAt) >= settings.Patience:
		return release.Fail, fmt.Sprintf("the service answered, but not for the last %.0f s: %s", deps.Now().Sub(seen.passedAt).Seconds(), reason)
	}
	return release.Inconclusive, reason
}

// verdictError is the error that gives the verdict its exit code.
func verdictError(report Report) error {
	switch report.Verdict {
	case release.Pass:
		return nil
	case release.Fail:
		return &release.BadRelease{Err: &release.Failure{What: "smoke failed: " + report.Reason}}
	}
	do := "the application was not reached; check DNS, the load balancer and its targets, or give a longer --timeout"
	if report.Consecutive > 0 || slices.ContainsFunc(report.Answers, func(answer release.Answer) bool { return answer.OtherCommit }) {
		do = "give a longer --timeout"
	}
	return &release.Fault{Side: "service", Err: fmt.Errorf("probing %q: %s", report.URL, report.Reason), Do: do}
}

// interrupted returns the error of a run that was stopped from outside. Its rounds give no verdict.
func interrupted(report Report) error {
	what := "smoke was interrupted"
	if report.Reason != "" {
		what += "; the last round: " + report.Reason
	}
	return &release.Failure{What: what}
}

const (
	// recordTimeout bounds each step that a verdict needs after the rounds, which starts when their timeout may have passed.
	recordTimeout = 15 * time.Second
	// newestTimeout limits the reading of the newest record. That only avoids a repeated record, so a slow registry must not cost
	// the verdict.
	newestTimeout = 10 * time.Second
)

// failureTime limits how long RecordFailure takes, so that the rollback after it is not delayed.
const failureTime = 10 * time.Second

// RecordFailure records a failed verdict of CheckSubject as evidence about the image of the settings, in at most ten seconds. pods are those
// that run the image. Any other verdict is not recorded.
func RecordFailure(ctx context.Context, subject Subject, report Report, pods []string, settings Settings, deps Deps) error {
	if report.Verdict != release.Fail {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTime)
	defer cancel()
	_, err := recordEvidence(ctx, subject.Checks, report, ImageResult{Image: settings.Image, Commit: settings.ExpectCommit, Pods: pods}, settings, deps)
	return err
}

// recordVerdict records the verdict beside the images that it is about. A pass is about all of them. A failure is about those that a wrong
// answer is about. An inconclusive verdict says nothing about an image and is not recorded.
func recordVerdict(ctx context.Context, checks []release.Check, result *Result, settings Settings, deps Deps) (failed error) {
	if result.Verdict == release.Inconclusive {
		return nil
	}
	blamed := blamedImages(result.Images, result.Report.Answers)
	for i := range result.Images {
		image := &result.Images[i]
		if result.Verdict == release.Fail && !blamed[i] {
			continue
		}
		if image.Idle {
			deps.Reporter.Warnf("nothing is recorded about %s, because no pod has to run it at present; a promotion that requires its pass is refused: run smoke again while its pods run", image.Image)
			continue
		}
		var err error
		image.Evidence, err = recordEvidence(ctx, checks, result.Report, *image, settings, deps)
		failed = errors.Join(failed, err)
		if i == 0 {
			result.Evidence = image.Evidence
		}
	}
	return failed
}

// blamedImages says which of the images the wrong answers are about: a further image if one of its pods answers wrongly or it has none, the
// main image if one of its pods does or an answer is about no further image. If no answer is wrong, it is the main image.
func blamedImages(images []ImageResult, answers []release.Answer) []bool {
	blamed := make([]bool, len(images))
	for _, answer := range answers {
		if answer.OK() {
			continue
		}
		known := false
		for i, image := range images {
			if answer.Address == imageAddress(image.Image) || anyFails(image.Pods, []release.Answer{answer}) {
				blamed[i], known = true, true
			}
		}
		if !known && len(images) > 0 {
			blamed[0] = true
		}
	}
	if len(images) > 0 && !slices.Contains(blamed, true) {
		blamed[0] = true
	}
	return blamed
}

// recordEvidence records the verdict of an image, even when the rounds took all the time there was. One that repeats the newest record of its target is
// not recorded, unless that is a failure that is lifted, or a pass before a deploy of chart and values of another commit. If this run signs, only a record that its own key signed counts, because anyone who may push can write others.
func recordEvidence(ctx context.Context, checks []release.Check, report Report, image ImageResult, settings Settings, deps Deps) (release.Digest, error) {
	found := release.Evidence{
		Image: image.Image, Commit: image.Commit, Environment: settings.Environment, Target: deps.Target, Verdict: report.Verdict,
		Checks: report.checkNames(), CheckSet: release.CheckSet(checks), Rounds: report.Rounds, Pods: image.Pods, URL: report.URL, Run: deps.RunURL, At: deps.Now().UTC(),
	}
	if report.Verdict == release.Fail {
		found.Failed = report.failedChecks()
	}
	reading, stopReading := context.WithTimeout(ctx, newestTimeout)
	defer stopReading()
	newest, known, err := deps.Registry.NewestAt(reading, image.Image, settings.Environment, deps.Target)
	switch {
	case err != nil: // one record too many does less harm than a verdict that is lost
		deps.Reporter.Warnf("reading the newest record: %v", err)
	case known && newest.Signer == deps.Signer && found.Repeats(newest.Evidence) && !isLifted(reading, newest, deps) && !isOfEarlierChart(reading, newest, deps):
		deps.Reporter.Infof("verdict %q of %q for %s is recorded since %s", report.Verdict, settings.Environment, nameOf(image.Image, settings), newest.At.Format(time.RFC3339))
		return newest.Record, nil
	}
	recording, stopRecording := context.WithTimeout(ctx, recordTimeout)
	defer stopRecording()
	digest, err := deps.Registry.Record(recording, found)
	if err == nil {
		deps.Reporter.Infof("recorded verdict %q of %q for %s%s", report.Verdict, settings.Environment, nameOf(image.Image, settings), unsigned(deps))
	}
	return digest, err
}

// nameOf names an image in a line about its verdict: by its digest, and with its repository beside others, which may have the same digest.
func nameOf(image release.Image, settings Settings) string {
	if len(settings.Further) > 0 {
		return image.String()
	}
	return image.Digest.String()
}

// isLifted reports whether a record is a failure that is lifted, or may be.
func isLifted(ctx context.Context, record release.Record, deps Deps) bool {
	if record.Verdict != release.Fail {
		return false
	}
	lifted, err := deps.Registry.IsLifted(ctx, record.Image, record.Record)
	if err != nil {
		deps.Reporter.Warnf("cannot determine whether the recorded failure was lifted: %v", err)
	}
	return lifted || err != nil
}

// isOfEarlierChart reports whether the pass was recorded before the image was deployed with chart and values of another commit, or may have been: that these
// are proved is then a statement of its own.
func isOfEarlierChart(ctx context.Context, record release.Record, deps Deps) bool {
	if record.Verdict != release.Pass {
		return false
	}
	since, err := deps.Registry.DeployedSince(ctx, record)
	if err != nil {
		deps.Reporter.Warnf("cannot determine whether the image was deployed with another chart since the recorded pass: %v", err)
	}
	return since || err != nil
}

// unsigned returns the note that a record is not signed, "" if this run signs.
func unsigned(deps Deps) string {
	if deps.Signer == "" {
		return ", not signed: anyone who may push could have written it (--sign-key)"
	}
	return ""
}
