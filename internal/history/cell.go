package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// State is what the records say about an image in an environment.
type State string

// The states. The first that applies counts.
const (
	StateRejected State = "rejected" // may not be promoted there: it was rejected, or its smoke failed in an environment after the first
	StateLive     State = "live"     // the environment's newest recorded deploy is of this image
	StateFailed   State = "failed"   // its newest smoke failed
	StateProved   State = "proved"   // its newest smoke passed
	StateReplaced State = "replaced" // was deployed, and another image has been since
	StatePromoted State = "promoted" // has the environment's tag
	StateNone     State = ""         // nothing is recorded
)

// States lists the states that something is recorded for.
var States = []State{StateLive, StateProved, StateFailed, StateRejected, StatePromoted, StateReplaced}

// Cell is one image in one environment.
type Cell struct {
	Environment release.Environment `json:"environment"`
	State       State               `json:"state"`
	Verdict     release.Verdict     `json:"verdict,omitempty"` // of its newest smoke
	Since       time.Time           `json:"since,omitzero"`    // of the record that decides the state; zero if only a tag does
	Records     []fact.Record       `json:"records"`           // newest first
}

// newestIn returns the newest record of a kind that can be read and, if signatures are verified, that a trusted key signed.
func newestIn(records []fact.Record, kind fact.Kind, environment release.Environment, verified bool) (fact.Record, bool) {
	return fact.Newest(records, kind, environment, func(r fact.Record) bool { return !verified || r.Trusted() })
}

// newestSmoke is newestIn for smoke, except that a verdict against the image counts even if no trusted key signed it, as for promote.
func newestSmoke(records []fact.Record, environment release.Environment, verified bool) (fact.Record, bool) {
	return fact.Newest(records, fact.Smoked, environment, func(r fact.Record) bool { return !verified || r.Trusted() || r.Smoke.Verdict != release.Pass })
}

// givenKeys is a signer that stands for all given keys.
var givenKeys = policy.Signer{Key: "given"}

// blockingRejections returns the rejections and failed verdicts that keep an image from an environment, by the rules that promote has without a file of
// rules, the newest first. Without keys, a statement lifts a rejection without a signature.
func blockingRejections(records []fact.Record, image release.Image, environment release.Environment, isFirst bool, keys map[string]string) []policy.Rejection {
	rung := policy.Rung{Environment: environment, UnsignedLifts: len(keys) == 0}
	if !isFirst {
		rung.Requires.Smoked = new(policy.Smoked)
	}
	if len(keys) > 0 {
		rung.Signers = []policy.Signer{givenKeys}
	}
	against, _ := policy.Against(records, image, rung, policy.Trust{givenKeys: slices.Collect(maps.Keys(keys))})
	return against
}

// cellOf derives the state of an image in an environment from its records. rejections are those that keep it from the environment. live is whether the environment's newest deploy is of this image, tagged
// whether a tag promotes it there.
func cellOf(environment release.Environment, records []fact.Record, rejections []policy.Rejection, live, tagged, verified bool) Cell {
	cell := Cell{Environment: environment, Records: []fact.Record{}}
	for _, record := range records {
		if record.Environment == environment {
			cell.Records = append(cell.Records, record)
		}
	}
	slices.SortStableFunc(cell.Records, func(a, b fact.Record) int { return b.At.Compare(a.At) })
	smoked, isSmoked := newestSmoke(records, environment, verified)
	deployed, isDeployed := newestIn(records, fact.Deployed, environment, verified)
	promoted, isPromoted := newestIn(records, fact.Promoted, environment, verified)
	if isSmoked {
		cell.Verdict = smoked.Smoke.Verdict
	}
	set := func(state State, by fact.Record) { cell.State, cell.Since = state, by.At }
	switch {
	case len(rejections) > 0:
		cell.State, cell.Since = StateRejected, rejections[0].At
	case isDeployed && live:
		set(StateLive, deployed)
	case cell.Verdict == release.Fail:
		set(StateFailed, smoked)
	case cell.Verdict == release.Pass:
		set(StateProved, smoked)
	case isDeployed:
		set(StateReplaced, deployed)
	case isPromoted:
		set(StatePromoted, promoted)
	case tagged:
		cell.State = StatePromoted
	}
	return cell
}

// Text returns the cell as a table shows it: the state, and the verdict where the state does not say it.
func (c Cell) Text() string {
	state := cmp.Or(string(c.State), "-")
	if c.ShowsVerdict() {
		state += ", smoke " + string(c.Verdict)
	}
	if c.Since.IsZero() {
		return state
	}
	return state + " " + formatTime(c.Since)
}

// ShowsVerdict reports whether the verdict says more than the state.
func (c Cell) ShowsVerdict() bool {
	return c.Verdict != "" && c.State != StateProved && c.State != StateFailed
}

// Detail says in one line what a record adds to its kind and environment; "" if nothing.
func Detail(record fact.Record) string {
	switch {
	case record.Problem != "":
		return "cannot be read: " + record.Problem
	case record.Build != nil:
		return fmt.Sprintf("from %s by %s", record.Build.Source, record.Build.Builder)
	case record.SBOM != nil:
		return fmt.Sprintf("SBOM, CycloneDX %s, %d components", record.SBOM.Spec, record.SBOM.Components)
	case record.Scan != nil:
		return fmt.Sprintf("by %s at %s: %s", record.Scan.Scanner, formatTime(record.Scan.ScannedAt), record.Scan)
	case record.Deployment != nil && record.Deployment.RolledBackTo > 0:
		d := record.Deployment
		return fmt.Sprintf("release %q in %s was rolled back to revision %d, as revision %d", d.Release, d.Cluster, d.RolledBackTo, d.Revision)
	case record.Deployment != nil:
		d := record.Deployment
		return fmt.Sprintf("release %q revision %d in %s, chart %s, values %s", d.Release, d.Revision, d.Cluster, d.ChartDigest.Short(), d.ValuesDigest.Short())
	case record.Smoke != nil:
		return fmt.Sprintf("%d rounds of %s", record.Smoke.Rounds, strings.Join(record.Smoke.Checks, ", "))
	case record.Promotion != nil && record.Promotion.Override != "":
		return fmt.Sprintf("from %q, a rule was overridden: %s", record.Promotion.From, record.Promotion.Override)
	case record.Promotion != nil:
		return fmt.Sprintf("from %q, proved by the record %s", record.Promotion.From, record.Promotion.Proof.Short())
	case record.Lift != nil:
		return "a rejection does not count any more: " + record.Lift.Reason
	case record.Override != nil:
		return fmt.Sprintf("a rule was overridden: %s; not met: %s", record.Override.Reason, strings.Join(record.Override.Missing, "; "))
	case record.Rejection != nil:
		return fmt.Sprintf("by a %s: %s", record.Rejection.Cause, record.Rejection.Reason)
	}
	return ""
}

// Signature says whether a record is signed, and by whom: by the name of a given key, or else by its ID.
func Signature(record fact.Record, keys map[string]string) string {
	switch {
	case record.Signer != "":
		return "signed by " + cmp.Or(keys[record.Signer], record.Signer)
	case record.Signed:
		return "signed, by no key that was given"
	}
	return "not signed"
}
