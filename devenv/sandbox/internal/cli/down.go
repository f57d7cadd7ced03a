package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/teardown"
)

func down() *cobra.Command {
	c := &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster and remove everything it put on the machine",
		Long: `Stop the cluster and remove everything it put on the machine: processes, mounts, namespaces, cgroups, files. It works
after a crash and during up, and does nothing where there is no sandbox. A cluster that up used by --kubeconfig is not
changed. Packages that up installed, and binaries that it built, stay.`,
		Example: "  sandbox down",
	}
	dir := dirFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		unlock, err := lockSandbox(c, d)
		if err != nil {
			return err
		}
		defer unlock()
		left, err := teardown.Leftovers(d)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			c.Println("no sandbox in", d)
			return nil
		}
		if err := requireRoot(); err != nil {
			return err
		}
		started := time.Now()
		// Not interruptible: an interrupt would leave parts of the sandbox behind.
		if err := removeSandbox(c, d); err != nil {
			return err
		}
		c.Printf("down in %.1f s\n", time.Since(started).Seconds())
		return nil
	}
	return c
}

// removeSandbox removes a sandbox, and fails if anything is left.
func removeSandbox(c *cobra.Command, dir place.Dir) error {
	ctx := contextWithoutCancel(c)
	settings, err := dir.Load()
	if err == nil && settings.Kind != "" {
		if err := deleteKind(ctx, settings); err != nil {
			return err
		}
	}
	if err := teardown.Down(ctx, dir); err != nil {
		return err
	}
	left, err := teardown.Leftovers(dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind:\n  %s", strings.Join(left, "\n  "))
	}
	return nil
}
