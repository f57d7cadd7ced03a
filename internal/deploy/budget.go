package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// budget splits the time of a deploy over its phases. A phase may use time that earlier phases did not use, but no time of later
// phases.
type budget struct {
	began     time.Time
	shares    []share
	rolledOut bool // hooks run on the rollout's time from now on
}

// share is the time of one phase.
type share struct {
	phase release.Phase
	time  time.Duration
}

// Shares of the timeout, in percent. A rollback takes about as long as a rollout that does not wait for anything broken.
const (
	hooksPercent    = 15
	addressPercent  = 20 // an AWS load balancer takes minutes, once
	smokePercent    = 10
	rollbackPercent = 25

	soakPercent = 25 // the longest soak
)

// splitTimeout gives each phase that the settings ask for its share, and the rollout the rest.
func splitTimeout(settings Settings, timeout time.Duration) budget {
	percent := map[release.Phase]int{release.PhaseHooks: hooksPercent, release.PhaseAddress: addressPercent}
	if settings.SmokeChecks != "" {
		percent[release.PhaseSmoke] = smokePercent
	}
	if settings.Rollback == rollbackAuto {
		percent[release.PhaseRollback] = rollbackPercent
	}
	shareOf := func(phase release.Phase) time.Duration {
		share := timeout * time.Duration(percent[phase]) / 100
		if phase == release.PhaseSmoke {
			share += min(settings.SmokeSoak, timeout*soakPercent/100)
		}
		return share
	}
	rest := timeout
	for phase := range percent {
		rest -= shareOf(phase)
	}
	b := budget{began: time.Now()}
	for _, phase := range []release.Phase{release.PhaseHooks, release.PhaseRollout, release.PhaseAddress, release.PhaseSmoke, release.PhaseRollback} {
		duration := shareOf(phase)
		if phase == release.PhaseRollout {
			duration = rest
		}
		if duration > 0 {
			b.shares = append(b.shares, share{phase, duration})
		}
	}
	return b
}

func (b budget) String() string {
	var total time.Duration
	texts := make([]string, len(b.shares))
	for i, share := range b.shares {
		texts[i] = fmt.Sprintf("%s %s", share.phase, text.Duration(share.time.Round(time.Second)))
		total += share.time
	}
	return fmt.Sprintf("%s in total: %s", text.Duration(total.Round(time.Second)), strings.Join(texts, ", "))
}

// timeFor returns the time of a phase, 0 if it has none.
func (b budget) timeFor(phase release.Phase) time.Duration {
	i := slices.IndexFunc(b.shares, func(s share) bool { return s.phase == phase })
	if i < 0 {
		return 0
	}
	return b.shares[i].time
}

// deadline returns when a phase must have ended.
func (b budget) deadline(phase release.Phase) time.Time {
	if phase == release.PhaseHooks && b.rolledOut {
		phase = release.PhaseRollout
	}
	deadline := b.began
	for _, share := range b.shares {
		if share.phase == release.PhaseRollback {
			break
		}
		deadline = deadline.Add(share.time)
		if share.phase == phase {
			break
		}
	}
	return deadline
}

// afterRollout returns the budget for hooks that run after the rollout.
func (b budget) afterRollout() budget {
	b.rolledOut = true
	return b
}

// withDeadline returns a context that ends when the phase's time is up; the cause names the phase.
func (b budget) withDeadline(ctx context.Context, phase release.Phase) (context.Context, context.CancelFunc) {
	return context.WithDeadlineCause(ctx, b.deadline(phase), fmt.Errorf("the time for %s is up (%s)", phase, b))
}

// forRollback returns the time reserved for the rollback, for its hooks and its rollout together.
func (b budget) forRollback() budget {
	return budget{began: time.Now(), rolledOut: true, shares: []share{{release.PhaseRollout, b.timeFor(release.PhaseRollback)}}}
}

// checkJobTimeout refuses a job limit that would kill the deploy before its rollback has ended.
func (s *Settings) checkJobTimeout() error {
	if s.JobTimeout == 0 || s.Matrix != "" || s.JobTimeout >= s.Timeout+matrix.StartAndReport {
		return nil
	}
	return release.BadSetting("job-timeout",
		fmt.Sprintf("%s is too short for a deploy of %s and %s to start and to report: the job would be killed before the deploy has ended", text.Duration(s.JobTimeout), text.Duration(s.Timeout), text.Duration(matrix.StartAndReport)),
		fmt.Sprintf("raise the job's timeout-minutes, or give a --timeout of at most %s", text.Duration(max(time.Second, s.JobTimeout-matrix.StartAndReport))))
}
