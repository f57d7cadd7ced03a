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

// takeTurn waits until no other up or down works on the sandbox; the function it returns ends the turn. A socket in
// Linux's abstract namespace (unix(7)) holds it: it leaves no file, and goes with its process however that ends.
func takeTurn(c *cobra.Command, dir place.Dir) (end func(), err error) {
	told := false
	for {
		turn, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: "@" + dir.Name()})
		if err == nil {
			return func() { turn.Close() }, nil //nolint:errcheck,gosec // nothing is ever sent
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("taking the turn for %q: %w", dir, err)
		}
		if !told {
			told = true
			c.PrintErrln("waiting for another sandbox up or down in", dir)
		}
		select {
		case <-c.Context().Done():
			return nil, context.Cause(c.Context())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
