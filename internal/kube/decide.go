package kube

import (
	"time"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release/causes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// How long the cluster may say no to what we ask before it is believed: an apiserver that starts forbids what it is going to
// allow, and a token that has expired is renewed by the transport that carries it.
const (
	forbiddenGrace    = 3 * time.Second
	revokedGrace      = 15 * time.Second // once it had allowed it
	unauthorizedGrace = time.Minute
)

// Times of quiet before a verdict.
const (
	// hearingTime is how long a failure waits for what may explain it.
	hearingTime = 2 * time.Second
	// catchingUp is how long a feed that hears the cluster again may still be told what it missed.
	catchingUp = 500 * time.Millisecond
)

// lasting is how long a refusal must last to be believed, 0 if it never is.
func lasting(now store.SyncState) time.Duration {
	switch {
	case now.Err == nil:
		return 0
	case apierrors.IsUnauthorized(now.Err):
		return unauthorizedGrace
	case now.Refused() && now.Synced:
		return revokedGrace
	case now.Refused():
		return forbiddenGrace
	}
	return 0
}

// skipped lets a tolerated object pass that we may not see.
func (w *watcher) skipped(t tracked, now store.SyncState) bool {
	if t.heed != tolerant || !now.Refused() {
		return false
	}
	w.tell(t.object, condition{ready: -1, desired: -1, done: true, message: "not awaited: " + cut(printable(now.Err.Error()), 160)})
	return true
}

// settle holds back every verdict until all that was ever heard is heard again, and has caught up: an object whose feed lags
// would be taken for what it was.
func (w *watcher) settle(s *seen) {
	quiet := func(f *store.Store) {
		now := f.State()
		if !now.Synced || now.Refused() && time.Since(now.Since) > w.client.grace(revokedGrace) {
			return
		}
		if now.Resumed.After(w.resumed) {
			w.resumed = now.Resumed
		}
		if !now.Current() {
			s.unsure = true
		}
	}
	for _, t := range w.objects {
		if t.heed != reported {
			quiet(w.feeds[t.place])
		}
	}
	for _, feeds := range []map[string]*store.Store{w.pods, w.sets} {
		for _, f := range feeds {
			quiet(f)
		}
	}
	if left := catchingUp - time.Since(w.resumed); left > 0 && !w.resumed.IsZero() {
		s.unsure = true
		s.after(left, func() {})
	}
}

// decide finds the object that cannot become ready, if there is one: one whose own trouble it is before one that may suffer
// from another's.
func (w *watcher) decide(s *seen) {
	if s.unsure {
		return
	}
	var suffering *failing
	for i := range s.pending {
		late := &s.pending[i]
		if late.heed != awaited {
			continue
		}
		if late.why != "" {
			if left := w.hearing(*late); left > 0 {
				s.after(left, func() {})
			} else if s.failure == nil {
				w.giveUp(late)
				s.failure = late
			}
			continue
		}
		counts, left := w.counts(late.finding)
		if counts && late.finding.dependent {
			counts, left = w.alone(s, i)
		}
		switch {
		case !counts:
			if left > 0 {
				s.after(left, func() {})
			}
		case w.hearing(*late) > 0:
			s.after(w.hearing(*late), func() {})
		case late.finding.dependent:
			if suffering == nil {
				suffering = late
			}
		case s.failure == nil:
			s.failure = late
		}
	}
	if s.failure == nil {
		s.failure = suffering
	}
}

// counts tells whether a finding is to be believed by now, by itself. If not, left is how long until time alone decides; 0 if
// time does not.
func (w *watcher) counts(found finding) (now bool, left time.Duration) {
	if found.code == "" || found.bears == never {
		return false, 0
	}
	limit := found.bears
	if found.made && w.makers {
		limit = making
	}
	left = w.client.grace(limit) - w.stood(found)
	return left <= 0, max(0, left)
}

// alone tells whether a finding counts that may come of something else of the release: nothing else is on its way, and the
// container has been tried, or has had its time, since anything was; or it has had company for long enough.
func (w *watcher) alone(s *seen, which int) (counts bool, left time.Duration) {
	found := s.pending[which].finding
	seen := w.pastOf(found.key())
	left = w.client.grace(companyTime) - w.stood(found)
	if left <= 0 {
		return true, 0
	}
	if w.company(s, which) {
		seen.excused, seen.company = found.runs, time.Now()
		return false, left
	}
	switch {
	case seen.company.IsZero():
		return true, 0
	case found.bears > 0:
		own := w.client.grace(found.bears) - time.Since(seen.company)
		return own <= 0, max(0, min(own, left))
	}
	return found.runs > seen.excused, left
}

// company tells whether another object of the release, or another container of the pod, is on its way: not ready, and nothing
// known of it counts.
func (w *watcher) company(s *seen, which int) bool {
	for i, other := range s.pending {
		if i == which || other.why != "" {
			continue
		}
		if counts, _ := w.counts(other.finding); !counts {
			return true
		}
	}
	return w.accompanied(s.pending[which].finding)
}

// accompanied tells whether another container of the pod runs and is not ready, nor known to be in trouble.
func (w *watcher) accompanied(found finding) bool {
	pod := w.podOf(found)
	if pod == nil {
		return false
	}
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name != found.container && status.State.Running != nil && !status.Ready && ended(status) < loopRuns {
			return true
		}
	}
	return false
}

// hearing is how long to wait yet for what may explain a failure: the feeds of pods, ReplicaSets and events begin when the
// object's own does, and may be filled later; and that a pod failed may be heard after its workload did.
func (w *watcher) hearing(late failing) time.Duration {
	namespace := late.place.namespace
	for _, f := range []*store.Store{w.pods[namespace], w.sets[namespace], w.events[namespace], w.feeds[place{claimsResource, namespace}]} {
		if f == nil {
			continue
		}
		if now := f.State(); !now.Synced && now.Err == nil {
			return hearingTime - time.Since(f.Started())
		}
	}
	if late.why != "" && late.finding.object == late.object && late.finding.uid != "" {
		return w.client.grace(catchingUp) - w.stood(late.finding)
	}
	return 0
}

// giveUp names what the cluster itself has given up, if nothing better is known of it.
func (w *watcher) giveUp(late *failing) {
	if late.finding.code != "" {
		return
	}
	switch late.why {
	case "ProgressDeadlineExceeded":
		late.finding.code = causes.ProgressDeadline
	case "JobFailed", "PodFailed":
		late.finding.code = causes.JobFailed
	}
}
