package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/teardown"
)

func status() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the cluster's components and addresses; exit 1 unless it is ready",
		Example: `  sandbox status
  sandbox status --output json | jq -r '.components[] | select(.name == "kubelet").pid'`,
	}
	dir := dirFlag(c)
	output := c.Flags().StringP("output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		if *output != "table" && *output != "json" {
			return usageError{fmt.Errorf("--output: %q is neither table nor json", *output)}
		}
		now, err := readStatus(c.Context(), d)
		if err != nil {
			return err
		}
		if *output == "json" {
			encoder := json.NewEncoder(c.OutOrStdout())
			encoder.SetIndent("", "  ")
			err = encoder.Encode(now)
		} else {
			err = table(c, now)
		}
		if err != nil {
			return err
		}
		if now.Phase != supervisor.Ready {
			return fmt.Errorf("the sandbox is %s%s", now.Phase, reasonSuffix(now.Reason))
		}
		return nil
	}
	return c
}

// readStatus returns a sandbox's status, with or without a supervisor.
func readStatus(ctx context.Context, dir place.Dir) (supervisor.Status, error) {
	settings, err := dir.Load()
	if err == nil && settings.Provider == providerExisting {
		return readExisting(ctx, dir, settings), nil
	}
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, err := supervisor.NewClient(dir).Status(ask)
	if err == nil {
		return now, nil
	}
	left, err := teardown.Leftovers(dir)
	if err != nil {
		return supervisor.Status{}, err
	}
	now = supervisor.Status{Phase: supervisor.Stopped, Directory: string(dir), Leftovers: left}
	if len(left) > 0 {
		now.Reason = "its supervisor does not answer; sandbox down removes the leftovers"
	}
	return now, nil
}

func reasonSuffix(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func table(c *cobra.Command, now supervisor.Status) error {
	lines := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	row := func(columns ...string) { fmt.Fprintln(lines, strings.Join(columns, "\t")) } //nolint:errcheck // Flush reports
	row("sandbox", string(now.Phase), now.Directory)
	if now.Kubeconfig != "" {
		row("kubeconfig", now.Kubeconfig)
		row("server", now.Server)
		row("node", map[bool]string{true: "ready", false: "not ready"}[now.NodeReady])
	}
	for _, registry := range now.Registries {
		row("registry", registry)
	}
	if now.ECREndpoint != "" {
		row("ecr", now.ECREndpoint)
	}
	if len(now.Components) > 0 {
		row("")
		row("COMPONENT", "STATE", "PID", "SINCE", "RESTARTS", "NOTE")
	}
	for _, part := range now.Components {
		row(part.Name, string(part.State), strconv.Itoa(part.PID), fmt.Sprintf("%.0fs", part.Seconds), strconv.Itoa(part.Restarts), part.Note)
	}
	if len(now.Services) > 0 {
		row("")
		row("LOADBALANCER", "ADDRESS", "PODS")
	}
	for _, service := range now.Services {
		row(service.Service, service.Address, strings.Join(service.Backends, " "))
	}
	for _, left := range now.Leftovers {
		row("left", left)
	}
	return lines.Flush()
}
