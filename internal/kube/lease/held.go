package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

const (
	// releaseTime limits Release: a cancelled run has 2 s for all of its cleanup.
	releaseTime = 1800 * time.Millisecond
	// freshTime is how long after a heartbeat Renew needs no other. A write makes the apiserver's cached lists wait for
	// its revision, up to 100 ms each.
	freshTime = time.Second
	// maxWrites is how often a write is repeated after conflicts.
	maxWrites = 8
)

// errReleased is the error of a write after Release.
var errReleased = errors.New("the Lease has been released")

// heldLease is a Lease that this run holds.
type heldLease struct {
	leases   typed.LeaseInterface
	host     string
	request  release.LeaseRequest
	previous *release.Holder

	writer chan struct{}       // a semaphore of one; the goroutine that holds its element may write the Lease and use latest
	latest *coordination.Lease // the Lease as this run last wrote or read it

	mu         sync.Mutex
	renewed    time.Time // of this machine's clock: when the last heartbeat that the cluster accepted was sent
	pin        *release.Pin
	lostReason error

	lost        chan struct{} // closed when another run has taken the Lease; lostReason is set before
	releasing   chan struct{} // closed by the first Release
	releaseOnce sync.Once
	stop        context.CancelFunc // ends the heartbeat
	stopped     chan struct{}      // closed when the heartbeat has ended
}

// startHeartbeat starts to renew the Lease. The heartbeat does not end with ctx, which bounds only the acquisition: a rollback
// continues after the rollout's time is up.
func (a *acquirer) startHeartbeat(ctx context.Context, lease *coordination.Lease) *heldLease {
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &heldLease{leases: a.leases, host: a.host, request: a.request, previous: a.previous, writer: make(chan struct{}, 1), latest: lease,
		lost: make(chan struct{}), releasing: make(chan struct{}), stop: stop, stopped: make(chan struct{})}
	h.pin, _ = readPin(lease) // evaluate has parsed it without an error
	h.setRenewed(lease)
	h.writer <- struct{}{}
	go h.renew(renewing)
	return h
}

// renew sends heartbeats until the Lease is released or lost. The Lease is not lost while the cluster does not answer, however
// long that takes.
func (h *heldLease) renew(ctx context.Context) {
	defer close(h.stopped)
	every := h.request.Duration / 4
	for pause := every; sleep(ctx, pause); {
		pause = every
		err := h.write(ctx, limitRequestTime(every/2), setRenewTime)
		switch {
		case h.isLost():
			return
		case err != nil:
			pause = min(max(every/4, 50*time.Millisecond), time.Second)
		}
	}
}

// Context returns a copy of ctx that is cancelled when another run has taken the Lease; the cause is a *release.Failure (OD-207).
func (h *heldLease) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if h.isLost() {
		cancel(h.reason())
	}
	go func() {
		select {
		case <-h.lost:
			cancel(h.reason())
		case <-h.releasing:
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// Renew sends a heartbeat, unless this run sent one within the last second. While the cluster does not answer, it
// retries until ctx ends. If another run has taken the Lease, the error is a *release.Failure (OD-207).
func (h *heldLease) Renew(ctx context.Context) error {
	if h.isFresh() {
		return nil
	}
	return h.writeUntil(ctx, setRenewTime, "renewing the Lease of")
}

// isFresh reports whether this run sent a heartbeat within freshTime, by the wall clock: it also counts the time of a suspended
// process.
func (h *heldLease) isFresh() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	age := time.Now().Round(0).Sub(h.renewed)
	return h.lostReason == nil && age >= 0 && age < min(freshTime, h.request.Duration/4)
}

// setRenewTime sets the time of a heartbeat.
func setRenewTime(lease *coordination.Lease) {
	now := nowMicro()
	lease.Spec.RenewTime = &now
}

// Previous returns the holder whose expired Lease this run took over; false if there was none.
func (h *heldLease) Previous() (release.Holder, bool) {
	if h.previous == nil {
		return release.Holder{}, false
	}
	return *h.previous, true
}

// Pin returns the pin, which keeps the release at one commit, as this run last read or wrote it in the Lease; false if there is none.
func (h *heldLease) Pin() (release.Pin, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pin == nil {
		return release.Pin{}, false
	}
	return *h.pin, true
}

// SetPin writes the pin, or removes it if pin is nil. While the cluster does not answer, it retries until ctx ends.
func (h *heldLease) SetPin(ctx context.Context, pin *release.Pin) error {
	if pin != nil {
		rounded := *pin
		rounded.At = rounded.At.UTC().Truncate(time.Second)
		pin = &rounded
	}
	err := h.writeUntil(ctx, func(lease *coordination.Lease) { writePin(lease, pin) }, "pinning")
	if err == nil {
		h.mu.Lock()
		h.pin = pin
		h.mu.Unlock()
	}
	return err
}

// writeUntil retries a write until the cluster has answered, ctx ends or the Lease is lost; doing says what it is for.
func (h *heldLease) writeUntil(ctx context.Context, change func(*coordination.Lease), doing string) error {
	for {
		err := h.write(ctx, limitRequestTime(h.request.Duration/2), change)
		switch {
		case err == nil:
			return nil
		case h.isLost():
			return h.reason()
		case errors.Is(err, errReleased), apierrors.IsForbidden(err), apierrors.IsInvalid(err), !sleep(ctx, maxPause):
			return leaseFault(ctx, h.host, err, fmt.Sprintf("%s release %q in namespace %q", doing, h.request.Release, h.request.Namespace))
		}
	}
}

// Release clears the holder, so that the next run need not wait; the Lease and its pin remain. It takes at most two seconds, also
// if ctx is cancelled. A second call, and a call after the Lease was lost, are no error.
func (h *heldLease) Release(ctx context.Context) error {
	h.releaseOnce.Do(func() { close(h.releasing) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	h.stop()
	<-h.stopped
	for {
		err := h.write(ctx, releaseTime/2, clearHolder)
		switch {
		case err == nil, h.isLost(), errors.Is(err, errReleased):
			return nil
		case apierrors.IsForbidden(err), !sleep(ctx, 50*time.Millisecond):
			return leaseFault(ctx, h.host, err, fmt.Sprintf("releasing the Lease of release %q in namespace %q", h.request.Release, h.request.Namespace))
		}
	}
}

// write applies change to the Lease in the cluster if this run is its holder there; each request takes at most requestTime. It
// creates a Lease that somebody deleted.
func (h *heldLease) write(ctx context.Context, requestTime time.Duration, change func(*coordination.Lease)) error {
	select {
	case <-h.writer:
		defer func() { h.writer <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.isLost() {
		return h.reason()
	}
	if !isHeld(h.latest) {
		return errReleased
	}
	var err error
	for range maxWrites {
		lease := h.latest.DeepCopy()
		change(lease)
		if lease, err = h.createOrUpdate(ctx, requestTime, lease); err == nil {
			h.latest = lease
			h.setRenewed(lease)
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
		if err := h.refresh(ctx, requestTime); err != nil {
			return err
		}
	}
	return err
}

// createOrUpdate creates the Lease if it has no UID, and updates it otherwise.
func (h *heldLease) createOrUpdate(ctx context.Context, requestTime time.Duration, lease *coordination.Lease) (*coordination.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if lease.UID == "" {
		return h.leases.Create(ctx, lease, meta.CreateOptions{})
	}
	return h.leases.Update(ctx, lease, meta.UpdateOptions{})
}

// refresh reads the Lease after a conflict. The Lease is lost if another run holds it or has held it since, because that run may
// have changed the release. It is still ours if a person cleared the holder or deleted the Lease.
func (h *heldLease) refresh(ctx context.Context, requestTime time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	current, err := h.leases.Get(ctx, h.latest.Name, meta.GetOptions{})
	ours := h.latest.Spec
	switch {
	case apierrors.IsNotFound(err):
		h.latest = copyForRecreation(h.latest)
	case err != nil:
		return err
	case isHeldBy(current, h.request.Holder.Run, *ours.AcquireTime):
		h.latest = current
	case !isHeld(current) && transitionsOf(current) == transitionsOf(h.latest):
		current.Spec = ours
		h.latest = current
	default:
		h.markLost(current)
		return h.reason()
	}
	return nil
}

// markLost records which run has taken the Lease, and ends the contexts derived from it.
func (h *heldLease) markLost(current *coordination.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lostReason = &release.Failure{
		What: fmt.Sprintf("%s the Lease of release %q in namespace %q was taken by %s; this run had renewed it %s before", causes.LeaseLost,
			h.request.Release, h.request.Namespace, describeHolder(holderOf(current)), text.Age(time.Since(h.latest.Spec.RenewTime.Time))),
		Do: causes.LeaseLost.Cause().Advice,
	}
	close(h.lost)
}

func (h *heldLease) setRenewed(lease *coordination.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewed = time.Time{}
	if lease.Spec.RenewTime != nil {
		h.renewed = lease.Spec.RenewTime.Time
	}
}

func (h *heldLease) isLost() bool {
	select {
	case <-h.lost:
		return true
	default:
		return false
	}
}

func (h *heldLease) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lostReason
}
