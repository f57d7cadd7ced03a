// Package lease acquires a Kubernetes Lease for a release, so that only one run at a time changes the release.
//
// The Lease is a coordination.k8s.io/v1 object named onedigest-RELEASE in the release's namespace. It exists between runs too:
// its annotations contain the release's pin.
package lease

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
)

const (
	// The time limit of a request for a Lease, other than a watch, is half of the Lease's duration, within these bounds.
	minRequestTime, maxRequestTime = time.Second, 5 * time.Second
	// forbiddenTime is how long a cluster may forbid a verb that it allowed before: a starting apiserver does so.
	forbiddenTime = 3 * time.Second

	minPause, maxPause = 20 * time.Millisecond, time.Second

	// A run that is stopped while it writes itself into the Lease waits writeGrace for the answer. Without an answer it takes
	// withdrawTime at most to clear itself from the Lease. Both fit into the 2 s that a cancelled run has.
	writeGrace, withdrawTime = time.Second, 800 * time.Millisecond
)

// Leases acquires the Leases of one cluster. It may be used by several goroutines.
type Leases struct {
	client typed.LeasesGetter
	host   string
}

// New returns the Leases of the cluster at host, which appears in error messages only.
func New(client typed.LeasesGetter, host string) *Leases { return &Leases{client, host} }

// NewForConfig is New with a client of its own; it sends nothing and does not change the configuration.
func NewForConfig(config *rest.Config) (*Leases, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // a timeout would end watches; every request has a context
	client, err := typed.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", config.Host, err)
	}
	return New(client, config.Host), nil
}

// AcquireLease acquires the Lease of a release and renews it every quarter of request.Duration until it is released; ctx bounds
// only the acquisition. The namespace must exist. The cluster stores the duration rounded up to whole seconds.
//
// While another run renews the Lease, AcquireLease watches it and calls report with a line for each holder. It takes over an
// expired Lease: one for which this process observed no heartbeat during the Lease's duration, by its own clock, while the
// cluster answered. The times in the Lease are not used, because another machine's clock may be wrong.
//
// If ctx ends first, the error is a *release.Failure (OD-203), and this run is not the holder: a write whose answer did not arrive
// is undone within two seconds, if the cluster answers. A request that the cluster forbids, and a pin that cannot be
// parsed, are a *release.Fault; a namespace that does not exist is a *release.InputError.
func (l *Leases) AcquireLease(ctx context.Context, request release.LeaseRequest, report func(string)) (release.Lease, error) {
	if request.Duration <= 0 || request.Holder.Run == "" {
		return nil, fmt.Errorf("holding release %q: a Lease needs a holder and a duration, got %q and %s", request.Release, request.Holder.Run, text.Duration(request.Duration))
	}
	a := &acquirer{leases: l.client.Leases(request.Namespace), host: l.host, request: request, name: leaseName(request.Release), report: report,
		allowedVerbs: map[string]bool{}}
	pause := minPause
	for {
		began := time.Now()
		lease, err := a.listAndWatch(ctx)
		if err == nil && lease != nil && ctx.Err() == nil {
			return a.startHeartbeat(ctx, lease), nil
		}
		if ctx.Err() != nil {
			a.withdraw(ctx)
			return nil, a.timeoutError(ctx, err)
		}
		if fatal := a.fatalError(ctx, err); fatal != nil {
			a.withdraw(ctx)
			return nil, fatal
		}
		if a.lastErr = err; err != nil {
			a.observed = nil // if the cluster does not answer us, it may not have answered the holder either
		}
		if pause = min(2*pause, maxPause); time.Since(began) > maxPause {
			pause = minPause
		}
		if !sleep(ctx, pause) {
			a.withdraw(ctx)
			return nil, a.timeoutError(ctx, a.lastErr)
		}
	}
}

// acquirer acquires one Lease for this run.
type acquirer struct {
	leases  typed.LeaseInterface
	host    string
	request release.LeaseRequest
	name    string
	report  func(string)

	observed *observedHolder  // the holder whose heartbeats are timed; nil if there is none, or if the Lease must be read again
	written  []meta.MicroTime // acquire times of this run's writes that were stored, or were not answered; they identify its own writes
	previous *release.Holder  // holder of an expired Lease that this run tried to take over

	blockedBy    *release.Holder // holder that was reported last
	blockedSince time.Time       // when that holder acquired the Lease; zero if unknown

	lastErr        error           // error of the last listAndWatch; nil if the watch ended by itself
	allowedVerbs   map[string]bool // verbs that the cluster has allowed
	forbiddenSince time.Time       // when the cluster began to forbid an allowed verb; zero if it does not
}

// observedHolder is the last heartbeat of the current holder.
type observedHolder struct {
	lease     *coordination.Lease
	since     time.Time // when this heartbeat was first observed
	confirmed bool      // a read in the last quarter of the duration showed no newer heartbeat
}

// requestError is a failed request with its API verb.
type requestError struct {
	verb string
	error
}

func (e *requestError) Unwrap() error { return e.error }

// send sends one request with a time limit.
func (a *acquirer) send(ctx context.Context, verb string, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limitRequestTime(a.request.Duration/2))
	defer cancel()
	return a.recordAnswer(verb, request(ctx))
}

// recordAnswer records that a verb is allowed, and adds the verb to an error.
func (a *acquirer) recordAnswer(verb string, err error) error {
	if err != nil {
		return &requestError{verb, err}
	}
	a.allowedVerbs[verb], a.forbiddenSince = true, time.Time{}
	return nil
}

func limitRequestTime(wanted time.Duration) time.Duration {
	return min(max(wanted, minRequestTime), maxRequestTime)
}

// evaluate acts on the current Lease; nil if it does not exist. It returns the Lease if this run has become its holder.
func (a *acquirer) evaluate(ctx context.Context, lease *coordination.Lease) (*coordination.Lease, error) {
	if lease == nil {
		return a.tryAcquire(ctx, newLease(a.request.Namespace, a.name), false)
	}
	if _, err := readPin(lease); err != nil {
		return nil, err
	}
	switch {
	case a.isHolder(lease):
		return lease, nil
	case !isHeld(lease):
		return a.tryAcquire(ctx, lease, false)
	case a.observed != nil && sameHeartbeat(a.observed.lease, lease):
		a.observed.lease = lease
	default:
		a.observed = &observedHolder{lease: lease, since: time.Now()}
		a.reportHolder(lease)
	}
	return nil, nil
}

// untilOverdue returns how long to wait for a heartbeat before onHeartbeatOverdue is called.
func (a *acquirer) untilOverdue() time.Duration {
	wait := durationOf(a.observed.lease, a.request.Duration)
	if !a.observed.confirmed {
		wait -= wait / 4
	}
	return time.Until(a.observed.since.Add(wait))
}

// onHeartbeatOverdue is called when no heartbeat arrived for three quarters of the holder's duration, and again at its end.
//
// The first call reads the Lease, which proves that the apiserver answers: while an apiserver restarts (20 s) the holder cannot
// renew, and it gets the last quarter to do so. The second call takes the Lease over; the resource version makes that fail if a
// heartbeat or another acquirer was faster. A late call, because this machine was suspended, starts over: the holder may run on
// the same machine.
func (a *acquirer) onHeartbeatOverdue(ctx context.Context) (*coordination.Lease, error) {
	if late := -a.untilOverdue(); late > durationOf(a.observed.lease, a.request.Duration)/4 {
		a.observed = nil
		return nil, nil
	}
	if a.observed.confirmed {
		return a.tryAcquire(ctx, a.observed.lease, true)
	}
	var current *coordination.Lease
	err := a.send(ctx, "get", func(ctx context.Context) (err error) {
		current, err = a.leases.Get(ctx, a.name, meta.GetOptions{})
		return err
	})
	switch {
	case apierrors.IsNotFound(err), err == nil && !sameHeartbeat(a.observed.lease, current):
		a.observed = nil // the watch missed a change: list again
		return nil, nil
	case err != nil:
		return nil, err
	}
	a.observed.lease, a.observed.confirmed = current, true
	return nil, nil
}

// tryAcquire writes this run into the Lease as its holder. If another writer was faster, it returns neither a Lease nor an error,
// and the Lease must be read again.
func (a *acquirer) tryAcquire(ctx context.Context, lease *coordination.Lease, expired bool) (*coordination.Lease, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	a.observed, a.previous = nil, nil
	if expired {
		holder := holderOf(lease)
		a.previous = &holder
	}
	at := nowMicro()
	wanted := lease.DeepCopy()
	setHolder(wanted, a.request, at)
	verb, request := "update", func(ctx context.Context) (err error) {
		lease, err = a.leases.Update(ctx, wanted, meta.UpdateOptions{})
		return err
	}
	if wanted.UID == "" {
		verb, request = "create", func(ctx context.Context) (err error) {
			lease, err = a.leases.Create(ctx, wanted, meta.CreateOptions{})
			return err
		}
	}
	writing, stop := outlive(ctx, writeGrace)
	defer stop()
	err := a.send(writing, verb, request)
	if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		a.written = append(a.written, at)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || verb == "update" && apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lease, nil
}

// isHolder reports whether a write of this run made it the Lease's holder.
func (a *acquirer) isHolder(lease *coordination.Lease) bool {
	return slices.ContainsFunc(a.written, func(at meta.MicroTime) bool { return isHeldBy(lease, a.request.Holder.Run, at) })
}

// withdraw clears this run from the Lease. A write that was not answered may still be under way, so the Lease is read until it names this run
// or the time is up. If the cluster does not answer, the Lease expires by itself.
func (a *acquirer) withdraw(ctx context.Context) {
	if len(a.written) == 0 {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer stop()
	for {
		lease, err := a.leases.Get(ctx, a.name, meta.GetOptions{})
		if err == nil && a.isHolder(lease) {
			clearHolder(lease)
			if _, err = a.leases.Update(ctx, lease, meta.UpdateOptions{}); err == nil {
				return
			}
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return
		}
	}
}

// outlive returns a context that ends some time after its parent.
func outlive(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(grace, cancel) })
	return ctx, func() { stop(); cancel() }
}

// reportHolder reports who holds the Lease, once per acquisition.
func (a *acquirer) reportHolder(lease *coordination.Lease) {
	holder, since := holderOf(lease), time.Time{}
	if lease.Spec.AcquireTime != nil {
		since = lease.Spec.AcquireTime.Time
	}
	if a.blockedBy != nil && *a.blockedBy == holder && a.blockedSince.Equal(since) {
		return
	}
	a.blockedBy, a.blockedSince = &holder, since
	a.report(fmt.Sprintf("release %q in namespace %q is held by %s; waiting for it", a.request.Release, a.request.Namespace, a.describeBlocker()))
}

// describeBlocker describes the holder that was reported last, and since when it has held the Lease.
func (a *acquirer) describeBlocker() string {
	text := describeHolder(*a.blockedBy)
	if !a.blockedSince.IsZero() {
		text += ", since " + a.blockedSince.UTC().Format(time.RFC3339)
	}
	return text
}

// sleep waits for a duration; it returns false if ctx ended first.
func sleep(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
