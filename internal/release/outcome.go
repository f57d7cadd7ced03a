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
