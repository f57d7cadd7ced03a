package renderer

import (
	"bytes"
	"os"
	"strconv"
	"strings"
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

// peakMemory returns the largest resident size that this program has had, in bytes; 0 if that is not known. The maximum of getrusage(2) is not
// used, because a program inherits that of the process that started it.
func peakMemory() uint64 {
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if size, found := strings.CutPrefix(line, "VmHWM:"); found { // in KiB (proc(5))
			kib, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(size), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}
