//go:build unix

package command

import (
	"os/exec"
	"syscall"
)

const (
	terminate = syscall.SIGTERM
	kill      = syscall.SIGKILL
)

// ownGroup gives a process a group of its own, which its children belong to.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// signalGroup sends a signal to a group, which may have ended.
func signalGroup(pid int, signal syscall.Signal) { _ = syscall.Kill(-pid, signal) }

// leftovers are the processes that a command has left running: its process group, and processes that left the group.
type leftovers struct {
	group   int // 0: none
	escaped []int
}

func (r leftovers) any() bool { return r.group != 0 || len(r.escaped) > 0 }

func (r leftovers) signal(signal syscall.Signal) {
	if r.group != 0 {
		signalGroup(r.group, signal)
	}
	for _, pid := range r.escaped {
		_ = syscall.Kill(pid, signal)
	}
}
