package kube

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

const (
	// clockSkew is how far two machines' clocks may be apart: a heartbeat that is older than this and the Lease's duration
	// together is a dead run's, whoever reads the clock.
	clockSkew = 60 * time.Second
	// A request for a Lease, but a watch, may take as long as half of the Lease, within these bounds.
	requestLeast, requestMost = time.Second, 5 * time.Second
	// refusalTime is how long a cluster may forbid what it has allowed before: an apiserver that starts does.
	refusalTime = 3 * time.Second

	pauseLeast, pauseMost = 20 * time.Millisecond, time.Second
)

// Hold takes the Lease of a release (coordination.k8s.io/v1, named onedigest-RELEASE in its namespace, which must be there) and
// keeps it with a heartbeat every quarter of hold.Lasts until it is released; ctx bounds only the wait for it. In the cluster,
// Lasts is rounded up to whole seconds.
//
// A Lease that a live run has is waited for, by watch; report tells who has it, and again when that changes. One whose holder
// died is taken over: at once if its last heartbeat is older than its duration and a minute, else when it was seen unchanged for
// its duration by this machine's own clock, in a cluster that was answering.
//
// A wait that the end of ctx cuts short is a *release.Failure (OD-203). A cluster that forbids it, and a pin that cannot be read,
// is a *release.Fault; a namespace that is absent, an *release.InputError.
func (c *Client) AcquireLease(ctx context.Context, hold release.LeaseRequest, report func(string)) (release.Lease, error) {
	if hold.Duration <= 0 || hold.Holder.Run == "" {
		return nil, fmt.Errorf("holding release %q: a Lease needs a holder and a duration, got %q and %s", hold.Release, hold.Holder.Run, hold.Duration)
	}
	t := &taker{client: c, leases: c.Kube.CoordinationV1().Leases(hold.Namespace), hold: hold, name: leaseName(hold.Release), report: report,
		first: true, worked: map[string]bool{}}
	pause := pauseLeast
	for {
		began := time.Now()
		lease, err := t.round(ctx)
		if err == nil && lease != nil {
			return t.keep(ctx, lease), nil
		}
		if ctx.Err() != nil {
			return nil, t.ended(ctx, err)
		}
		if fatal := t.fatal(ctx, err); fatal != nil {
			return nil, fatal
		}
		if t.trouble = err; err != nil {
			t.seen = nil // a cluster that does not answer us may not have answered the holder either
		}
		if pause = min(2*pause, pauseMost); time.Since(began) > pauseMost {
			pause = pauseLeast
		}
		if !sleep(ctx, pause) {
			return nil, t.ended(ctx, t.trouble)
		}
	}
}

// taker is a run that wants a Lease.
type taker struct {
	client *Client
	leases typed.LeaseInterface
	hold   release.LeaseRequest
	name   string
	report func(string)

	first    bool            // nothing has been seen yet
	seen     *sight          // the holder that is waited for; nil if there is none, or if nothing is known of it any more
	blocking *release.Holder // who had it when it was last seen
	since    time.Time       // when that one took it, zero if not known
	tried    meta.MicroTime  // when this run last tried to take it: an answer that got lost is known again by it
	before   *release.Holder // whose Lease this run tried to take over

	trouble   error           // why the last round ended, nil if by itself
	worked    map[string]bool // verbs that the cluster has allowed
	forbidden time.Time       // since when it forbids what it had allowed, zero if it does not
}

// sight is a live holder's last heartbeat.
type sight struct {
	lease    *coordination.Lease
	since    time.Time // when it was first seen
	answered bool      // the cluster confirmed it in the last quarter of its duration
}

// verbError is a request that did not go well.
type verbError struct {
	verb string
	error
}

func (e *verbError) Unwrap() error { return e.error }

// ask sends one request.
func (t *taker) ask(ctx context.Context, verb string, send func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime(t.hold.Duration/2))
	defer cancel()
	return t.noted(verb, send(ctx))
}

func (t *taker) noted(verb string, err error) error {
	if err != nil {
		return &verbError{verb, err}
	}
	t.worked[verb], t.forbidden = true, time.Time{}
	return nil
}

func requestTime(wanted time.Duration) time.Duration {
	return min(max(wanted, requestLeast), requestMost)
}

// look is told what the Lease is now, nil if there is none. It returns the Lease if it is ours.
func (t *taker) look(ctx context.Context, lease *coordination.Lease) (*coordination.Lease, error) {
	first := t.first
	t.first = false
	if lease == nil {
		return t.take(ctx, newLease(t.hold.Namespace, t.name), false)
	}
	if _, err := pinOf(lease); err != nil {
		return nil, err
	}
	switch {
	case ownedBy(lease, t.hold.Holder.Run, t.tried):
		return lease, nil
	case !isHeld(lease):
		return t.take(ctx, lease, false)
	case first && t.stale(lease):
		return t.take(ctx, lease, true)
	case t.seen != nil && sameBeat(t.seen.lease, lease):
		t.seen.lease = lease
	default:
		t.seen = &sight{lease: lease, since: time.Now()}
		t.tell(lease)
	}
	return nil, nil
}

// stale tells whether a heartbeat is too old for any clock.
func (t *taker) stale(lease *coordination.Lease) bool {
	renewed := lease.Spec.RenewTime
	return renewed != nil && time.Since(renewed.Time) > lastsOf(lease, t.hold.Duration)+clockSkew
}

// due is how long to wait before the next step towards a takeover.
func (t *taker) due() time.Duration {
	lasts := lastsOf(t.seen.lease, t.hold.Duration)
	if !t.seen.answered {
		lasts -= lasts / 4
	}
	return time.Until(t.seen.since.Add(lasts))
}

// ripe is called when a heartbeat is due that did not come. Three quarters into its duration the cluster is asked whether it
// really did not: one that answered nobody (R9: for 20 s) has kept the holder from renewing, who is then left the last quarter
// to do so. At the end the Lease is taken; the resource version sees to it that no heartbeat and no other taker came between.
// A machine that slept begins anew: the holder may have slept on the same one.
func (t *taker) ripe(ctx context.Context) (*coordination.Lease, error) {
	if slept := -t.due(); slept > lastsOf(t.seen.lease, t.hold.Duration)/4 {
		t.seen = nil
		return nil, nil
	}
	if t.seen.answered {
		return t.take(ctx, t.seen.lease, true)
	}
	var current *coordination.Lease
	err := t.ask(ctx, "get", func(ctx context.Context) (err error) {
		current, err = t.leases.Get(ctx, t.name, meta.GetOptions{})
		return err
	})
	switch {
	case apierrors.IsNotFound(err), err == nil && !sameBeat(t.seen.lease, current):
		t.seen = nil // the watch has not told: read anew
		return nil, nil
	case err != nil:
		return nil, err
	}
	t.seen.lease, t.seen.answered = current, true
	return nil, nil
}

// take tries to write this run into the Lease. Nothing and no error comes back if somebody else was faster; it is to be read
// anew then.
func (t *taker) take(ctx context.Context, lease *coordination.Lease, expired bool) (*coordination.Lease, error) {
	t.seen, t.before = nil, nil
	if expired {
		dead := holderOf(lease)
		t.before = &dead
	}
	t.tried = stamp()
	wanted := lease.DeepCopy()
	occupy(wanted, t.hold, t.tried)
	verb, send := "update", func(ctx context.Context) (err error) {
		lease, err = t.leases.Update(ctx, wanted, meta.UpdateOptions{})
		return err
	}
	if wanted.UID == "" {
		verb, send = "create", func(ctx context.Context) (err error) {
			lease, err = t.leases.Create(ctx, wanted, meta.CreateOptions{})
			return err
		}
	}
	err := t.ask(ctx, verb, send)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || verb == "update" && apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lease, nil
}

// tell reports who has the Lease, once for each that has.
func (t *taker) tell(lease *coordination.Lease) {
	holder, since := holderOf(lease), time.Time{}
	if lease.Spec.AcquireTime != nil {
		since = lease.Spec.AcquireTime.Time
	}
	if t.blocking != nil && *t.blocking == holder && t.since.Equal(since) {
		return
	}
	t.blocking, t.since = &holder, since
	t.report(fmt.Sprintf("release %q in namespace %q is held by %s%s; waiting for it", t.hold.Release, t.hold.Namespace, who(holder), t.sinceWhen()))
}

func (t *taker) sinceWhen() string {
	if t.since.IsZero() {
		return ""
	}
	return ", since " + t.since.UTC().Format(time.RFC3339)
}

// sleep tells whether the time passed before the context ended.
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
