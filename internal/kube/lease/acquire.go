// Package lease holds a release by a Kubernetes Lease, so that one run at a time changes it.
//
// The Lease is a coordination.k8s.io/v1 object named onedigest-RELEASE in the release's namespace. It is there between runs too:
// its annotations keep the release's pin.
package lease

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
)

const (
	// A request for a Lease, other than a watch, may take half of the Lease's duration, within these bounds.
	minRequestTime, maxRequestTime = time.Second, 5 * time.Second
	// forbiddenTime is how long a cluster may forbid a verb that it allowed before; a starting apiserver does.
	forbiddenTime = 3 * time.Second

	minPause, maxPause = 20 * time.Millisecond, time.Second
)

// Leases acquires the Leases of one cluster. It may be used by several goroutines.
type Leases struct {
	client typed.LeasesGetter
	host   string
}

// New returns the Leases of the cluster at host, which appears in error messages only.
func New(client typed.LeasesGetter, host string) *Leases { return &Leases{client, host} }

// NewForConfig is New with a client of its own; it sends nothing. The configuration is left as it is.
func NewForConfig(config *rest.Config) (*Leases, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // would end watches; every request has a context
	client, err := typed.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", config.Host, err)
	}
	return New(client, config.Host), nil
}

// AcquireLease acquires the Lease of a release and renews it every quarter of request.Duration until it is released; ctx bounds
// only the acquisition. The namespace must exist. In the cluster, the duration is rounded up to whole seconds.
//
// While another run renews the Lease, AcquireLease watches it; report is called with a line for each holder. An expired Lease is
// taken over after this process has observed no heartbeat for its duration, by its own clock, from a cluster that answered: the
// times in the Lease are those of another machine, whose clock may be wrong.
//
// If ctx ends first, the error is a *release.Failure (OD-203). A cluster that forbids a request, and a pin that cannot be parsed,
// is a *release.Fault; a namespace that does not exist, a *release.InputError.
func (l *Leases) AcquireLease(ctx context.Context, request release.LeaseRequest, report func(string)) (release.Lease, error) {
	if request.Duration <= 0 || request.Holder.Run == "" {
		return nil, fmt.Errorf("holding release %q: a Lease needs a holder and a duration, got %q and %s", request.Release, request.Holder.Run, request.Duration)
	}
	a := &acquirer{leases: l.client.Leases(request.Namespace), host: l.host, request: request, name: leaseName(request.Release), report: report,
		allowedVerbs: map[string]bool{}}
	pause := minPause
	for {
		began := time.Now()
		lease, err := a.listAndWatch(ctx)
		if err == nil && lease != nil {
			return a.startHeartbeat(ctx, lease), nil
		}
		if ctx.Err() != nil {
			return nil, a.timeoutError(ctx, err)
		}
		if fatal := a.fatalError(ctx, err); fatal != nil {
			return nil, fatal
		}
		if a.lastErr = err; err != nil {
			a.observed = nil // a cluster that does not answer us may not have answered the holder either
		}
		if pause = min(2*pause, maxPause); time.Since(began) > maxPause {
			pause = minPause
		}
		if !sleep(ctx, pause) {
			return nil, a.timeoutError(ctx, a.lastErr)
		}
	}
}

// acquirer is a run that wants a Lease.
type acquirer struct {
	leases  typed.LeaseInterface
	host    string
	request release.LeaseRequest
	name    string
	report  func(string)

	observed *observedHolder // the holder whose heartbeats are timed; nil if there is none, or if it must be read again
	triedAt  meta.MicroTime  // when this run last tried to become the holder; identifies its own write if the answer was lost
	previous *release.Holder // of an expired Lease that this run tried to take over

	blockedBy    *release.Holder // the last holder reported
	blockedSince time.Time       // when that holder acquired the Lease, zero if not known

	lastErr        error           // of the last listAndWatch, nil if it ended by itself
	allowedVerbs   map[string]bool // verbs that the cluster has allowed
	forbiddenSince time.Time       // when the cluster began to forbid an allowed verb, zero if it does not
}

// observedHolder is a holder's last heartbeat.
type observedHolder struct {
	lease     *coordination.Lease
	since     time.Time // when this heartbeat was first observed
	confirmed bool      // a read in the last quarter of the duration returned the same heartbeat
}

// requestError is a failed request, with its API verb.
type requestError struct {
	verb string
	error
}

func (e *requestError) Unwrap() error { return e.error }

// send sends one request within its time limit.
func (a *acquirer) send(ctx context.Context, verb string, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limitRequestTime(a.request.Duration/2))
	defer cancel()
	return a.recordAnswer(verb, request(ctx))
}

// recordAnswer remembers that a verb is allowed, and adds the verb to an error.
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

// evaluate acts on the current Lease, nil if it does not exist. It returns the Lease once this run is its holder.
func (a *acquirer) evaluate(ctx context.Context, lease *coordination.Lease) (*coordination.Lease, error) {
	if lease == nil {
		return a.tryAcquire(ctx, newLease(a.request.Namespace, a.name), false)
	}
	if _, err := readPin(lease); err != nil {
		return nil, err
	}
	switch {
	case isHeldBy(lease, a.request.Holder.Run, a.triedAt):
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

// untilOverdue is the time until onHeartbeatOverdue must be called, unless a heartbeat comes first.
func (a *acquirer) untilOverdue() time.Duration {
	wait := durationOf(a.observed.lease, a.request.Duration)
	if !a.observed.confirmed {
		wait -= wait / 4
	}
	return time.Until(a.observed.since.Add(wait))
}

// onHeartbeatOverdue is called three quarters into the observed holder's duration, and again at its end, if no heartbeat came.
//
// The first call reads the Lease, which proves that the apiserver answers: an apiserver that was unavailable (a restart takes
// 20 s) has kept the holder from renewing, and the last quarter is left to the holder. The second call takes the Lease over; the resource
// version makes that fail if a heartbeat or another acquirer came first. A call that is late, because this machine slept, starts
// over: the holder may run on the same machine.
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
	a.observed, a.previous = nil, nil
	if expired {
		holder := holderOf(lease)
		a.previous = &holder
	}
	a.triedAt = nowMicro()
	wanted := lease.DeepCopy()
	setHolder(wanted, a.request, a.triedAt)
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
	err := a.send(ctx, verb, request)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || verb == "update" && apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lease, nil
}

// reportHolder reports who holds the Lease, once for each acquisition.
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

// describeBlocker names the last holder reported and when it acquired the Lease.
func (a *acquirer) describeBlocker() string {
	text := describeHolder(*a.blockedBy)
	if !a.blockedSince.IsZero() {
		text += ", since " + a.blockedSince.UTC().Format(time.RFC3339)
	}
	return text
}

// sleep waits for a duration; false if ctx ended first.
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
