package renderer

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// limitMemory lets this process have some more bytes of memory than it has. The limit catches what grows faster than the watch looks.
// It is left out if it cannot be set.
func limitMemory(more uint64) {
	content, err := os.ReadFile("/proc/self/statm") // size resident shared text lib data dt, in pages (proc(5))
	fields := bytes.Fields(content)
	if err != nil || len(fields) < 6 {
		return
	}
	pages, err := strconv.ParseUint(string(fields[5]), 10, 64)
	if err != nil {
		return
	}
	limit := pages*uint64(os.Getpagesize()) + more //nolint:gosec // a page size
	_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: limit, Max: limit})
}
