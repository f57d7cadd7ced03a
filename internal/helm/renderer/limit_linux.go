package renderer

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// limitMemory limits how much more memory this process may use. It catches growth between two measurements of the heap. It does
// nothing if the limit cannot be set.
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
	limit := pages*uint64(os.Getpagesize()) + more // #nosec G115 -- a page size
	_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: limit, Max: limit})
}
