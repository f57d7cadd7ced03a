package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Rejection is a statement that an image must not enter an environment.
type Rejection struct {
	Image       release.Image       // in the repository where the statement is recorded, and is lifted
	Environment release.Environment // "": any
	Reason      string              // "" with Failed
	Actor       string              // who rejected; "" if unknown
	Failed      bool                // smoke has failed there, nobody rejected it
	Target      release.Target      // whose smoke failed; zero if the record names none
	Why         string              // with Failed, which checks failed in which run, or that the record cannot be read, as the end of a sentence; "" if unknown
	At          time.Time
	Record      release.Digest
}

// Failure says, of a failed smoke, where and when which checks failed.
func (r Rejection) Failure() string { return r.failureOf("the image") }

// failureOf is Failure about an image that is named.
func (r Rejection) failureOf(image string) string {
	return fmt.Sprintf("smoke of %s failed in %q%s at %s%s", image, r.Environment, ofTarget(r.Target), dated(r.At), r.Why)
}

// describe says what keeps the image out, when and why, as a sentence. asked is the image whose entry is decided: one in another repository is named.
func (r Rejection) describe(asked release.Image) string {
	place := ""
	if r.Image.Repository != "" && r.Image.Repository != asked.Repository {
		place = fmt.Sprintf(" in %s", r.Image.Repository)
	}
	if r.Failed {
		return r.failureOf(asked.Digest.String() + place)
	}
	return fmt.Sprintf("%s was rejected%s%s at %s: %s", asked.Digest, place, forEnvironment(r.Environment), dated(r.At), r.Reason)
}

// Against returns what keeps an image from an environment: rejections of the environment and of all, and, if the environment is guarded, the
// verdicts of smoke that failed there; the newest first. A rejection counts whoever wrote it, and also if it cannot be read. It does not count if a
// statement about this image in its repository lifts it that a signer of the environment, or of its overrides, signed; nobody has to sign it where
// UnsignedLifts is set and neither has signers. lifted are the records that one lifts.
func Against(records []fact.Record, image release.Image, rung Rung, trust Trust) (against []Rejection, lifted []release.Digest) {
	signers := append(slices.Clone(rung.Signers), rung.Override.Signers...)
	for _, record := range records {
		if record.Kind != fact.Lifted || record.Image != image || record.Lift == nil || record.Problem != "" || record.Environment != "" && record.Environment != rung.Environment {
			continue
		}
		if _, counts := trust.By(signers, record.Signer); counts && (len(signers) > 0 || rung.UnsignedLifts) {
			lifted = append(lifted, record.Lift.Rejections...)
		}
	}
	for _, record := range records {
		each := Rejection{Image: image, Environment: record.Environment, At: record.At, Record: record.Record, Actor: record.By}
		switch {
		case record.Environment != "" && record.Environment != rung.Environment, slices.Contains(lifted, record.Record):
			continue
		case record.Kind == fact.Smoked && record.Environment != "" && (rung.IsGuarded() || rung.Lifting):
			if record.Problem == "" && (record.Smoke == nil || record.Smoke.Verdict != release.Fail) {
				continue
			}
			each.Failed = true
			if record.Smoke != nil {
				each.Target, each.Why = record.Smoke.Target, record.Smoke.Why()
			} else {
				each.Why = ", in a record that cannot be read"
			}
		case record.Kind != fact.Rejected:
			continue
		case record.Rejection != nil:
			each.Reason = record.Rejection.Reason
		default:
			each.Reason = "the record cannot be read"
		}
		against = append(against, each)
	}
	slices.SortStableFunc(against, func(a, b Rejection) int { return b.At.Compare(a.At) })
	return against, lifted
}

// evaluateRejections holds if nobody rejected the image and it never failed in the environment. It is final: a rejection is lifted, not overridden.
func evaluateRejections(environment release.Environment, facts Facts) Line {
	line := Line{Fact: FactNotRejected, Required: "that nobody rejected the image", Found: "no rejection", Holds: true, Final: true}
	for _, each := range facts.Against {
		if each.Environment != "" && each.Environment != environment {
			continue
		}
		line.Holds, line.By = false, each.Actor
		if !each.At.IsZero() {
			line.At = &each.At
		}
		line.Found = each.describe(facts.Image)
		lift := fmt.Sprintf("promote --lift-rejection TEXT --to %s --image %s --sign-key KEY", environment, cmp.Or(each.Image, facts.Image))
		line.Do = "build and prove another commit; or, if the rejection was wrong, lift it with " + lift + ", with a key of the environment if the rules name signers"
		if each.Failed {
			line.Do = "build and prove another commit; or, if its values or another service were at fault and not the image, mend these and lift the failure with " + lift + ", with a key of the environment if the rules name signers"
		}
		return line
	}
	return line
}

func forEnvironment(environment release.Environment) string {
	if environment == "" {
		return ""
	}
	return fmt.Sprintf(" for %q", environment)
}
