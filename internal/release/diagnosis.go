package release

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
)

// RolloutStep is one change of an object during a rollout, or the reminder that it has not changed.
type RolloutStep struct {
	At      time.Duration // since the watch started
	Object  Object
	Ready   int // ready pods or replicas; -1 for kinds without replicas
	Desired int
	Done    bool
	Message string
	Again   bool // repeats the last step of an object that is still waited for
}

// Phase is a part of a deploy that has its own share of the timeout.
type Phase string

// The phases, in order.
const (
	PhaseHooks    Phase = "hooks"
	PhaseRollout  Phase = "rollout"
	PhaseAddress  Phase = "address"
	PhaseSmoke    Phase = "smoke"
	PhaseRollback Phase = "rollback"
)

// Baseline is what a namespace contained before a release was applied there. A problem reported then does not count against the
// release until it is reported again. The zero value is the baseline of an empty namespace.
type Baseline struct {
	// Seen maps UIDs to a version of the object's report. Its keys are the workloads, pods and claims that existed, and the
	// objects that had events. A changed version means that the report was renewed; "" if an object has no version.
	Seen map[string]string
	// Failed: the revision that was live then has failed, so that its pods that are not ready may be replaced at once.
	Failed bool
	// Hooks are the objects of the new revision's hooks that were applied before: one of them may still create what the pods need.
	Hooks []Object
}

// Wait returns when the objects of a phase are ready, or with the reason why one of them cannot become ready.
type Wait func(ctx context.Context, phase Phase, objects []Object) error

// Diagnosis explains why a rollout cannot become ready.
type Diagnosis struct {
	Code      causes.Code `json:"code"`   // "" if the cause is unknown
	Object    Object      `json:"object"` // the pod, or the object that could not be created
	Container string      `json:"container,omitempty"`
	Reason    string      `json:"reason"` // Kubernetes' reason, for example "ImagePullBackOff"
	Message   string      `json:"message,omitempty"`
	Advice    string      `json:"try,omitempty"`      // what to try, one line
	Events    []string    `json:"events,omitempty"`   // oldest first, at most 5
	Logs      []string    `json:"logs,omitempty"`     // last lines of the container, at most 20
	Previous  []string    `json:"previous,omitempty"` // last lines of the container's previous run, at most 20
}

// Diagnosed is an error that carries a Diagnosis.
type Diagnosed interface {
	error
	Diagnosis() Diagnosis
}
