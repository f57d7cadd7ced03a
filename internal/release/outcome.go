// Package release holds the domain types of the pipeline and their rules: commits, digests, images, environments, evidence,
// outcomes and errors. It imports the standard library only and touches no network, cluster or file.
package release

// Outcome is what a verb did.
type Outcome string

// The outcomes. Reused is  build's "unchanged": the image existed already.
const (
	Created    Outcome = "created"
	Changed    Outcome = "changed"
	Unchanged  Outcome = "unchanged"
	Reused     Outcome = "reused"
	Refused    Outcome = "refused"
	RolledBack Outcome = "rolled-back"
	// Superseded is  a deploy that did nothing because the release already runs a descendant of its commit.
	Superseded Outcome = "superseded"
	// Proposed is a deploy by GitOps that waits for the merge of its pull request: nothing was changed.
	Proposed Outcome = "proposed"
	// Planned is  a dry run: nothing was changed.
	Planned Outcome = "planned"
	// OutcomeHealed is a run that only healed a release that a killed run left pending.
	OutcomeHealed Outcome = "healed"
)

// Verdict is the conclusion of a smoke run. Inconclusive says nothing about the service: it could not be reached by the timeout although its
// pods are ready, or without a cluster to read pods from and without a round that passed; or the time was too short for enough rounds. A wrong answer
// since the last round that passed is a failure, and so is a workload without a ready pod.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
)
