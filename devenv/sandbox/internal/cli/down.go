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
after a crash and half-way through up, and finds nothing to do where there is no sandbox. A cluster that was given to up
by --kubeconfig is left alone. Packages that up installed, and the binaries it built, stay.`,
		Example: "  sandbox down",
	}
	dir := dirFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		endTurn, err := takeTurn(c, d)
		if err != nil {
			return err
		}
		defer endTurn()
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
		began := time.Now()
		// An interrupt half-way would only leave more to do.
		if err := takeDown(c, d); err != nil {
			return err
		}
		c.Printf("down in %.1f s\n", time.Since(began).Seconds())
		return nil
	}
	return c
}

// takeDown removes a sandbox, and fails if anything is left.
func takeDown(c *cobra.Command, dir place.Dir) error {
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
