package rollout

import (
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// quietTime is how long nothing is reported until what is still waited for is named again, and maxReminders how many objects are named then.
const (
	quietTime    = 15 * time.Second
	maxReminders = 5
)

// reporter passes on the steps that contain something new, and repeats those of pending objects while nothing is new.
type reporter struct {
	began time.Time
	sent  time.Time                              // when a step was last passed on
	last  map[release.Object]release.RolloutStep // without their time
	send  func(release.RolloutStep)
}

func newReporter(began time.Time, send func(release.RolloutStep)) *reporter {
	return &reporter{began: began, sent: began, last: map[release.Object]release.RolloutStep{}, send: send}
}

// report passes on the steps that differ from the last one of their object, with the time since the watch began.
func (r *reporter) report(steps []release.RolloutStep) {
	for _, step := range steps {
		if last, reported := r.last[step.Object]; reported && last == step {
			continue
		}
		r.last[step.Object] = step
		r.pass(step)
	}
}

// remind repeats the last steps of the first pending objects, if nothing was passed on for quietTime.
func (r *reporter) remind(pending []pendingObject) {
	if time.Since(r.sent) < quietTime {
		return
	}
	left := maxReminders
	for _, late := range pending {
		if step, reported := r.last[late.object]; reported && left > 0 {
			left--
			step.Again = true
			r.pass(step)
		}
	}
	r.sent = time.Now() // also if no pending object was ever reported
}

// untilReminder returns the time until remind has something to do.
func (r *reporter) untilReminder() time.Duration {
	return max(time.Millisecond, quietTime-time.Since(r.sent))
}

func (r *reporter) pass(step release.RolloutStep) {
	r.sent = time.Now()
	step.At = r.sent.Sub(r.began)
	r.send(step)
}
