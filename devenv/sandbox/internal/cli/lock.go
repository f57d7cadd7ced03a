package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// lockSandbox waits until no other up or down works on the sandbox; the returned function unlocks it. The lock is a socket in
// Linux's abstract namespace (unix(7)): it leaves no file, and disappears with its process.
func lockSandbox(c *cobra.Command, dir place.Dir) (end func(), err error) {
	announced := false
	for {
		turn, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: "@" + dir.Name()})
		if err == nil {
			return func() { turn.Close() }, nil //nolint:errcheck,gosec // nothing is ever sent
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("locking %q: %w", dir, err)
		}
		if !announced {
			announced = true
			c.PrintErrln("waiting for another sandbox up or down in", dir)
		}
		select {
		case <-c.Context().Done():
			return nil, context.Cause(c.Context())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
