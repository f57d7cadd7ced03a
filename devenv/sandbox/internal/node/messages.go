package node

import "time"

// Report is what the node tells the supervisor, a line of JSON each, whenever something changes.
type Report struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	// PID is the process as the node's PID namespace counts.
	PID int `json:"pid,omitempty"`
	// Restarts counts how often the component was started again.
	Restarts int `json:"restarts"`
	// Note says why, if there is something to say.
	Note string    `json:"note,omitempty"`
	At   time.Time `json:"at"`
}

// State is where a component is in its life.
type State string

// The states of a component.
const (
	Starting State = "starting"
	Ready    State = "ready"
	// Held means stopped on purpose, for a test of what happens then.
	Held   State = "held"
	Failed State = "failed"
)

// Network and Whole stand for two milestones among the components' names: the namespace has its addresses, and every
// component is ready for the first time.
const (
	Network = "network"
	Whole   = "node"
)

// Order is what the supervisor tells the node, a line of JSON each. When there are no more, because the supervisor has
// ended in whatever way, the node ends.
type Order struct {
	// Stop kills a component and starts it again after Seconds.
	Stop    string  `json:"stop"`
	Seconds float64 `json:"seconds"`
}
