package policy

import (
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Overview is what is recorded about an image, and what of it counts in the environments of a ladder.
type Overview struct {
	Records   []fact.Record // all, each verified for the signers of what it states
	Standings map[release.Environment]Standing
}

// Standing is what counts about an image in an environment.
type Standing struct {
	Smoked  Finding[release.Record] // the verdict that decides: a failure of a target that it has not passed since, or else the newest pass
	Targets []release.Record        // the newest verdict of each target of which one is recorded; with the zero target, that of verdicts which name none
	Against []Rejection             // what keeps the image from the environment
	Entry   Decision                // whether the image may enter now
}

// At returns the newest verdict of a target, or else of the verdicts that name none, or the verdict that decides if no targets were read; false if there is none.
func (s Standing) At(target release.Target) (release.Record, bool) {
	for _, wanted := range []release.Target{target, {}} {
		for _, each := range s.Targets {
			if each.Target.Is(wanted) {
				return each, true
			}
		}
	}
	if len(s.Targets) == 0 && s.Smoked.Err == nil {
		return s.Smoked.Fact, s.Smoked.Found
	}
	return release.Record{}, false
}

// DefaultLadder returns the rules that settings give without a file: each environment but the first needs a pass of the one before, and takes no rejected image. maxAge is
// how old the pass may be.
func DefaultLadder(environments []release.Environment, maxAge time.Duration) []Rung {
	ladder := make([]Rung, len(environments))
	for i, environment := range environments {
		ladder[i] = Rung{Environment: environment, Requires: Requirements{NotRejected: true}}
		if i > 0 {
			ladder[i].Requires.Smoked = &Smoked{In: environments[i-1], MaxAge: maxAge}
		}
	}
	return ladder
}

// RecordSigners are who signs records of some kinds about one environment.
type RecordSigners struct {
	Kinds   []fact.Kind
	Signers []Signer // none: a signature is not asked for
}

// RecordSigners returns who signs the records of all kinds about an environment, "" for those that are about none.
func (p Policy) RecordSigners(environment release.Environment) []RecordSigners {
	var built, listed, scanned, own, overriding, against []Signer
	for _, rung := range p.Ladder {
		if required := rung.Requires.Built; required != nil {
			built = append(built, required.Signers...)
		}
		if required := rung.Requires.Listed; required != nil {
			listed = append(listed, required.Signers...)
		}
		if required := rung.Requires.Scanned; required != nil {
			scanned = append(scanned, required.Signers...)
		}
		if environment == "" || rung.Environment == environment {
			own, overriding = append(own, rung.Signers...), append(overriding, rung.Override.Signers...)
		}
	}
	against = slices.Concat(own, overriding)
	if environment != "" {
		return []RecordSigners{{[]fact.Kind{fact.Deployed, fact.Smoked, fact.Promoted}, own}, {[]fact.Kind{fact.Rejected, fact.Lifted}, against}, {[]fact.Kind{fact.Overridden}, overriding}}
	}
	return []RecordSigners{{[]fact.Kind{fact.Built}, built}, {[]fact.Kind{fact.Listed}, listed}, {[]fact.Kind{fact.Scanned}, scanned}, {[]fact.Kind{fact.Rejected, fact.Lifted}, against}}
}

// Signers returns everybody whom the policy names, each once.
func (p Policy) Signers() (signers []Signer) {
	for _, rung := range p.Ladder {
		for _, signer := range rung.AllSigners(p) {
			if !slices.Contains(signers, signer) {
				signers = append(signers, signer)
			}
		}
	}
	return signers
}
