package lease

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// In the cluster a Lease lasts a whole second at least.
const (
	leaseDuration = 300 * time.Millisecond
	expires       = time.Second
)

const testNamespace = "staging"

const commitA = release.Commit("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

func requestOf(run string) release.LeaseRequest {
	return release.LeaseRequest{Release: "shop", Namespace: testNamespace, Duration: leaseDuration,
		Holder: release.Holder{Run: run, URL: "https://ci.example.com/runs/" + run, Actor: "actor-of-" + run, Commit: commitA}}
}

// acquire holds the release shop; what is reported fails the test.
func acquire(t *testing.T, s *leaseServer, run string) *heldLease {
	t.Helper()
	lease, err := s.client().AcquireLease(t.Context(), requestOf(run), func(line string) { t.Errorf("reported: %s", line) })
	if err != nil {
		t.Fatal(err)
	}
	return stopWithTest(t, lease)
}

// stopWithTest ends the heartbeat with the test.
func stopWithTest(t *testing.T, lease release.Lease) *heldLease {
	t.Helper()
	h := lease.(*heldLease)
	t.Cleanup(func() { h.stop(); <-h.stopped })
	return h
}

// kill ends a run as SIGKILL does: its Lease stays as it was last renewed.
func kill(h *heldLease) {
	h.stop()
	<-h.stopped
}

type waited struct {
	lease *heldLease
	err   error
	after time.Duration
}

// acquireInBackground acquires the Lease of the release shop in the background, and sends what is reported to lines.
func acquireInBackground(ctx context.Context, t *testing.T, s *leaseServer, run string) (result <-chan waited, lines <-chan string) {
	t.Helper()
	reported, done := make(chan string, 100), make(chan waited, 1)
	client, began := s.clientOf(run), time.Now()
	go func() {
		lease, err := client.AcquireLease(ctx, requestOf(run), func(line string) { reported <- line })
		got := waited{err: err, after: time.Since(began)}
		if err == nil {
			got.lease = lease.(*heldLease)
		}
		done <- got
	}()
	return done, reported
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
		panic("unreachable")
	}
}

func heldBy(run string) func(*coordination.Lease) bool {
	return func(lease *coordination.Lease) bool {
		return lease != nil && isHeld(lease) && *lease.Spec.HolderIdentity == run
	}
}

func isFree(lease *coordination.Lease) bool { return lease != nil && !isHeld(lease) }

// waitForHeartbeats waits for a number of heartbeats from now on.
func (s *leaseServer) waitForHeartbeats(n int) {
	s.t.Helper()
	for range n {
		last := s.now()
		s.waitFor("renewed", func(lease *coordination.Lease) bool { return lease != nil && !sameHeartbeat(lease, last) })
	}
}

func TestAcquireAFreeLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		began := time.Now().Add(-time.Millisecond)
		first := acquire(t, s, "1")
		lease := s.now()
		if !heldBy("1")(lease) || *lease.Spec.LeaseDurationSeconds != 1 || *lease.Spec.LeaseTransitions != 0 {
			t.Errorf("got %+v", lease.Spec)
		}
		if acquired := lease.Spec.AcquireTime; acquired.Time.Before(began) || acquired.After(time.Now()) {
			t.Errorf("acquired at %s, and it is %s", acquired, time.Now())
		}
		want := map[string]string{"onedigest.dev/run": "https://ci.example.com/runs/1", "onedigest.dev/actor": "actor-of-1", "onedigest.dev/commit": commitA.String()}
		if diff := cmp.Diff(want, lease.Annotations); diff != "" {
			t.Error(diff)
		}
		if before, taken := first.Previous(); taken {
			t.Errorf("taken from %v", before)
		}
		s.waitForHeartbeats(2)
		if renewed := s.now(); !renewed.Spec.AcquireTime.Equal(lease.Spec.AcquireTime) || *renewed.Spec.LeaseTransitions != 0 {
			t.Errorf("a heartbeat changed %+v to %+v", lease.Spec, renewed.Spec)
		}
		if err := first.Release(t.Context()); err != nil || !isFree(s.now()) {
			t.Fatalf("release: %v, %+v", err, s.now())
		}
		hold := requestOf("2")
		hold.Holder.Actor, hold.Holder.URL = "", ""
		second, err := s.client().AcquireLease(t.Context(), hold, func(line string) { t.Errorf("reported: %s", line) })
		if err != nil {
			t.Fatal(err)
		}
		stopWithTest(t, second)
		lease = s.now()
		if !heldBy("2")(lease) || *lease.Spec.LeaseTransitions != 1 || lease.Annotations["onedigest.dev/actor"]+lease.Annotations["onedigest.dev/run"] != "" {
			t.Errorf("got %+v, %v", lease.Spec, lease.Annotations)
		}
		if before, taken := second.Previous(); taken {
			t.Errorf("taken from %v, which had released it", before)
		}
	})
}

// TestOneHolderAtATime lets runs acquire and release it a hundred times each. Two of them have the same identity.
func TestOneHolderAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		const rounds = 100
		var inside, acquired atomic.Int32
		var runs sync.WaitGroup
		for _, run := range []string{"1", "1", "2"} {
			client := s.client()
			runs.Go(func() {
				for range rounds {
					lease, err := client.AcquireLease(t.Context(), requestOf(run), func(string) {})
					if err != nil {
						t.Error(err)
						return
					}
					if n := inside.Add(1); n != 1 {
						t.Errorf("%d hold it at once", n)
					}
					acquired.Add(1)
					runtime.Gosched()
					inside.Add(-1)
					for tries := 3; lease.Release(t.Context()) != nil; tries-- { // a machine under load may take its two seconds
						if tries == 0 {
							t.Error("a Lease cannot be released")
							return
						}
					}
				}
			})
		}
		runs.Wait()
		if n := acquired.Load(); n != 3*rounds {
			t.Errorf("acquired %d times", n)
		}
		if transitions := *s.now().Spec.LeaseTransitions; transitions != 3*rounds-1 {
			t.Errorf("%d transitions", transitions)
		}
	})
}

func TestAKilledRunIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		dead := acquire(t, s, "dead")
		s.waitForHeartbeats(1)
		kill(dead)
		result, lines := acquireInBackground(t.Context(), t, s, "next")
		if line := receive(t, lines, "report"); !strings.Contains(line, "https://ci.example.com/runs/dead") {
			t.Errorf("reported: %s", line)
		}
		got := receive(t, result, "takeover")
		if got.err != nil {
			t.Fatal(got.err)
		}
		stopWithTest(t, got.lease)
		if got.after < expires || got.after > expires+time.Second {
			t.Errorf("taken over after %s, want %s and little more", got.after, expires)
		}
		before, taken := got.lease.Previous()
		if diff := cmp.Diff(requestOf("dead").Holder, before); !taken || diff != "" {
			t.Error(taken, diff)
		}
		if lease := s.now(); !heldBy("next")(lease) || *lease.Spec.LeaseTransitions != 1 {
			t.Errorf("got %+v", lease.Spec)
		}
	})
}

// TestTheTimesInALeaseDoNotCount: whatever the holder's clock says, its Lease expires once no heartbeat has come for its duration.
func TestTheTimesInALeaseDoNotCount(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]time.Duration{
		"a right clock":               0,
		"a clock that is 75 s behind": 75 * time.Second,
		"a clock of yesterday":        24 * time.Hour,
		"a clock that is ahead":       -time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				lease := newLease(testNamespace, "onedigest-shop")
				setHolder(lease, requestOf("live"), meta.NewMicroTime(time.Now().Add(-slow)))
				s.writeUnchecked(lease)
				result, _ := acquireInBackground(t.Context(), t, s, "next")
				const heartbeats = 20
				for range heartbeats {
					time.Sleep(expires / 2)
					renewed := meta.NewMicroTime(time.Now().Add(-slow))
					lease = s.now()
					lease.Spec.RenewTime = &renewed
					s.writeUnchecked(lease)
				}
				synctest.Wait()
				if len(result) != 0 || !heldBy("live")(s.now()) {
					t.Fatalf("a live run has lost its Lease: %+v", s.now().Spec)
				}
				got := receive(t, result, "takeover")
				if got.err != nil {
					t.Fatal(got.err)
				}
				stopWithTest(t, got.lease)
				if want := heartbeats*expires/2 + expires; got.after < want || got.after > want+expires/4 {
					t.Errorf("taken over after %s, want %s", got.after, want)
				}
			})
		})
	}
}

func TestALiveRunIsWaitedForByWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		live := acquire(t, s, "live")
		ctx, cancel := context.WithTimeout(t.Context(), 4*expires)
		defer cancel()
		result, lines := acquireInBackground(ctx, t, s, "late")
		got := receive(t, result, "end")
		var failure *release.Failure
		if !errors.As(got.err, &failure) || release.ExitCode(got.err) != release.ExitFailed {
			t.Fatalf("got %v", got.err)
		}
		for _, want := range []string{"OD-203", `release "shop" in namespace "staging"`, "run live (https://ci.example.com/runs/live) of actor-of-live", commitA.Short(),
			", since " + s.now().Spec.AcquireTime.UTC().Format(time.RFC3339), "deploy again"} {
			if !strings.Contains(got.err.Error(), want) {
				t.Errorf("%q lacks %q", got.err, want)
			}
		}
		if got.after < 4*expires-100*time.Millisecond {
			t.Errorf("gave up after %s", got.after)
		}
		if len(lines) != 1 {
			t.Errorf("reported %d times", len(lines))
		}
		if lists, watches, gets := s.count("list"), s.count("watch"), s.count("get"); lists != 2 || watches != 1 || gets != 0 { // one list is the holder's own
			t.Errorf("%d lists, %d watches, %d gets", lists, watches, gets)
		}
		if !heldBy("live")(s.now()) || live.isLost() {
			t.Error("the live run has lost it")
		}
	})
}

// TestAHeartbeatThatTheWatchMissed: the read before a takeover finds a heartbeat that the watch did not report, and the wait starts again.
func TestAHeartbeatThatTheWatchMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		s.with(func() { s.silent = func(r *http.Request) bool { return r.UserAgent() == "late" } })
		kill(acquire(t, s, "slow"))
		result, _ := acquireInBackground(t.Context(), t, s, "late")
		time.Sleep(expires * 7 / 10) // before the read
		renewed, now := s.now().DeepCopy(), nowMicro()
		renewed.Spec.RenewTime = &now
		s.writeUnchecked(renewed)
		got := receive(t, result, "takeover")
		if got.err != nil {
			t.Fatal(got.err)
		}
		stopWithTest(t, got.lease)
		if got.after < expires*17/10 {
			t.Errorf("taken over after %s, although there was a heartbeat after %s", got.after, expires*7/10)
		}
	})
}

func TestEachHolderIsReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		first := acquire(t, s, "first")
		result, lines := acquireInBackground(t.Context(), t, s, "late")
		if line := receive(t, lines, "report"); !strings.Contains(line, "run first ") {
			t.Errorf("reported: %s", line)
		}
		s.waitForHeartbeats(2)
		// Another is faster: the Lease changes its holder within one change. Its clock is wrong, so that it looks long dead.
		kill(first)
		second := s.now()
		setHolder(second, requestOf("second"), meta.NewMicroTime(time.Now().Add(-time.Hour)))
		began := time.Now()
		s.writeUnchecked(second)
		if line := receive(t, lines, "report"); !strings.Contains(line, "run second ") {
			t.Errorf("reported: %s", line)
		}
		got := receive(t, result, "takeover")
		if got.err != nil {
			t.Fatal(got.err)
		}
		stopWithTest(t, got.lease)
		if before, _ := got.lease.Previous(); before.Run != "second" || len(lines) != 0 || time.Since(began) < expires {
			t.Errorf("taken from %v after %s, reported again %d times", before, time.Since(began), len(lines))
		}
	})
}

func TestAReleasedLeaseIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		hold := requestOf("live")
		hold.Duration = time.Hour
		lease, err := s.client().AcquireLease(t.Context(), hold, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		live := stopWithTest(t, lease)
		result, lines := acquireInBackground(t.Context(), t, s, "next")
		receive(t, lines, "report")
		s.waitForRequests("watch", 1)
		if err := live.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := receive(t, result, "Lease")
		if got.err != nil {
			t.Fatal(got.err)
		}
		stopWithTest(t, got.lease)
		if before, taken := got.lease.Previous(); taken {
			t.Errorf("taken from %v, which released it", before)
		}
	})
}

// TestTwoRunsTakeOverOneDeadRun end with one that has it and one that waits for the first.
func TestTwoRunsTakeOverOneDeadRun(t *testing.T) {
	t.Parallel()
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			s := newLeaseServer(t)
			kill(acquire(t, s, "dead"))
			results := make(chan *heldLease, 2)
			for _, run := range []string{"a", "b"} {
				client := s.client()
				go func() {
					lease, err := client.AcquireLease(t.Context(), requestOf(run), func(string) {})
					if err != nil {
						t.Error(err)
						results <- nil
						return
					}
					results <- lease.(*heldLease)
				}()
			}
			first := receive(t, results, "Lease")
			s.waitForHeartbeats(8) // two durations
			if first == nil || len(results) != 0 || first.isLost() {
				t.Fatalf("both have it: first lost: %v", first.reason())
			}
			first.Release(t.Context())
			second := receive(t, results, "second Lease")
			if second == nil {
				t.Fatal("the second has none")
			}
			stopWithTest(t, second)
			if before, taken := second.Previous(); taken {
				t.Errorf("the second took it from %v, which released it", before)
			}
		})
	}
}

func TestAcquireAfterALostAnswer(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"create", "update"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				if verb == "update" {
					kill(acquire(t, s, "dead"))
				}
				lost := false
				s.with(func() {
					s.dropsAnswer = func(asked string, _ *http.Request) bool {
						first := asked == verb && !lost
						lost = lost || first
						return first
					}
				})
				result, _ := acquireInBackground(t.Context(), t, s, "next")
				got := receive(t, result, "Lease")
				if got.err != nil {
					t.Fatal(got.err)
				}
				stopWithTest(t, got.lease)
				if _, taken := got.lease.Previous(); !lost || taken != (verb == "update") || got.after > expires+time.Second {
					t.Errorf("taken over %t after %s", taken, got.after)
				}
				s.waitForHeartbeats(2)
			})
		})
	}
}

// TestAWriteThatLandsLateIsThisRuns, also if the run has tried again since.
func TestAWriteThatLandsLateIsThisRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		writes := 0
		s.with(func() {
			s.delays = func(verb string, _ *http.Request) time.Duration {
				if verb != "create" {
					return 0
				}
				writes++
				return map[int]time.Duration{1: minRequestTime + 500*time.Millisecond, 2: 700 * time.Millisecond}[writes]
			}
		})
		result, _ := acquireInBackground(t.Context(), t, s, "next")
		got := receive(t, result, "Lease")
		if got.err != nil || writes != 2 || got.after > 2*time.Second {
			t.Fatalf("got %v after %s", got.err, got.after)
		}
		stopWithTest(t, got.lease)
	})
}

func TestAcquireErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, s *leaseServer)
		hold    func(*release.LeaseRequest)
		code    int
		want    []string
	}{
		"no list":   {func(_ *testing.T, s *leaseServer) { s.refuse(refusingTo(403, "list")) }, nil, release.ExitFault, []string{"list Lease \"onedigest-shop\"", "get, list, watch, create and update of leases in coordination.k8s.io"}},
		"no create": {func(_ *testing.T, s *leaseServer) { s.refuse(refusingTo(403, "create")) }, nil, release.ExitFault, []string{"to create Lease", "leases in coordination.k8s.io"}},
		"no update": {func(t *testing.T, s *leaseServer) {
			acquire(t, s, "1").Release(t.Context())
			s.refuse(refusingTo(403, "update"))
		}, nil, release.ExitFault, []string{"to update Lease"}},
		"no watch":     {func(t *testing.T, s *leaseServer) { acquire(t, s, "1"); s.refuse(refusingTo(403, "watch")) }, nil, release.ExitFault, []string{"to watch Lease"}},
		"no get":       {func(t *testing.T, s *leaseServer) { kill(acquire(t, s, "1")); s.refuse(refusingTo(403, "get")) }, nil, release.ExitFault, []string{"to get Lease"}},
		"no access":    {func(_ *testing.T, s *leaseServer) { s.refuse(refusingTo(401, "list")) }, nil, release.ExitFault, []string{"refused or expired"}},
		"no namespace": {nil, func(hold *release.LeaseRequest) { hold.Namespace = "absent" }, release.ExitInput, []string{`namespace "absent" does not exist`, "--create-namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				if test.prepare != nil {
					test.prepare(t, s)
				}
				hold := requestOf("next")
				if test.hold != nil {
					test.hold(&hold)
				}
				_, err := s.client().AcquireLease(t.Context(), hold, func(string) {})
				if got := release.ExitCode(err); got != test.code {
					t.Fatalf("exit %d, %v; want %d", got, err, test.code)
				}
				for _, want := range test.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q lacks %q", err, want)
					}
				}
			})
		})
	}
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	t.Parallel()
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newLeaseServer(t)
			acquire(t, s, "live")
			ctx, cancel := context.WithCancel(t.Context())
			result, lines := acquireInBackground(ctx, t, s, "next")
			receive(t, lines, "report")
			cancel()
			if got := receive(t, result, "end"); !errors.Is(got.err, context.Canceled) || !strings.Contains(got.err.Error(), "OD-203") {
				t.Errorf("got %v", got.err)
			}
		})
	})
	t.Run("the cluster stops answering", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newLeaseServer(t)
			acquire(t, s, "live")
			ctx, cancel := context.WithTimeout(t.Context(), expires)
			defer cancel()
			result, lines := acquireInBackground(ctx, t, s, "next")
			receive(t, lines, "report")
			s.refuse(refusingTo(503, "get", "list", "watch", "update"))
			s.dropWatches()
			if got := receive(t, result, "end"); !strings.Contains(got.err.Error(), "OD-203") || !strings.Contains(got.err.Error(), "the cluster does not answer either: the test's ServiceUnavailable") {
				t.Errorf("got %v", got.err)
			}
		})
	})
	// A run that is stopped while it writes itself into the Lease is not its holder afterwards.
	for name, late := range map[string]time.Duration{"during a write that is answered": writeGrace / 2, "during a write that is answered late": writeGrace + 100*time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				ctx, cancel := context.WithCancel(t.Context())
				s.with(func() {
					s.delays = func(verb string, _ *http.Request) time.Duration {
						if verb != "create" {
							return 0
						}
						cancel()
						return late
					}
				})
				began := time.Now()
				_, err := s.client().AcquireLease(ctx, requestOf("next"), func(string) {})
				if took := time.Since(began); took > 2*time.Second || !errors.Is(err, context.Canceled) {
					t.Errorf("got %v after %s", err, took)
				}
				if now := s.now(); now == nil || isHeld(now) {
					t.Errorf("the Lease is %+v", now)
				}
			})
		})
	}
	for name, fail := range map[string]func(s *leaseServer){
		"by a cluster that refuses":         func(s *leaseServer) { s.refuse(refusingTo(503, "list")) },
		"by a cluster that does not answer": func(s *leaseServer) { s.with(func() { s.hangs = func(string, *http.Request) bool { return true } }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				fail(s)
				ctx, cancel := context.WithTimeout(t.Context(), expires)
				defer cancel()
				_, err := s.client().AcquireLease(ctx, requestOf("next"), func(string) {})
				if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "holding release") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
