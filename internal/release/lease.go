package release

import (
	"context"
	"time"
)

// LeaseRequest asks for the Lease of a release. While a run holds the Lease, other runs do not change the release.
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

// Pin keeps a release at a commit. A deliberate rollback (--allow-rollback) sets it, and deploys of other commits are refused until it is removed (--unpin).
type Pin struct {
	Commit Commit
	RunURL string // of the run that pinned, "" if none
	Actor  string
	At     time.Time
}

// Undeployed is a Helm release that has revisions, none of which is deployed: its first deploy failed, is in progress or was killed, or it is being uninstalled.
type Undeployed struct {
	Revision int    // the newest
	Status   string // Helm's own: failed, pending-install, uninstalling…
	// Holder is the run that holds the release's Lease, "" if none does, or if it is not known.
	Holder string
	// LeaseUnknown says that the Lease may not be read.
	LeaseUnknown bool
	// Heartbeat changes whenever the holder renews the Lease. One that stays the same for longer than Duration is a killed run's.
	Heartbeat string
	Duration  time.Duration
}

// Lease is a Lease that this run holds.
type Lease interface {
	// Context derives a context that is cancelled when the Lease is lost; the cause says which run has taken it.
	Context(ctx context.Context) (context.Context, context.CancelFunc)
	// Previous returns the run whose expired Lease was taken over; false if there was none.
	Previous() (Holder, bool)
	// Renew sends a heartbeat and returns when the cluster has accepted it: from then on this run holds the Lease for its whole
	// duration. If the Lease is lost, the error says which run has taken it.
	Renew(ctx context.Context) error
	// Pin returns the release's pin; false if there is none.
	Pin() (Pin, bool)
	// SetPin pins the release, or removes the pin if pin is nil.
	SetPin(ctx context.Context, pin *Pin) error
	// Release gives the Lease up. A second call, and a call after the Lease was lost, are no error.
	Release(ctx context.Context) error
}
