package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// budget splits the time of a deploy over its phases. A phase may use what those before it left, and never what belongs to
// those after it.
type budget struct {
	began  time.Time
	shares []share
	after  *bool // the rollout has begun, so that hooks run on its time
}

type share struct {
	phase release.Phase
	time  time.Duration
}

// Parts of the whole, in percent. Going back takes about as long as going there did, without the waiting for what is broken.
const (
	hooksPart    = 15
	addressPart  = 20 // a load balancer of AWS takes minutes, once
	smokePart    = 10
	rollbackPart = 25
)

// split gives every phase its part; the rollout has what is left.
func (d *deploy) split(whole time.Duration) budget {
	parts := map[release.Phase]int{release.PhaseHooks: hooksPart, release.PhaseAddress: addressPart}
	if d.settings.SmokeChecks != "" {
		parts[release.PhaseSmoke] = smokePart
	}
	if d.settings.Rollback == rollbackAuto {
		parts[release.PhaseRollback] = rollbackPart
	}
	b := budget{began: time.Now(), after: new(bool)}
	rest := whole
	for _, part := range parts {
		rest -= whole * time.Duration(part) / 100
	}
	for _, phase := range []release.Phase{release.PhaseHooks, release.PhaseRollout, release.PhaseAddress, release.PhaseSmoke, release.PhaseRollback} {
		own := whole * time.Duration(parts[phase]) / 100
		if phase == release.PhaseRollout {
			own = rest
		}
		if own > 0 {
			b.shares = append(b.shares, share{phase, own})
		}
	}
	return b
}

func (b budget) String() string {
	var whole time.Duration
	texts := make([]string, len(b.shares))
	for i, share := range b.shares {
		texts[i] = fmt.Sprintf("%s %s", share.phase, share.time.Round(time.Second))
		whole += share.time
	}
	return fmt.Sprintf("%s in all: %s", whole.Round(time.Second), strings.Join(texts, ", "))
}

// of is a phase's own part.
func (b budget) of(phase release.Phase) time.Duration {
	for _, share := range b.shares {
		if share.phase == phase {
			return share.time
		}
	}
	return 0
}

// end is when a phase must be over.
func (b budget) end(phase release.Phase) time.Time {
	end := b.began
	if phase == release.PhaseHooks && *b.after {
		phase = release.PhaseRollout
	}
	for _, share := range b.shares {
		if share.phase == release.PhaseRollback {
			break
		}
		end = end.Add(share.time)
		if share.phase == phase {
			break
		}
	}
	return end
}

func (b budget) rolledOut() { *b.after = true }

// until ends with the phase's time; the cause says which phase that was.
func (b budget) until(ctx context.Context, phase release.Phase) (context.Context, context.CancelFunc) {
	return context.WithDeadlineCause(ctx, b.end(phase), fmt.Errorf("the time for %s is up (%s)", phase, b))
}

// back is the time that was kept for going back, hooks and rollout together.
func (b budget) back() budget {
	after := true
	return budget{began: time.Now(), after: &after, shares: []share{{release.PhaseRollout, b.of(release.PhaseRollback)}}}
}

// startAndReport is what a job needs besides the deploy itself: checking out, building or fetching the binary, reporting.
const startAndReport = 30 * time.Second

// fits refuses a job limit that would kill the deploy, its rollback included.
func (s *Settings) fits() error {
	if s.JobTimeout == 0 || s.JobTimeout >= s.Timeout+startAndReport {
		return nil
	}
	return release.BadInput("--job-timeout (INPUT_JOB_TIMEOUT)",
		fmt.Sprintf("%s cannot hold a deploy of %s and %s to start and to report: the job would be killed on the way", s.JobTimeout, s.Timeout, startAndReport),
		fmt.Sprintf("raise the job's timeout-minutes, or give a --timeout of at most %s", max(time.Second, s.JobTimeout-startAndReport)))
}
