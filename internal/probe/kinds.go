package probe

import (
	"context"
	"net"
	"net/http/httptrace"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// refusalTime is how long a forwarded port has, within the timeout, to report that the pod refused the connection: nothing confirms one.
const refusalTime = 3 * time.Second

// refusable is a forwarded connection, which is refused after it was opened.
type refusable interface {
	// Refusal waits for a refusal, at most for the given time; nil if there is none.
	Refusal(within time.Duration) error
}

// probeTCP connects to the target's port, and sends nothing.
func (p *Prober) probeTCP(ctx context.Context, to Target, check release.Check) release.Answer {
	answer := release.Answer{Check: check.Name, Kind: release.CheckTCP, Address: to.Address, Stage: release.StageCheck}
	target, err := parseBase(to.Base)
	if err != nil {
		answer.Wrong = []string{err.Error()}
		return answer
	}
	answer.URL = "tcp://" + net.JoinHostPort(target.Hostname(), port(target))
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	watch := startStopwatch()
	conn, err := p.dialer(to, watch)(httptrace.WithClientTrace(ctx, watch.trace()), "tcp", net.JoinHostPort(target.Hostname(), port(target)))
	if err == nil {
		if forwarded, ok := conn.(refusable); ok {
			err = forwarded.Refusal(min(refusalTime, p.options.Timeout))
		}
		_ = conn.Close()
	}
	stage, latency, spent := watch.stop()
	answer.Latency, answer.Spent, answer.Stage = latency, spent, release.StageDone
	if err != nil {
		answer.Stage, answer.Wrong = p.describeFailure(ctx, target, stage, err, check)
	}
	return answer
}
