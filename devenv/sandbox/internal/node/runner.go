package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

const (
	// startTimeout is how long a component may take to become ready; a busy machine with a cold disk needs tens of seconds.
	startTimeout = 2 * time.Minute
	// maxExits is how often a component may end within a minute before the node gives up.
	maxExits = 10
)

// environment is the components' whole environment: no proxy, credential or locale of the user who ran up.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

// runner runs one component and restarts it when it ends.
type runner struct {
	component
	dir    place.Dir
	report func(Report)
	stops  chan Order
	up     chan struct{} // closed when the component is ready for the first time
}

func newRunner(dir place.Dir, c component, report func(Report)) *runner {
	return &runner{component: c, dir: dir, report: report, stops: make(chan Order), up: make(chan struct{})}
}

// run restarts the component until the context ends. It returns an error if the component ends too often or does not become ready.
func (k *runner) run(ctx context.Context) error {
	var ends []time.Time
	for restarts := 0; ; restarts++ {
		pause, err := k.runOnce(ctx, restarts)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if pause == 0 {
			ends = append(ends, time.Now())
			if len(ends) >= maxExits && time.Since(ends[len(ends)-maxExits]) < time.Minute {
				k.report(Report{Component: k.name, State: Failed, Restarts: restarts, Note: err.Error()})
				return fmt.Errorf("%s ended %d times within a minute, the last time: %w (see %s)", k.name, maxExits, err, k.dir.Log(k.name))
			}
			pause = 200 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// runOnce runs the component until it ends. A pause above zero means that the supervisor ordered a stop of that length.
func (k *runner) runOnce(ctx context.Context, restarts int) (pause time.Duration, err error) {
	log, err := os.OpenFile(k.dir.Log(k.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()                                             //nolint:errcheck // the component's writes are its own
	command := exec.CommandContext(ctx, k.argv[0], k.argv[1:]...) //nolint:gosec // the table in components.go
	command.Stdout, command.Stderr = log, log
	command.Env = environment
	if err := command.Start(); err != nil {
		return 0, err
	}
	reportState := func(state State, note string) {
		k.report(Report{Component: k.name, State: state, PID: command.Process.Pid, Restarts: restarts, Note: note})
	}
	reportState(Starting, "")
	var outcome error
	ended := make(chan struct{})
	go func() { defer close(ended); outcome = command.Wait() }()

	waiting, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %v", startTimeout))
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- waitReady(waiting, k.ready) }()
	for {
		select {
		case err := <-ready:
			ready = nil
			if err != nil {
				command.Process.Kill() //nolint:errcheck,gosec // it may have ended by itself
				<-ended                //nolint:errcheck // it was killed, so its status says nothing
				return 0, err
			}
			reportState(Ready, "")
			k.markUp()
		case order := <-k.stops:
			command.Process.Kill() //nolint:errcheck,gosec // as above
			<-ended                //nolint:errcheck // it was killed, so its status says nothing
			pause = max(time.Duration(order.Seconds*float64(time.Second)), time.Millisecond)
			k.report(Report{Component: k.name, State: Held, Restarts: restarts, Note: fmt.Sprintf("stopped on purpose for %v", pause)})
			return pause, nil
		case <-ended:
			if outcome == nil {
				outcome = errors.New("exit status 0")
			}
			reportState(Starting, "ended: "+outcome.Error())
			return 0, outcome
		}
	}
}

func (k *runner) markUp() {
	select {
	case <-k.up:
	default:
		close(k.up)
	}
}
