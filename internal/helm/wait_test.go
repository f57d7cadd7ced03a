package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// diagnosed is what a watch says of a rollout that cannot become ready.
type diagnosed struct{ found release.Diagnosis }

func (d *diagnosed) Error() string                { return "OD-103 Pod/shop is in a crash loop" }
func (d *diagnosed) Diagnosis() release.Diagnosis { return d.found }

// TestWaitIsCalledInOrder checks when a deploy waits, for what, and what exists in the cluster then.
func TestWaitIsCalledInOrder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), wideDeployment(t)
	var logged []string
	wait := func(_ context.Context, phase release.Phase, objects []release.Object) error {
		names := make([]string, len(objects))
		for i, object := range objects {
			names[i] = object.String()
			if object.Namespace != "staging" || object.APIVersion == "" {
				t.Errorf("got %+v", object)
			}
			if kind := strings.ToLower(object.Kind) + "s/"; s.object(kind+object.Name) == nil {
				t.Errorf("%s is not there", object)
			}
		}
		slices.Sort(names)
		logged = append(logged, fmt.Sprintf("%s (%s): %s", phase, statuses(t, s.client("staging")), strings.Join(names, " ")))
		return nil
	}
	for _, one := range []release.Deployment{withWord(d, "one"), withWord(d, "two")} {
		if _, err := c.Deploy(t.Context(), one, wait); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Rollback(t.Context(), "shop", 1, wait); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Deploy(t.Context(), withWord(d, "one"), wait); err != nil || got.Outcome != release.Unchanged {
		t.Fatalf("got %+v, %v", got, err)
	}
	want := []string{
		"hooks (pending-install): Job/before",
		"rollout (pending-install): ConfigMap/shop ConfigMap/shop-one Deployment/shop Service/shop",
		"hooks (pending-install): Job/after",
		"hooks (deployed pending-upgrade): Job/before",
		"rollout (deployed pending-upgrade): ConfigMap/shop ConfigMap/shop-two Deployment/shop Service/shop",
		"hooks (deployed pending-upgrade): Job/after",
		"hooks (superseded deployed pending-rollback): Job/before",
		"rollout (superseded deployed pending-rollback): ConfigMap/shop ConfigMap/shop-one Deployment/shop Service/shop",
		"hooks (superseded deployed pending-rollback): Job/after",
	}
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s.object("/jobs/before") != nil || s.object("/jobs/after") == nil {
		t.Error("a hook was not deleted as it asks for")
	}
}

// TestWaitErrorIsReturned fails every wait in turn.
func TestWaitErrorIsReturned(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		upgrade, rollback bool
		fails             int // which wait
		want              string
	}{
		"install, hook before": {fails: 1, want: "failed"},
		"install, rollout":     {fails: 2, want: "failed"},
		"install, hook after":  {fails: 3, want: "failed"},
		"upgrade, hook before": {upgrade: true, fails: 1, want: "deployed failed"},
		"upgrade, rollout":     {upgrade: true, fails: 2, want: "deployed failed"},
		"upgrade, hook after":  {upgrade: true, fails: 3, want: "deployed failed"},
		"back, hook before":    {upgrade: true, rollback: true, fails: 1, want: "superseded deployed failed"},
		"back, rollout":        {upgrade: true, rollback: true, fails: 2, want: "superseded deployed failed"},
		"back, hook after":     {upgrade: true, rollback: true, fails: 3, want: "superseded deployed failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), wideDeployment(t)
			revision := 1
			if test.upgrade {
				mustDeploy(t, c, withWord(d, "one"))
				revision++
			}
			if test.rollback {
				mustDeploy(t, c, withWord(d, "two"))
				revision++
			}
			diagnosis := &diagnosed{release.Diagnosis{Code: causes.CrashLoop, Logs: []string{strings.Repeat("::error::x\n", 500)}}}
			count, there := 0, true
			wait := func(_ context.Context, phase release.Phase, objects []release.Object) error {
				if count++; count != test.fails {
					return nil
				}
				there = s.object("/jobs/"+objects[0].Name) != nil || phase == release.PhaseRollout
				return diagnosis
			}
			var (
				got release.Deployed
				err error
			)
			if test.rollback {
				got, err = c.Rollback(t.Context(), "shop", 1, wait)
			} else {
				got, err = c.Deploy(t.Context(), withWord(d, "two"), wait)
			}
			var back release.Diagnosed
			if !errors.As(err, &back) || back != release.Diagnosed(diagnosis) || count != test.fails {
				t.Errorf("after %d waits: %v", count, err)
			}
			if got.Revision != revision || len(got.Objects) != 4 || got.Outcome != "" {
				t.Errorf("got %+v", got)
			}
			if !there {
				t.Error("the hook was gone before it was looked at")
			}
			revisions, err := c.History(t.Context(), "shop")
			if err != nil || statuses(t, c) != test.want || strings.ContainsAny(revisions[0].Description, "\n\r") || len(revisions[0].Description) > 2*1000 {
				t.Errorf("the history is %q, %v", statuses(t, c), err)
			}
			if again := mustDeploy(t, c, withWord(d, "three")); again.Revision != revision+1 {
				t.Errorf("got %+v", again)
			}
		})
	}
}

// TestStoppedWait ends the context while a rollout or a hook is waited for, by a wait that returns it and by one that never does: that
// Deploy returns is what shows that it is not waited for.
func TestStoppedWait(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at      int
		returns bool
	}{"rollout": {2, true}, "hook": {1, true}, "a wait that hangs, rollout": {2, false}, "a wait that hangs, hook": {1, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), wideDeployment(t)
			ctx, stop := context.WithCancel(t.Context())
			forever := make(chan struct{})
			defer close(forever)
			errNotReady := errors.New("the pods were not ready")
			count := 0
			got, err := c.Deploy(ctx, d, func(ctx context.Context, _ release.Phase, _ []release.Object) error {
				if count++; count < test.at {
					return nil
				}
				stop()
				if test.returns {
					<-ctx.Done()
					return fmt.Errorf("%w: %w", errNotReady, ctx.Err())
				}
				<-forever
				return nil
			})
			if !errors.Is(err, context.Canceled) || errors.Is(err, errNotReady) != test.returns || got.Revision != 1 || len(got.Objects) != 4 {
				t.Errorf("got %+v, %v", got, err)
			}
			if got := statuses(t, c); got != "failed" {
				t.Errorf("the history is %q", got)
			}
		})
	}
}

// TestWithoutWait waits for hooks as Helm does, and for nothing else.
func TestWithoutWait(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := wideDeployment(t)
	var once sync.Once
	asked := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() { <-asked; stop() }()
	c := s.client("staging")
	s.watched = func() { once.Do(func() { close(asked) }) }
	_, err := c.Deploy(ctx, d, nil) // it would wait for an hour
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := statuses(t, c); got != "failed" {
		t.Errorf("the history is %q", got)
	}
}
