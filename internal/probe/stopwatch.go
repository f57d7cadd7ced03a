package probe

import (
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// stopwatch measures how long a request spends in each stage. The hooks of httptrace may run in other goroutines, and for
// a dial that lost its race (RFC 8305) even after the request ended.
type stopwatch struct {
	mu      sync.Mutex
	start   time.Time
	stage   release.Stage
	entered time.Time
	spent   map[release.Stage]float64
	stopped bool
}

func startStopwatch() *stopwatch {
	now := time.Now()
	return &stopwatch{start: now, entered: now, stage: release.StageDNS, spent: map[release.Stage]float64{}}
}

// enter ends the current stage and starts another.
func (w *stopwatch) enter(stage release.Stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || stage == w.stage {
		return
	}
	w.addElapsed()
	w.stage = stage
}

// addElapsed adds the time since the current stage was entered.
func (w *stopwatch) addElapsed() {
	now := time.Now()
	w.spent[w.stage] += now.Sub(w.entered).Seconds()
	w.entered = now
}

// stop returns the stage that was reached, the total time, and the seconds spent in each stage. A redirect adds to the same
// sums.
func (w *stopwatch) stop() (release.Stage, time.Duration, map[release.Stage]float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addElapsed()
	w.stopped = true
	return w.stage, w.entered.Sub(w.start), w.spent
}

// trace returns the httptrace hooks that change the stage.
func (w *stopwatch) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:           func(string) { w.enter(release.StageDNS) },
		ConnectStart:      func(string, string) { w.enter(release.StageConnect) },
		TLSHandshakeStart: func() { w.enter(release.StageTLS) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				w.enter(release.StageHTTP)
			}
		},
		GotConn: func(httptrace.GotConnInfo) { w.enter(release.StageHTTP) },
	}
}
