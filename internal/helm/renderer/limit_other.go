//go:build !linux

package renderer

// limitMemory does nothing: the watch alone ends a process that needs too much.
func limitMemory(uint64) {}
