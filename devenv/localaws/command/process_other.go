//go:build unix && !linux

package command

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// startTime returns a process's start in the format of ps.
// Source: POSIX.1-2024, ps; lstart is common to the BSDs and macOS.
func startTime(pid int) (string, error) {
	text, err := exec.CommandContext(context.Background(), "ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output() // #nosec G204 -- a number
	started := strings.TrimSpace(string(text))
	if err != nil || started == "" {
		return "", os.ErrProcessDone
	}
	return started, nil
}
