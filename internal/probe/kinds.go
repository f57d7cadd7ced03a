package probe

import (
	"context"
	"errors"
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

// openTime is how long a connection must stay open, within the timeout, unless the server sends something. A load balancer accepts a
// connection before it opens one to a target, and closes it if the target refuses.
const openTime = time.Second

// probeTCP connects to the target's port, and sends nothing. A connection that is not forwarded to a pod must stay open for openTime.
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
		if err == nil && to.Dial == nil {
			err = waitOpen(conn, min(openTime, p.options.Timeout))
		}
		_ = conn.Close()
	}
	stage, latency, spent := watch.stop()
	if closed := new(closedError); errors.As(err, &closed) {
		stage = release.StageHTTP
	}
	answer.Latency, answer.Spent, answer.Stage = latency, spent, release.StageDone
	if err != nil {
		answer.Stage, answer.Wrong = p.describeFailure(ctx, target, stage, err, check)
	}
	return answer
}

// closedError is a connection that was closed as soon as it was open.
type closedError struct{ cause error }

func (e *closedError) Error() string {
	return "the connection is closed as soon as it is open, as by a load balancer whose target refuses it: " + e.cause.Error()
}

// waitOpen waits until the server sends something, or for the given time; an error says that it has closed the connection.
func waitOpen(conn net.Conn, within time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil // such a connection cannot be waited for
	}
	n, err := conn.Read(make([]byte, 1))
	if timeout := net.Error(nil); n > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return &closedError{err}
}
