package command

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// startTime returns the machine's boot id and the process's start in ticks since boot. Together with the process id that is
// unique. A process that has ended and is not yet reaped counts as absent.
// Source: proc_pid_stat(5), fields 3 (state) and 22 (starttime).
func startTime(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name, field 2, is in parentheses and may contain anything; the fields after it start with the state.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("reading /proc/%d/stat: %d fields", pid, len(fields))
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", os.ErrProcessDone
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(boot)) + " " + fields[19], nil
}
