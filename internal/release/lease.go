package release

import (
	"context"
	"time"
)

// LeaseRequest asks for the Lease of a release. While a run holds it, other runs do not change the release.
type LeaseRequest struct {
	Release   string
	Namespace string
	Holder    Holder
	Duration  time.Duration // from the last heartbeat until another run may take the Lease over
}

// Holder is a run that holds a Lease.
type Holder struct {
	Run    string // unique identity of the run
	URL    string // "" if none
	Actor  string // "" if unknown
	Commit Commit // to deploy, "" if unknown
}

// Pin keeps a release at a commit. A deliberate rollback sets it, and other commits are refused until it is removed.
type Pin struct {
	Commit Commit
	RunURL string // of the run that pinned, "" if none
	Actor  string
	At     time.Time
}

// Lease is a Lease that this run holds.
type Lease interface {
	// Context derives a context that is cancelled when the Lease is lost; its cause says to whom.
	Context(ctx context.Context) (context.Context, context.CancelFunc)
	// Previous is the run whose expired Lease was taken over; false if there was none.
	Previous() (Holder, bool)
	// Renew sends a heartbeat and returns when the cluster has taken it: this run holds the Lease for its whole duration from then
	// on. If the Lease is lost, the error says to whom.
	Renew(ctx context.Context) error
	// Pin is the pin of the release; false if there is none.
	Pin() (Pin, bool)
	// SetPin pins the release, or removes the pin if it is nil.
	SetPin(ctx context.Context, pin *Pin) error
	// Release gives the Lease up. It is no error to do so twice, or after the Lease was lost.
	Release(ctx context.Context) error
}
