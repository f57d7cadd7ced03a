package lease

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	coordination "k8s.io/api/coordination/v1"
)

// TestHolderSurvivesAnOutage makes the apiserver unavailable for longer than the Lease's duration, while another run waits.
func TestHolderSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	refusing := func(code int) func(s *leaseServer) {
		return func(s *leaseServer) { s.refuse(refusingTo(code, "get", "list", "watch", "create", "update")) }
	}
	hanging := func(s *leaseServer) { s.with(func() { s.hangs = func(string, *http.Request) bool { return true } }) }
	for name, test := range map[string]struct {
		fail func(s *leaseServer)
		drop bool // watches too, at the beginning and at the end
	}{
		"503":                        {refusing(503), true},
		"503, watches stay open":     {refusing(503), false},
		"401":                        {refusing(401), true},
		"no answer":                  {hanging, true},
		"no answer, watches stay so": {hanging, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				live := acquire(t, s, "live")
				held, cancel := live.Context(t.Context())
				defer cancel()
				result, lines := acquireInBackground(t.Context(), t, s, "late")
				receive(t, lines, "report")
				s.waitForRequests("watch", 1)
				for range 2 {
					s.waitForHeartbeats(1)
					test.fail(s)
					if test.drop {
						s.dropWatches()
					}
					time.Sleep(expires + expires/2) // the outage itself
					watches := s.count("watch")
					s.with(func() { s.refuses, s.hangs = nil, nil })
					if test.drop {
						s.pipes.CloseConnections()
						s.waitForRequests("watch", watches+1)
					}
				}
				s.waitForHeartbeats(8) // two durations
				if held.Err() != nil || live.isLost() || !heldBy("live")(s.now()) || len(result) != 0 {
					t.Fatalf("lost: %v, %+v, %d results", context.Cause(held), s.now().Spec, len(result))
				}
				if err := live.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := receive(t, result, "Lease")
				if got.err != nil || len(lines) != 0 {
					t.Fatalf("got %v, reported %d times more", got.err, len(lines))
				}
				stopWithTest(t, got.lease)
			})
		})
	}
}

// TestHolderRenewsFirstAfterAnOutage lets the acquirer's request be the first after the outage.
func TestHolderRenewsFirstAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		live := acquire(t, s, "live")
		result, lines := acquireInBackground(t.Context(), t, s, "late")
		receive(t, lines, "report")
		s.waitForRequests("watch", 1)
		s.waitForHeartbeats(1)
		over := false
		s.refuse(func(_ string, r *http.Request) int {
			if over = over || r.UserAgent() == "late"; over {
				return 0
			}
			return 503
		})
		s.waitFor("asked for", func(*coordination.Lease) bool { return over })
		s.waitForHeartbeats(8) // two durations
		if live.isLost() || len(result) != 0 {
			t.Fatal("a live run has lost it")
		}
		live.Release(t.Context())
		if got := receive(t, result, "Lease"); got.err == nil {
			stopWithTest(t, got.lease)
		}
	})
}

// TestAcquireAfterTheMachineSlept counts none of that time against the holder, which may have slept too.
func TestAcquireAfterTheMachineSlept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		kill(acquire(t, s, "dead"))
		var woke time.Time
		lease, err := s.client().AcquireLease(t.Context(), requestOf("next"), func(string) {
			time.Sleep(expires + expires/2) // the sleep itself
			woke = time.Now()
		})
		if err != nil {
			t.Fatal(err)
		}
		stopWithTest(t, lease)
		if after := time.Since(woke); after < expires {
			t.Errorf("taken over %s after it woke", after)
		}
	})
}

// TestDroppedWatchesDoNotDelayTakeover drops them more often than once in the Lease's duration.
func TestDroppedWatchesDoNotDelayTakeover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		kill(acquire(t, s, "dead"))
		result, _ := acquireInBackground(t.Context(), t, s, "next")
		for s.waitForRequests("watch", 1); len(result) == 0; {
			s.dropWatches()
			time.Sleep(expires / 5) // the interval of the drops
			if t.Context().Err() != nil {
				return
			}
		}
		got := <-result
		if got.err != nil {
			t.Fatal(got.err)
		}
		stopWithTest(t, got.lease)
		if got.after > expires+2*time.Second {
			t.Errorf("taken over after %s", got.after)
		}
	})
}

// TestAcquireToleratesAStartingApiserver: it forbids everything for a moment.
func TestAcquireToleratesAStartingApiserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		live := acquire(t, s, "live")
		result, lines := acquireInBackground(t.Context(), t, s, "next")
		receive(t, lines, "report")
		s.waitForRequests("watch", 1)
		s.refuse(refusingTo(403, "list", "watch"))
		s.dropWatches()
		s.waitForMoreRequests("list", 3)
		s.refuse(nil)
		if err := live.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, result, "Lease"); got.err != nil {
			t.Error(got.err)
		} else {
			stopWithTest(t, got.lease)
		}
	})
}
