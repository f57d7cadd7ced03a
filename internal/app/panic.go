package app

import (
	"fmt"
	"runtime/debug"

	"github.com/onedigest/onedigest/internal/release"
)

// recoverPanic makes a panic of a verb a fault, because the Go runtime would print its value past the sink.
func (r *RunContext) recoverPanic(code *int) {
	reason := recover()
	if reason == nil {
		return
	}
	r.log.println(r.log.clean(string(debug.Stack())))
	*code = r.fail(release.NewFault("onedigest", "report it with the lines above", fmt.Errorf("%v", reason), "running %s", r.verb))
}
