//go:build unix

package git

import (
	"os/exec"
	"syscall"
)

// killGroup lets a command be cancelled together with its process group, because git starts other programs to reach a remote.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
