package release

// Outcome is what a verb did.
type Outcome string

// The outcomes. Reused is build's "unchanged": the image existed already.
const (
	Created    Outcome = "created"
	Changed    Outcome = "changed"
	Unchanged  Outcome = "unchanged"
	Reused     Outcome = "reused"
	Refused    Outcome = "refused"
	RolledBack Outcome = "rolled-back"
	// Superseded is a deploy that did nothing because the release already runs a descendant of its commit.
	Superseded Outcome = "superseded"
	// Planned is a dry run: nothing was changed.
	Planned Outcome = "planned"
	// OutcomeHealed is a run that only healed a release that a killed run left pending.
	OutcomeHealed Outcome = "healed"
)

// Verdict is the conclusion of a smoke run. Inconclusive means that no request reached the service (the name does not
// resolve, nothing answers yet), which is not the same as a wrong answer.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
)
