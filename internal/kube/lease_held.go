package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

const (
	// giveBackTime bounds giving a Lease back: a run that is cancelled has 2 s for all that it leaves behind.
	giveBackTime = 1800 * time.Millisecond
	// rewrites is how often a write is tried again because somebody else wrote in between.
	rewrites = 8
)

// errGivenBack is what a Lease answers that is not held any more.
var errGivenBack = errors.New("the Lease has been given back")

// holding is a Lease that this run has.
type holding struct {
	client *Client
	leases typed.LeaseInterface
	hold   release.LeaseRequest
	before *release.Holder

	turn   chan struct{}       // holds one: who has it may write
	latest *coordination.Lease // as this run wrote or read it last; belongs to who has the turn

	mu  sync.Mutex
	pin *release.Pin
	why error // of its loss

	lost    chan struct{} // closed when another run has it; why is set before
	over    chan struct{} // closed when it is being given back
	giving  sync.Once
	stop    context.CancelFunc // of the heartbeat
	stopped chan struct{}      // closed when the heartbeat has ended
}

// keep begins the heartbeat. It does not end with the wait's context: a rollback outlives the time of the rollout.
func (t *taker) keep(ctx context.Context, lease *coordination.Lease) *holding {
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &holding{client: t.client, leases: t.leases, hold: t.hold, before: t.before, turn: make(chan struct{}, 1), latest: lease,
		lost: make(chan struct{}), over: make(chan struct{}), stop: stop, stopped: make(chan struct{})}
	h.pin, _ = pinOf(lease) // it could be read when the Lease was looked at
	h.turn <- struct{}{}
	go h.beat(beating)
	return h
}

// beat renews the Lease until it is given back or lost. A cluster that does not answer, for however long, takes nothing away.
func (h *holding) beat(ctx context.Context) {
	defer close(h.stopped)
	every := h.hold.Duration / 4
	for pause := every; sleep(ctx, pause); {
		pause = every
		err := h.write(ctx, requestTime(every/2), func(lease *coordination.Lease) {
			at := stamp()
			lease.Spec.RenewTime = &at
		})
		switch {
		case h.isLost():
			return
		case err != nil:
			pause = min(max(every/4, 50*time.Millisecond), time.Second)
		}
	}
}

// Context is ctx, ended with a *release.Failure (OD-207) as its cause when another run has taken the Lease.
func (h *holding) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if h.isLost() {
		cancel(h.reason())
	}
	go func() {
		select {
		case <-h.lost:
			cancel(h.reason())
		case <-h.over:
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// Before is the run whose Lease had expired and was taken over.
func (h *holding) Previous() (release.Holder, bool) {
	if h.before == nil {
		return release.Holder{}, false
	}
	return *h.before, true
}

// Pin is the pin as it stood when the Lease was taken, or as this run has set it since.
func (h *holding) Pin() (release.Pin, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pin == nil {
		return release.Pin{}, false
	}
	return *h.pin, true
}

// SetPin pins the release, or lifts the pin if given nil. A cluster that does not answer is asked again until ctx ends.
func (h *holding) SetPin(ctx context.Context, pin *release.Pin) error {
	if pin != nil {
		own := *pin
		own.At = own.At.UTC().Truncate(time.Second)
		pin = &own
	}
	for {
		err := h.write(ctx, requestTime(h.hold.Duration/2), func(lease *coordination.Lease) { pinDown(lease, pin) })
		switch {
		case err == nil:
			h.mu.Lock()
			h.pin = pin
			h.mu.Unlock()
			return nil
		case h.isLost():
			return h.reason()
		case errors.Is(err, errGivenBack), apierrors.IsForbidden(err), apierrors.IsInvalid(err), !sleep(ctx, pauseMost):
			return h.client.leaseFault(ctx, err, fmt.Sprintf("pinning release %q in namespace %q", h.hold.Release, h.hold.Namespace))
		}
	}
}

// Release takes this run's name off the Lease, so that the next need not wait; the Lease and its pin stay. It ends within two
// seconds, whatever has become of ctx. Doing so twice, or after the Lease was lost, is no error.
func (h *holding) Release(ctx context.Context) error {
	h.giving.Do(func() { close(h.over) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	h.stop()
	<-h.stopped
	for {
		err := h.write(ctx, giveBackTime/2, vacate)
		switch {
		case err == nil, h.isLost(), errors.Is(err, errGivenBack):
			return nil
		case apierrors.IsForbidden(err), !sleep(ctx, 50*time.Millisecond):
			return h.client.leaseFault(ctx, err, fmt.Sprintf("giving back the Lease of release %q in namespace %q", h.hold.Release, h.hold.Namespace))
		}
	}
}

// write changes the Lease as the cluster has it, if it is ours there. One that somebody deleted is created again.
func (h *holding) write(ctx context.Context, each time.Duration, change func(*coordination.Lease)) error {
	select {
	case <-h.turn:
		defer func() { h.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.isLost() {
		return h.reason()
	}
	if !isHeld(h.latest) {
		return errGivenBack
	}
	var err error
	for range rewrites {
		lease := h.latest.DeepCopy()
		change(lease)
		if lease, err = h.send(ctx, each, lease); err == nil {
			h.latest = lease
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
		if err := h.reread(ctx, each); err != nil {
			return err
		}
	}
	return err
}

func (h *holding) send(ctx context.Context, each time.Duration, lease *coordination.Lease) (*coordination.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	if lease.UID == "" {
		return h.leases.Create(ctx, lease, meta.CreateOptions{})
	}
	return h.leases.Update(ctx, lease, meta.UpdateOptions{})
}

// reread finds out what has become of the Lease since this run wrote it. If somebody else has it, or had it since, it is lost:
// the release may not be what it was. If a person took our name off it, or deleted it, it is ours yet.
func (h *holding) reread(ctx context.Context, each time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	current, err := h.leases.Get(ctx, h.latest.Name, meta.GetOptions{})
	ours := h.latest.Spec
	switch {
	case apierrors.IsNotFound(err):
		h.latest = anew(h.latest)
	case err != nil:
		return err
	case ownedBy(current, h.hold.Holder.Run, *ours.AcquireTime):
		h.latest = current
	case !isHeld(current) && transitionsOf(current) == transitionsOf(h.latest):
		current.Spec = ours
		h.latest = current
	default:
		h.lose(current)
		return h.reason()
	}
	return nil
}

func (h *holding) lose(to *coordination.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = &release.Failure{
		What: fmt.Sprintf("%s the Lease of release %q in namespace %q was taken by %s; this run had renewed it %s before", causes.LeaseLost,
			h.hold.Release, h.hold.Namespace, who(holderOf(to)), time.Since(h.latest.Spec.RenewTime.Time).Round(time.Second)),
		Do: causes.LeaseLost.Cause().Advice,
	}
	close(h.lost)
}

func (h *holding) isLost() bool {
	select {
	case <-h.lost:
		return true
	default:
		return false
	}
}

func (h *holding) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}
