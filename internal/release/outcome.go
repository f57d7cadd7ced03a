package release

// Outcome says what a verb did.
type Outcome string

// The outcomes. Reused is build's "unchanged": the image was there already.
const (
	Created    Outcome = "created"
	Changed    Outcome = "changed"
	Unchanged  Outcome = "unchanged"
	Reused     Outcome = "reused"
	Refused    Outcome = "refused"
	RolledBack Outcome = "rolled-back"
	// Superseded is a deploy that did nothing because the release runs a descendant of its commit already.
	Superseded Outcome = "superseded"
	// Planned is a dry run: nothing was changed.
	Planned Outcome = "planned"
	// OutcomeHealed is a run that only put a release in order that a dead run had left pending.
	OutcomeHealed Outcome = "healed"
)

// Verdict is what a smoke run concluded. Inconclusive means that the question could not be put (nothing answered yet,
// a name that does not resolve), which is not the same as a wrong answer.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
)
