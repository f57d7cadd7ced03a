package cluster

import "time"

// standing is what is remembered of a finding between looks.
type standing struct {
	reason string
	since  time.Time
	tries  int    // pulls that were seen to fail
	pull   string // what the last one said: the back-off after it often does not
}

func (f finding) key() string { return string(f.uid) + "/" + f.container }

// remember adds to a finding what earlier looks saw of it, and keeps what later ones will want to know.
func (w *watcher) remember(found *finding) {
	last := w.standing[found.key()]
	if last == nil {
		last = &standing{}
		w.standing[found.key()] = last
	}
	if last.reason != found.reason {
		if pulling(found.reason) && (found.reason == "ErrImagePull" || !pulling(last.reason)) {
			last.tries++
		}
		if !pulling(found.reason) || !pulling(last.reason) {
			last.since = time.Now()
		}
		last.reason = found.reason
	}
	switch found.reason {
	case "ErrImagePull", "RegistryUnavailable":
		last.pull = found.message
	case "ImagePullBackOff":
		if last.pull != "" && !refused.MatchString(found.message) {
			found.message = last.pull
		}
	}
	if pulling(found.reason) {
		found.tries = last.tries
	}
}

func (w *watcher) stood(found finding) time.Duration {
	if last := w.standing[found.key()]; last != nil {
		return time.Since(last.since)
	}
	return 0
}

func pulling(reason string) bool {
	return reason == "ErrImagePull" || reason == "ImagePullBackOff" || reason == "RegistryUnavailable"
}
