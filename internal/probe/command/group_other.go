//go:build !unix

package command

import (
	"os"
	"os/exec"
)

const (
	terminate = iota
	kill
)

// ownGroup does nothing: there are no process groups.
func ownGroup(*exec.Cmd) {}

// signalGroup ends the process alone.
func signalGroup(pid, _ int) {
	if process, err := os.FindProcess(pid); err == nil {
		_ = process.Kill()
	}
}

type remains struct{}

func remaining(int, string) remains { return remains{} }

func (remains) any() bool { return false }

func (remains) signal(int) {}
