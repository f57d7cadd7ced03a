package lease

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func TestPinsOutliveTheRunsThatSetThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		first := acquire(t, s, "1")
		if pin, found := first.Pin(); found {
			t.Errorf("pinned at %v", pin)
		}
		want := release.Pin{Commit: commitA, RunURL: "https://ci.example.com/runs/1", Actor: "alice", At: time.Date(2026, 3, 1, 12, 30, 15, 0, time.UTC)}
		given := want
		given.At = want.At.Add(400 * time.Millisecond).In(time.FixedZone("", 3600))
		if err := first.SetPin(t.Context(), &given); err != nil {
			t.Fatal(err)
		}
		s.waitForHeartbeats(2)
		pinned := func(lease release.Lease) {
			t.Helper()
			pin, found := lease.Pin()
			if diff := cmp.Diff(want, pin); !found || diff != "" {
				t.Error(found, diff)
			}
		}
		pinned(first)
		first.Release(t.Context())
		second := acquire(t, s, "2")
		pinned(second)
		kill(second)
		result, _ := acquireInBackground(t.Context(), t, s, "3")
		third := receive(t, result, "takeover")
		if third.err != nil {
			t.Fatal(third.err)
		}
		stopWithTest(t, third.lease)
		pinned(third.lease)
		if err := third.lease.SetPin(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if pin, found := third.lease.Pin(); found {
			t.Errorf("still pinned at %v", pin)
		}
		third.lease.Release(t.Context())
		if pin, found := acquire(t, s, "4").Pin(); found {
			t.Errorf("pinned again at %v", pin)
		}
		for key := range s.now().Annotations {
			if strings.Contains(key, "pin-") {
				t.Errorf("annotation %s is left", key)
			}
		}
	})
}

func TestSetPinWaitsForTheCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		lease := acquire(t, s, "1")
		s.refuse(refusingTo(503, "update"))
		done := make(chan error, 1)
		go func() { done <- lease.SetPin(t.Context(), &release.Pin{Commit: commitA, At: time.Now()}) }()
		s.waitForMoreRequests("update", 3)
		s.refuse(nil)
		if err := receive(t, done, "answer"); err != nil || s.now().Annotations[annotationPinCommit] != commitA.String() {
			t.Errorf("pinned: %v, %v", err, s.now().Annotations)
		}
		s.refuse(refusingTo(403, "update"))
		if err := lease.SetPin(t.Context(), nil); release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "pinning release") {
			t.Errorf("forbidden: %v", err)
		}
		if _, found := lease.Pin(); !found {
			t.Error("a pin that could not be removed is reported as removed")
		}
	})
}

func TestMalformedPin(t *testing.T) {
	t.Parallel()
	at := time.Now().UTC().Format(time.RFC3339)
	for name, test := range map[string]struct {
		annotations map[string]string
		want        string // the annotation that is named
	}{
		"a short commit":      {map[string]string{annotationPinCommit: "abc123", annotationPinAt: at}, annotationPinCommit},
		"no commit":           {map[string]string{annotationPinRun: "https://ci.example.com/runs/1", annotationPinAt: at}, annotationPinCommit},
		"no commit but actor": {map[string]string{annotationPinActor: "alice"}, annotationPinCommit},
		"no time":             {map[string]string{annotationPinCommit: commitA.String()}, annotationPinAt},
		"yesterday":           {map[string]string{annotationPinCommit: commitA.String(), annotationPinAt: "yesterday"}, annotationPinAt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLeaseServer(t)
				lease := newLease(testNamespace, "onedigest-shop")
				lease.Annotations = test.annotations
				s.writeUnchecked(lease)
				_, err := s.client().AcquireLease(t.Context(), requestOf("1"), func(string) {})
				if release.ExitCode(err) != release.ExitFault {
					t.Fatalf("got %v", err)
				}
				for _, want := range []string{`annotation "` + test.want + `" of Lease "onedigest-shop" in namespace "staging"`, "kubectl -n staging annotate lease onedigest-shop"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q lacks %q", err, want)
					}
				}
				if isHeld(s.now()) {
					t.Error("the Lease was taken all the same")
				}
			})
		})
	}
}

// TestDescriptionOfAHolderIsSanitized: whoever may write Leases can have written its annotations.
func TestDescriptionOfAHolderIsSanitized(t *testing.T) {
	t.Parallel()
	lease := newLease(testNamespace, "onedigest-shop")
	run := "9\n::set-output name=x::y"
	lease.Spec.HolderIdentity = &run
	lease.Annotations = map[string]string{release.AnnotationRun: "https://x\x1b[2J" + strings.Repeat("a", 1000), release.AnnotationActor: "eve\u202e", release.LabelCommit: "$(id)"}
	text := describeHolder(holderOf(lease))
	if strings.ContainsAny(text, "\n\x1b\u202e") || strings.Contains(text, "$(id)") || len(text) > 900 {
		t.Errorf("reported: %q", text)
	}
}

func TestPinWithoutTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLeaseServer(t)
		if pin, err := s.client().Pin(t.Context(), testNamespace, "shop"); pin != nil || err != nil {
			t.Errorf("no Lease: got %v, %v", pin, err)
		}
		lease := newLease(testNamespace, "onedigest-shop")
		want := release.Pin{Commit: commitA, Actor: "alice", At: time.Unix(1700000000, 0).UTC()}
		writePin(lease, &want)
		s.writeUnchecked(lease)
		pin, err := s.client().Pin(t.Context(), testNamespace, "shop")
		if diff := cmp.Diff(&want, pin); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if s.count("update")+s.count("create") != 0 {
			t.Error("reading a pin wrote")
		}
		s.refuse(refusingTo(403, "get"))
		if _, err := s.client().Pin(t.Context(), testNamespace, "shop"); release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "reading the pin of release") {
			t.Errorf("forbidden: %v", err)
		}
	})
}
