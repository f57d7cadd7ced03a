package lease

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
)

func TestLeaseLost(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(s *leaseServer, lease *coordination.Lease){
		"to a run that holds it": func(s *leaseServer, lease *coordination.Lease) {
			setHolder(lease, requestOf("other"), nowMicro())
			s.writeUnchecked(lease)
		},
		"to a run that released it": func(s *leaseServer, lease *coordination.Lease) {
			setHolder(lease, requestOf("other"), nowMicro())
			clearHolder(lease)
			s.writeUnchecked(lease)
		},
		"to a run that created it again": func(s *leaseServer, _ *coordination.Lease) {
			s.remove()
			lease := newLease(testNamespace, "onedigest-shop")
			setHolder(lease, requestOf("other"), nowMicro())
			s.writeUnchecked(lease)
		},
		"to a run of the same name": func(s *leaseServer, lease *coordination.Lease) {
			hold := requestOf("live")
			hold.Holder.URL = "https://ci.example.com/runs/other"
			setHolder(lease, hold, nowMicro())
			s.writeUnchecked(lease)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				live := acquire(t, s, "live")
				ctx, cancel := live.Context(t.Context())
				defer cancel()
				time.Sleep(time.Millisecond) // runs differ by the time at which they acquired it
				other(s, s.now())
				s.with(func() { s.onWrite = func(string, *coordination.Lease) { t.Error("a Lease that is lost was written") } })
				receive(t, ctx.Done(), "end of the context")
				cause := context.Cause(ctx)
				var failure *release.Failure
				if !errors.As(cause, &failure) || !strings.Contains(cause.Error(), "OD-207") || !strings.Contains(cause.Error(), "https://ci.example.com/runs/other") {
					t.Errorf("cause: %v", cause)
				}
				late, cancelLate := live.Context(t.Context())
				defer cancelLate()
				if late.Err() == nil || !errors.Is(context.Cause(late), cause) {
					t.Errorf("a context made afterwards: %v", context.Cause(late))
				}
				if err := live.SetPin(t.Context(), &release.Pin{Commit: commitA, At: time.Now()}); !errors.Is(err, cause) {
					t.Errorf("pinning: %v", err)
				}
				for range 2 {
					if err := live.Release(t.Context()); err != nil {
						t.Errorf("release: %v", err)
					}
				}
			})
		})
	}
}

// TestHolderSurvivesManualChanges changes a Lease as a person may, while a run holds it.
func TestHolderSurvivesManualChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *leaseServer, lease *coordination.Lease){
		"deleted":    func(s *leaseServer, _ *coordination.Lease) { s.remove() },
		"name taken": func(s *leaseServer, lease *coordination.Lease) { clearHolder(lease); s.writeUnchecked(lease) },
		"annotated": func(s *leaseServer, lease *coordination.Lease) {
			lease.Annotations["note"] = "mine"
			s.writeUnchecked(lease)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				live := acquire(t, s, "live")
				pin := release.Pin{Commit: commitA, RunURL: "https://ci.example.com/runs/live", Actor: "alice", At: time.Unix(1700000000, 0).UTC()}
				if err := live.SetPin(t.Context(), &pin); err != nil {
					t.Fatal(err)
				}
				change(s, s.now())
				s.waitFor("ours again", func(lease *coordination.Lease) bool {
					return heldBy("live")(lease) && lease.Annotations[annotationPinCommit] == commitA.String()
				})
				s.waitForHeartbeats(4)
				if live.isLost() || name == "annotated" && s.now().Annotations["note"] != "mine" {
					t.Errorf("lost %t, %v", live.isLost(), s.now().Annotations)
				}
				if err := live.Release(t.Context()); err != nil || !isFree(s.now()) {
					t.Errorf("release: %v", err)
				}
			})
		})
	}
}

func TestReleaseOfACancelledRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		lease, err := s.client().AcquireLease(ctx, requestOf("live"), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		live := stopWithTest(t, lease)
		cancel()
		s.waitForHeartbeats(2) // the heartbeat outlives the wait's context
		began := time.Now()
		for range 2 {
			if err := live.Release(ctx); err != nil || !isFree(s.now()) {
				t.Fatalf("release: %v, %+v", err, s.now())
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %s", took)
		}
		if err := live.SetPin(t.Context(), nil); !errors.Is(err, errReleased) {
			t.Errorf("pinning after Release: %v", err)
		}
	})
}

func TestReleaseWithoutAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		live := acquire(t, s, "live")
		s.with(func() { s.hangs = func(string, *http.Request) bool { return true } })
		s.waitForMoreRequests("update", 1) // a heartbeat that hangs
		began := time.Now()
		err := live.Release(t.Context())
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %s", took)
		}
		if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "releasing the Lease") {
			t.Errorf("got %v", err)
		}
		s.with(func() { s.hangs = nil })
		if err := live.Release(t.Context()); err != nil || !isFree(s.now()) {
			t.Errorf("released again: %v", err)
		}
	})
}

// TestReleaseDespiteFailedRequests: one refusal and one answer that gets lost do not keep a Lease from being released.
func TestReleaseDespiteFailedRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		live := acquire(t, s, "live")
		kill(live) // no heartbeat comes between
		tries := 0
		s.with(func() {
			s.refuses = func(verb string, _ *http.Request) int {
				if tries++; tries == 1 {
					return 503
				}
				return 0
			}
			s.dropsAnswer = func(verb string, _ *http.Request) bool { return verb == "update" && tries == 2 }
		})
		if err := live.Release(t.Context()); err != nil || !isFree(s.now()) {
			t.Errorf("release: %v, %+v", err, s.now().Spec)
		}
	})
}

// TestReleaseLeaksNoGoroutine counts them, and so runs by itself.
func TestReleaseLeaksNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		client := s.client()
		for i := range 20 {
			lease, err := client.AcquireLease(t.Context(), requestOf(fmt.Sprint(i)), func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			lease.Context(t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if _, err := client.AcquireLease(ctx, requestOf("late"), func(string) {}); err == nil {
				t.Fatal("two hold it")
			}
			cancel()
			if i%2 == 0 {
				taken := s.now()
				setHolder(taken, requestOf("other"), nowMicro())
				s.writeUnchecked(taken)
				<-lease.(*heldLease).lost
				s.remove()
			}
			if err := lease.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		text := make([]byte, 1<<20)
		for stack := range strings.SplitSeq(string(text[:runtime.Stack(text, true)]), "\n\n") {
			if strings.Contains(stack, "(*heldLease)") || strings.Contains(stack, "(*acquirer)") || strings.Contains(stack, "StreamWatcher") {
				t.Errorf("left:\n%s", stack)
			}
		}
	})
}

// TestRenewOfAFreshLease writes nothing within a second of a heartbeat, and writes after it.
func TestRenewOfAFreshLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		live := acquire(t, s, "live")
		kill(live) // no heartbeat comes between
		acquired := s.now().ResourceVersion
		time.Sleep(min(freshTime, leaseDuration/4) - time.Millisecond)
		if err := live.Renew(t.Context()); err != nil || s.now().ResourceVersion != acquired {
			t.Errorf("a fresh Lease: resource version %s, was %s: %v", s.now().ResourceVersion, acquired, err)
		}
		time.Sleep(time.Millisecond)
		if err := live.Renew(t.Context()); err != nil || s.now().ResourceVersion == acquired {
			t.Errorf("a Lease of a second ago: still resource version %s: %v", acquired, err)
		}
	})
}

// TestRenew sends a heartbeat at once, waits for a cluster that does not answer, and says to whom the Lease was lost.
func TestRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		live := acquire(t, s, "live")
		kill(live) // no heartbeat comes between
		time.Sleep(10 * expires)
		if err := live.Renew(t.Context()); err != nil || time.Since(s.now().Spec.RenewTime.Time) > 0 {
			t.Errorf("renewed at %s: %v", s.now().Spec.RenewTime, err)
		}
		time.Sleep(freshTime)
		s.refuse(refusingTo(503, "update"))
		began := time.Now()
		time.AfterFunc(20*time.Second, func() { s.refuse(nil) })
		if err := live.Renew(t.Context()); err != nil || time.Since(began) < 20*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		time.Sleep(freshTime)
		s.refuse(refusingTo(503, "update"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := live.Renew(ctx); release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "renewing the Lease of release") {
			t.Errorf("without an answer: %v", err)
		}
		s.refuse(nil)
		taken := s.now()
		setHolder(taken, requestOf("other"), nowMicro())
		s.writeUnchecked(taken)
		var failure *release.Failure
		if err := live.Renew(t.Context()); !errors.As(err, &failure) || !strings.Contains(err.Error(), "OD-207") || !strings.Contains(err.Error(), "runs/other") {
			t.Errorf("taken by another run: %v", err)
		}
	})
}
