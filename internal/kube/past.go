package kube

import "time"

// past is what earlier looks saw of a container, for as long as the watch runs.
type past struct {
	reason string    // that it waited for at the last look
	pulls  int       // that were seen to fail
	pull   string    // what the last one said: the back-off after it often does not
	ready  int32     // runs that had ended when it was last ready: what came before does not count
	loops  time.Time // when it was first seen to end again and again since it was last ready
	// excused is how many runs had ended when something else of the release was last seen on its way.
	excused int32
	company time.Time // when that was; zero: never
	running time.Time // when its present run was first seen
	run     int32     // which one that is
}

func (w *watcher) pastOf(key string) *past {
	known := w.pasts[key]
	if known == nil {
		known = &past{}
		w.pasts[key] = known
	}
	return known
}

// pulled counts failing pulls: ErrImagePull is one, the back-off after it is not, but the first sight of one is.
func (p *past) pulled(found *finding) {
	if p.reason != found.reason {
		if pulling(found.reason) && (found.reason == "ErrImagePull" || !pulling(p.reason)) {
			p.pulls++
		}
		p.reason = found.reason
	}
	switch found.reason {
	case "ErrImagePull", "RegistryUnavailable":
		p.pull = found.message
	case "ImagePullBackOff":
		if p.pull != "" && !refused.MatchString(found.message) {
			found.message = p.pull
		}
	}
}

// standing is since when the same thing has been the matter, without a break.
type standing struct {
	code  string
	since time.Time
	look  int // that saw it last
}

// stand keeps the time from which a finding stands. One that was away for a look stands anew.
func (w *watcher) stand(found finding) {
	last, now := w.standings[found.key()], time.Now()
	if last == nil || last.code != string(found.code) || last.look < w.looks-1 {
		last = &standing{code: string(found.code), since: now}
		w.standings[found.key()] = last
	}
	last.look = w.looks
}

// stood is how long a finding has stood while the cluster was heard, and while nothing else could be waited for.
func (w *watcher) stood(found finding) time.Duration {
	since := found.since
	if last := w.standings[found.key()]; since.IsZero() && last != nil {
		since = last.since
	}
	if since.IsZero() {
		return 0
	}
	if w.resumed.After(since) {
		since = w.resumed
	}
	return time.Since(since)
}
