//go:build !linux

package renderer

// limitMemory does nothing: the watch alone ends a process that needs too much.
func limitMemory(uint64) {}

// peakMemory returns 0: it is not known.
func peakMemory() uint64 { return 0 }
