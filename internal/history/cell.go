package history

import (
	"cmp"
	"errors"
	"fmt"
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
	StateUnread   State = "unread"   // the records cannot be read
)

// States lists the states that something is recorded for.
var States = []State{StateLive, StateProved, StateFailed, StateRejected, StatePromoted, StateReplaced, StateUnread}

// Cell is one image in one environment.
type Cell struct {
	Environment release.Environment `json:"environment"`
	State       State               `json:"state"`
	Verdict     release.Verdict     `json:"verdict,omitempty"` // of smoke: a failure of a target that it has not passed since, or else the newest pass
	Targets     []TargetVerdict     `json:"targets,omitempty"` // the newest verdict of each target that a verdict names
	Since       time.Time           `json:"since,omitzero"`    // of the record that decides the state; zero if only a tag does
	Records     []fact.Record       `json:"records"`           // newest first
}

// TargetVerdict is the newest verdict of smoke at one target.
type TargetVerdict struct {
	release.Target
	Verdict release.Verdict `json:"verdict"`
	At      time.Time       `json:"at"`
}

// newestIn returns the newest record of a kind about an image and an environment, among those that count; false if there is none.
func newestIn(records []fact.Record, image release.Image, kind fact.Kind, environment release.Environment) (fact.Record, bool) {
	return fact.Newest(records, kind, environment, func(r fact.Record) bool { return r.Counts() && r.Image == image })
}

// verdictOf returns the verdict of a finding, and its time; "" if there is none. Of a record that cannot be read, it is the one that the record declares.
func verdictOf(found policy.Finding[release.Record]) (release.Verdict, time.Time) {
	if unreadable := new(release.UnreadableRecordError); errors.As(found.Err, &unreadable) {
		at, _ := time.Parse(time.RFC3339, unreadable.Created) // zero if it is undated
		return unreadable.Verdict, at
	}
	if !found.Found {
		return "", time.Time{}
	}
	return found.Fact.Verdict, found.Fact.At
}

// cellOf derives the state of an image in an environment from what is recorded about it. live is whether the environment's newest deploy is of this image, tagged
// whether a tag promotes it there.
func cellOf(environment release.Environment, image release.Image, overview policy.Overview, live, tagged bool) Cell {
	cell := Cell{Environment: environment, Records: []fact.Record{}}
	for _, record := range overview.Records {
		if record.Environment == environment {
			cell.Records = append(cell.Records, record)
		}
	}
	slices.SortStableFunc(cell.Records, func(a, b fact.Record) int { return b.At.Compare(a.At) })
	var smokedAt time.Time
	standing := overview.Standings[environment]
	cell.Verdict, smokedAt = verdictOf(standing.Smoked)
	for _, each := range standing.Targets {
		if !each.Target.IsZero() {
			cell.Targets = append(cell.Targets, TargetVerdict{each.Target, each.Verdict, each.At})
		}
	}
	deployed, isDeployed := newestIn(overview.Records, image, fact.Deployed, environment)
	promoted, isPromoted := newestIn(overview.Records, image, fact.Promoted, environment)
	set := func(state State, at time.Time) { cell.State, cell.Since = state, at }
	switch {
	case len(standing.Against) > 0:
		set(StateRejected, standing.Against[0].At)
	case isDeployed && live:
		set(StateLive, deployed.At)
	case cell.Verdict == release.Fail:
		set(StateFailed, smokedAt)
	case cell.Verdict == release.Pass:
		set(StateProved, smokedAt)
	case isDeployed:
		set(StateReplaced, deployed.At)
	case isPromoted:
		set(StatePromoted, promoted.At)
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
	state += c.where()
	if c.Since.IsZero() {
		return state
	}
	return state + " " + formatTime(c.Since)
}

// where says at how many of its targets smoke passed; "" if the targets all say what the verdict does.
func (c Cell) where() string {
	passed := 0
	for _, each := range c.Targets {
		if each.Verdict == release.Pass {
			passed++
		}
	}
	if passed == 0 || passed == len(c.Targets) {
		return ""
	}
	return fmt.Sprintf(" (%d of %d targets pass)", passed, len(c.Targets))
}

// Differing returns a line for each target if not all targets have the same verdict.
func (c Cell) Differing() (lines []string) {
	if c.where() == "" {
		return nil
	}
	for _, each := range c.Targets {
		lines = append(lines, fmt.Sprintf("smoke %s at %s: %s", each.Verdict, formatTime(each.At), each.Target))
	}
	return lines
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
		at := ""
		if !record.Smoke.Target.IsZero() {
			at = " at " + record.Smoke.Target.String()
		}
		return fmt.Sprintf("%d rounds of %s%s", record.Smoke.Rounds, strings.Join(record.Smoke.Checks, ", "), at)
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
	case record.Signed && record.Untrusted == "":
		return "signed, not verified"
	case record.Signed:
		return "signed, by nobody who is trusted"
	}
	return "not signed"
}
