package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func kubeconfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the cluster's kubeconfig, or with --content what is in it",
		Example: `  export KUBECONFIG=$(sandbox kubeconfig)
  sandbox kubeconfig --content > copy`,
	}
	dir := dirFlag(c)
	content := c.Flags().Bool("content", false, "print the file itself; it holds the administrator's key")
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		settings, err := d.Load()
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no sandbox in %q: run sandbox up", d)
		}
		if err != nil {
			return err
		}
		path := settings.Kubeconfig
		if path == "" {
			path = d.Kubeconfig()
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading the kubeconfig: %w", err)
		}
		if !*content {
			text = []byte(path + "\n")
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}
