package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/cgroups"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// Init is the first process of the node's PID namespace: it starts the node, inherits the orphans and reaps them. It
// returns when the node ends.
func Init(dir place.Dir) error {
	group, err := cgroups.Named(dir.Name())
	if err != nil {
		return err
	}
	if err := group.Join("node"); err != nil {
		return err
	}
	if err := mountOwn(); err != nil {
		return err
	}
	node := exec.Command("/proc/self/exe", "node", "--dir", string(dir)) //nolint:gosec // this very program
	node.Args[0] = "sandbox"
	node.Stdin, node.Stdout, node.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := node.Start(); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("reaping: %w", err)
		case pid == node.Process.Pid && status.ExitStatus() != 0:
			return fmt.Errorf("the node ended: exit status %d, signal %d", status.ExitStatus(), status.Signal())
		case pid == node.Process.Pid:
			return nil
		}
	}
}
