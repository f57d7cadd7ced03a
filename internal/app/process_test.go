package app

import (
	"runtime/debug"
	"testing"
)

// TestGarbageIsCollectedMoreOften, but not if the environment says how often. It is not parallel: the setting is the process's.
func TestGarbageIsCollectedMoreOften(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	collectMoreOften(Process{Environ: []string{"GOGC=200"}})
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("got %d, although the environment has set it", got)
	}
	collectMoreOften(Process{})
	if got := debug.SetGCPercent(100); got != garbagePercent {
		t.Errorf("got %d, want %d", got, garbagePercent)
	}
}
