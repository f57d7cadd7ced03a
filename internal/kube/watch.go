package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// Watch returns when every object is ready, or with the reason why one will not be. It reports one step per change, from
// its own goroutine. Objects of kinds that are ready when they are made (a Secret) are not reported; a Service of type
// LoadBalancer and a HorizontalPodAutoscaler are reported and not waited for; custom resources and their definitions are waited
// for, but are no reason to give up. The cluster is watched, never polled; one that drops watches, does not answer or asks for
// another token is waited for, and nothing is said to be ready or failed before it is heard again.
//
// A *release.Failure that wraps a release.Diagnosed comes back as soon as it is certain that only another release helps,
// and when the context's time is up. A cluster that could not be heard at all is a *release.Fault. A cancelled context
// ends it at once, without a diagnosis.
func (c *Client) Watch(ctx context.Context, namespace string, objects []release.Object, report func(release.RolloutStep)) error {
	return c.watch(ctx, namespace, objects, false, report)
}

func (c *Client) watch(ctx context.Context, namespace string, objects []release.Object, hook bool, report func(release.RolloutStep)) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	w, err := c.newWatcher(ctx, namespace, objects, hook, report)
	if err != nil {
		return err
	}
	w.start(watching, func(from store.Source) *store.Store { return store.Follow(watching, from, w.nudge) })
	for {
		seen := w.look()
		switch {
		case seen.fault != nil:
			return c.Fault(ctx, seen.fault, "watching the rollout in namespace %q", namespace)
		case seen.failure != nil:
			return w.failed(ctx, *seen.failure)
		case len(seen.pending) == 0 && !seen.unsure:
			return nil
		}
		if err := w.next(ctx, seen.again); err != nil {
			return w.timeUp(ctx, seen.pending)
		}
	}
}

// next waits for a change, or for the moment at which time alone changes what is seen.
func (w *watcher) next(ctx context.Context, again time.Duration) error {
	var late <-chan time.Time
	if again > 0 {
		timer := time.NewTimer(again)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-w.changed:
	case <-late:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// failed is the end of a rollout that cannot become ready.
func (w *watcher) failed(ctx context.Context, found failing) error {
	what := fmt.Sprintf("%s in namespace %q cannot become ready", found.object, w.namespace)
	if w.hook {
		what = fmt.Sprintf("hook %s in namespace %q failed", found.object, w.namespace)
	}
	if found.why != "" && found.why != found.finding.reason {
		what += " (" + found.why + ")"
	}
	return w.failure(ctx, what, found.finding)
}

func (w *watcher) failure(ctx context.Context, what string, found finding) error {
	diagnosis := w.diagnose(ctx, found)
	return &release.Failure{What: what, Err: &RolloutError{diagnosis}, Do: diagnosis.Advice}
}

// timeUp is the end of time or of patience.
func (w *watcher) timeUp(ctx context.Context, pending []failing) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("watching the rollout in namespace %q: %w", w.namespace, context.Canceled)
	}
	if unheard := w.unheard(); unheard != nil {
		return w.client.Fault(ctx, unheard, "watching the rollout in namespace %q", w.namespace)
	}
	if len(pending) == 0 { // all was ready when it was last heard of
		return w.client.Fault(ctx, context.DeadlineExceeded, "hearing of the rollout in namespace %q once more", w.namespace)
	}
	names := make([]string, 0, len(pending))
	for _, late := range pending[:min(maxNames, len(pending))] {
		names = append(names, late.object.String())
	}
	what := fmt.Sprintf("not ready in namespace %q within %s: %s", w.namespace, time.Since(w.began).Round(time.Second), strings.Join(names, ", "))
	if silence := w.silence(); silence > 0 {
		what += fmt.Sprintf(" (the cluster has not answered for %s)", silence.Round(time.Second))
	}
	found := worst(pending).finding
	found.code = cmp.Or(found.code, causes.TimedOut)
	return w.failure(ctx, what, found)
}

// unheard is why some object could never be seen, nil if all that are awaited were.
func (w *watcher) unheard() error {
	for _, t := range w.objects {
		now := w.feeds[t.place].State()
		switch {
		case now.Synced, t.heed == reported, t.heed == tolerant && now.Refused():
		case now.Err == nil:
			return context.DeadlineExceeded
		default:
			return now.Err
		}
	}
	return nil
}

// worst is the object of which most is known.
func worst(pending []failing) failing {
	for _, late := range pending {
		if late.finding.code != "" {
			return late
		}
	}
	for _, late := range pending {
		if late.finding.object.Kind == "Pod" {
			return late
		}
	}
	return pending[0]
}

// silence is for how long no request of some feed has gone well, 0 if all go well.
func (w *watcher) silence() (longest time.Duration) {
	for _, f := range w.feeds {
		if now := f.State(); now.Err != nil {
			longest = max(longest, time.Since(now.Since))
		}
	}
	return longest
}
