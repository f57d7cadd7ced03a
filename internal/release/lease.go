package release

import (
	"context"
	"time"
)

// LeaseRequest asks for the Lease of a release: while a run has it, no other run changes the release.
type LeaseRequest struct {
	Release   string
	Namespace string
	Holder    Holder
	Duration  time.Duration // after the last heartbeat, before another run may take it
}

// Holder is a run that has a Lease.
type Holder struct {
	Run    string // identity, unlike any other run's
	URL    string // "" if none
	Actor  string // "" if not known
	Commit Commit // that it deploys, "" if not known
}

// Pin keeps a release at a commit: a deliberate rollback sets it, and nothing else is deployed until it is lifted.
type Pin struct {
	Commit Commit
	RunURL string // of the run that pinned, "" if none
	Actor  string
	At     time.Time
}

// Lease is a release held.
type Lease interface {
	// Context is ctx, ended with the reason as its cause when the Lease is lost to another run.
	Context(ctx context.Context) (context.Context, context.CancelFunc)
	// Before is the run whose Lease had expired and was taken over; false if there was none.
	Previous() (Holder, bool)
	// Pin is the pin that stands on the release; false if there is none.
	Pin() (Pin, bool)
	// SetPin pins the release, or lifts the pin if given nil.
	SetPin(ctx context.Context, pin *Pin) error
	// Release gives the Lease back; doing so twice, or after it was lost, is no error.
	Release(ctx context.Context) error
}
