package release

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
)

// RolloutStep is one change seen while a rollout is watched.
type RolloutStep struct {
	At      time.Duration // since the watch began
	Object  Object
	Ready   int // pods or replicas ready; -1 where the kind does not count
	Desired int
	Done    bool
	Message string
}

// Phase is a part of a deploy that takes its time.
type Phase string

// The phases, in their order.
const (
	PhaseHooks    Phase = "hooks"
	PhaseRollout  Phase = "rollout"
	PhaseAddress  Phase = "address"
	PhaseSmoke    Phase = "smoke"
	PhaseRollback Phase = "rollback"
)

// Wait returns when the objects of a phase are ready, or with the reason why one will not be.
type Wait func(ctx context.Context, phase Phase, objects []Object) error

// Diagnosis says why a rollout cannot become ready.
type Diagnosis struct {
	Code      causes.Code `json:"code"`   // of the cause, "" if it is none of the known ones
	Object    Object      `json:"object"` // the pod, or the object that could not be created
	Container string      `json:"container,omitempty"`
	Reason    string      `json:"reason"` // as the cluster words it: "ImagePullBackOff"
	Message   string      `json:"message,omitempty"`
	Advice    string      `json:"try,omitempty"`      // what to try, in one line
	Events    []string    `json:"events,omitempty"`   // oldest first, at most 5
	Logs      []string    `json:"logs,omitempty"`     // last lines of the container, at most 20
	Previous  []string    `json:"previous,omitempty"` // last lines of the container's run before, at most 20
}

// Diagnosed is an error that knows why a rollout cannot become ready.
type Diagnosed interface {
	error
	Diagnosis() Diagnosis
}
