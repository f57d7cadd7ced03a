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

type leftovers struct{}

func remaining(int, string) leftovers { return leftovers{} }

func (leftovers) any() bool { return false }

func (leftovers) signal(int) {}
