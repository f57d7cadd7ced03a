package history

import (
	"cmp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Kind is the kind of a recorded fact.
type Kind string

// The kinds of facts that verbs record (docs/evidence.md).
const (
	Built    Kind = "built"
	Deployed Kind = "deployed"
	Smoked   Kind = "smoked"
	Promoted Kind = "promoted"
	Rejected Kind = "rejected"
)

// Fact is one recorded fact about an image.
type Fact struct {
	Kind        Kind                `json:"kind"`
	Environment release.Environment `json:"environment,omitempty"` // "" for a fact about the image itself
	Verdict     release.Verdict     `json:"verdict,omitempty"`     // of a smoked fact
	At          time.Time           `json:"at"`                    // by the writer's clock
	Run         string              `json:"run,omitempty"`         // URL of the workflow run
	Signer      string              `json:"signer,omitempty"`      // whose signature was verified; "" if none was
	Detail      string              `json:"detail,omitempty"`      // one line, such as the release and its revision
	Predicate   string              `json:"predicate,omitempty"`   // type of the statement, which cosign asks for; "" if it is no statement
}

// State is what the facts say about an image in an environment.
type State string

// The states, and the only ones. Live and Rejected are about the newest fact; of the others the first that applies counts.
const (
	StateRejected State = "rejected" // may never be promoted there again
	StateLive     State = "live"     // the environment's newest recorded deploy is of this image
	StateFailed   State = "failed"   // its newest smoke failed
	StateProved   State = "proved"   // its newest smoke passed
	StateReplaced State = "replaced" // was deployed, and another image has been since
	StatePromoted State = "promoted" // has the environment's tag
	StateNone     State = ""         // nothing is recorded
)

// Cell is one image in one environment.
type Cell struct {
	Environment release.Environment `json:"environment"`
	State       State               `json:"state"`
	Verdict     release.Verdict     `json:"verdict,omitempty"` // of its newest smoke
	Since       time.Time           `json:"since,omitzero"`    // of the fact that decides the state
	Facts       []Fact              `json:"facts"`             // newest first
}

// cellOf concludes from the facts about an image in an environment; live is whether its newest deploy is the environment's newest.
func cellOf(environment release.Environment, facts []Fact, live bool) Cell {
	cell := Cell{Environment: environment, Facts: []Fact{}}
	for _, fact := range facts {
		if fact.Environment == environment {
			cell.Facts = append(cell.Facts, fact)
		}
	}
	slices.SortStableFunc(cell.Facts, func(a, b Fact) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Kind, b.Kind)) })
	newest := func(kind Kind) (Fact, bool) {
		at := slices.IndexFunc(cell.Facts, func(f Fact) bool { return f.Kind == kind })
		if at < 0 {
			return Fact{}, false
		}
		return cell.Facts[at], true
	}
	rejected, isRejected := newest(Rejected)
	deployed, isDeployed := newest(Deployed)
	smoked, isSmoked := newest(Smoked)
	promoted, isPromoted := newest(Promoted)
	cell.Verdict = smoked.Verdict
	set := func(state State, by Fact) { cell.State, cell.Since = state, by.At }
	switch {
	case isRejected:
		set(StateRejected, rejected)
	case isDeployed && live:
		set(StateLive, deployed)
	case isSmoked && smoked.Verdict == release.Fail:
		set(StateFailed, smoked)
	case isSmoked && smoked.Verdict == release.Pass:
		set(StateProved, smoked)
	case isDeployed:
		set(StateReplaced, deployed)
	case isPromoted:
		set(StatePromoted, promoted)
	}
	return cell
}
