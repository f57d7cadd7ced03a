package node

import "time"

// Report is a change that the node reports to the supervisor, as a line of JSON.
type Report struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	// PID is the process's id in the node's PID namespace.
	PID int `json:"pid,omitempty"`
	// Restarts is how often the component was restarted.
	Restarts int `json:"restarts"`
	// Note is the reason, if there is one.
	Note string    `json:"note,omitempty"`
	At   time.Time `json:"at"`
}

// State is a component's state.
type State string

// The states of a component.
const (
	Starting State = "starting"
	Ready    State = "ready"
	// Held is a component that the supervisor keeps stopped for a while, for a test.
	Held   State = "held"
	Failed State = "failed"
)

// Network and AllReady are reported as components: the namespace has its addresses, and every component has become ready for the
// first time.
const (
	Network  = "network"
	AllReady = "node"
)

// Order is an order of the supervisor, as a line of JSON. The node ends when the stream of orders ends, which is when the supervisor
// does.
type Order struct {
	// Stop names a component to kill and to restart after Seconds.
	Stop    string  `json:"stop"`
	Seconds float64 `json:"seconds"`
}
