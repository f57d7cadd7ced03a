package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
)

// fault kills a component on purpose, for tests of the cluster's clients.
func fault() *cobra.Command {
	c := &cobra.Command{
		Use:   "fault COMPONENT",
		Short: "Kill a component and start it again later",
		Long: `Kill a component and start it again later, to test clients. Without kube-apiserver connections are
refused and watches drop; without etcd the API server answers 500 and 503; without kubelet pods stay as they are.`,
		Example: "  sandbox fault kube-apiserver --for 20s",
		Args:    cobra.ExactArgs(1),
	}
	dir := dirFlag(c)
	pause := c.Flags().Duration("for", 5*time.Second, "how long, at most 1h")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		return supervisor.NewClient(d).Stop(c.Context(), node.Order{Stop: arguments[0], Seconds: pause.Seconds()})
	}
	return c
}
