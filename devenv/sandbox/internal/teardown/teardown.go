package teardown

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/cgroups"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
)

// killTimeout is how long the processes of a sandbox may take to end after they were killed.
const killTimeout = 20 * time.Second

// Down ends a sandbox and removes what it put on the machine. It needs no supervisor, and does nothing where there is no sandbox.
func Down(ctx context.Context, dir place.Dir) error {
	group, err := cgroups.Named(dir.Name())
	if err != nil {
		return err
	}
	if err := endSupervisor(ctx, dir); err != nil {
		return err
	}
	if err := group.Remove(killTimeout); err != nil {
		return err
	}
	if err := killUngrouped(dir); err != nil {
		return err
	}
	if err := unmount(dir); err != nil {
		return err
	}
	if !dir.Marked() {
		return nil
	}
	if err := os.RemoveAll(string(dir)); err != nil {
		return fmt.Errorf("removing %q: %w", dir, err)
	}
	return nil
}

// endSupervisor asks the supervisor to end, and waits; one that does not answer is killed later.
func endSupervisor(ctx context.Context, dir place.Dir) error {
	if !dir.Marked() {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := supervisor.NewClient(dir).Shutdown(ask); err != nil {
		return nil //nolint:nilerr // there is none, or it hangs: both are dealt with
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if lock, err := supervisor.Lock(dir); err == nil {
			return lock.Close()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// killUngrouped kills the sandbox's processes that are not in its cgroup.
func killUngrouped(dir place.Dir) error {
	for deadline := time.Now().Add(killTimeout); ; time.Sleep(10 * time.Millisecond) {
		ungrouped := processesOf(dir)
		if len(ungrouped) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not end", ungrouped)
		}
		for _, pid := range ungrouped {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck,gosec // it may have ended meanwhile
		}
	}
}

// unmount unmounts what is mounted below the sandbox's directory, innermost first, so that removing the directory deletes no mounted
// files. Usually that is nothing: the node mounts in a mount namespace of its own. A run that shared the machine's namespace leaves
// mounts here.
func unmount(dir place.Dir) error {
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i], unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: no longer a mount point
			return fmt.Errorf("unmounting %q: %w", mounts[i], err)
		}
	}
	return nil
}
