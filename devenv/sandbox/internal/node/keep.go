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
	// patience is how long a component may take to become ready; a laden machine with a cold disk needs tens of seconds.
	patience = 2 * time.Minute
	// tries is how often a component may end within a minute before the node gives up.
	tries = 10
)

// environment is all that the components inherit: no proxy, no credential, no locale of whoever ran up.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

// keeper runs one component and starts it again when it ends.
type keeper struct {
	component
	dir    place.Dir
	report func(Report)
	stops  chan Order
	up     chan struct{} // closed when the component is ready for the first time
}

func newKeeper(dir place.Dir, c component, report func(Report)) *keeper {
	return &keeper{component: c, dir: dir, report: report, stops: make(chan Order), up: make(chan struct{})}
}

// run keeps the component running until the context ends. It returns an error when the component ends too often, or
// does not become ready.
func (k *keeper) run(ctx context.Context) error {
	var ends []time.Time
	for restarts := 0; ; restarts++ {
		pause, err := k.once(ctx, restarts)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if pause == 0 {
			ends = append(ends, time.Now())
			if len(ends) >= tries && time.Since(ends[len(ends)-tries]) < time.Minute {
				k.report(Report{Component: k.name, State: Failed, Restarts: restarts, Note: err.Error()})
				return fmt.Errorf("%s ended %d times within a minute, at last: %w (see %s)", k.name, tries, err, k.dir.Log(k.name))
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

// once runs the component until it ends. A pause above zero means that it was stopped on purpose.
func (k *keeper) once(ctx context.Context, restarts int) (pause time.Duration, err error) {
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
	say := func(state State, note string) {
		k.report(Report{Component: k.name, State: state, PID: command.Process.Pid, Restarts: restarts, Note: note})
	}
	say(Starting, "")
	var outcome error
	ended := make(chan struct{})
	go func() { defer close(ended); outcome = command.Wait() }()

	waiting, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not ready after %v", patience))
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- await(waiting, k.ready) }()
	for {
		select {
		case err := <-ready:
			ready = nil
			if err != nil {
				command.Process.Kill() //nolint:errcheck,gosec // it may have ended meanwhile
				<-ended                //nolint:errcheck // killed: how it ended is no news
				return 0, err
			}
			say(Ready, "")
			k.markUp()
		case order := <-k.stops:
			command.Process.Kill() //nolint:errcheck,gosec // as above
			<-ended                //nolint:errcheck // killed: how it ended is no news
			pause = max(time.Duration(order.Seconds*float64(time.Second)), time.Millisecond)
			k.report(Report{Component: k.name, State: Held, Restarts: restarts, Note: fmt.Sprintf("stopped on purpose for %v", pause)})
			return pause, nil
		case <-ended:
			if outcome == nil {
				outcome = errors.New("exit status 0")
			}
			say(Starting, "ended: "+outcome.Error())
			return 0, outcome
		}
	}
}

func (k *keeper) markUp() {
	select {
	case <-k.up:
	default:
		close(k.up)
	}
}
