package rollout

import (
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// reporter passes on the steps that contain something new.
type reporter struct {
	began time.Time
	last  map[release.Object]release.RolloutStep // without their time
	send  func(release.RolloutStep)
}

func newReporter(began time.Time, send func(release.RolloutStep)) *reporter {
	return &reporter{began: began, last: map[release.Object]release.RolloutStep{}, send: send}
}

// report passes on the steps that differ from the last one of their object, with the time since the watch began.
func (r *reporter) report(steps []release.RolloutStep) {
	for _, step := range steps {
		if last, reported := r.last[step.Object]; reported && last == step {
			continue
		}
		r.last[step.Object] = step
		step.At = time.Since(r.began)
		r.send(step)
	}
}
