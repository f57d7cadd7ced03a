// Package cli is the command line of the sandbox.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
)

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// Main runs the command line and returns its exit status: 0 done, 1 failed, 2 bad input.
func Main(arguments []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := command(out, errs)
	root.SetArgs(arguments)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(errs, "sandbox:", err) //nolint:errcheck // there is nowhere else to report it
	if usage := (usageError{}); errors.As(err, &usage) {
		return 2
	}
	return 1
}

func command(out, errs io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "sandbox",
		Short: "A real one-node Kubernetes cluster for a machine without Docker",
		Long: `A real one-node Kubernetes cluster for a machine without Docker: API server, controllers, scheduler, kubelet,
kube-proxy and etcd built from their Go modules, containers by containerd and runc.

The node runs in its own namespaces, without a network connection to other machines: the host reaches the API server and
LoadBalancer Services on loopback addresses, and pods pull images from the registries that you name.`,
		Example: `  sandbox up
  export KUBECONFIG=$(sandbox kubeconfig)
  sandbox status
  sandbox down`,
		SilenceErrors: true, SilenceUsage: true,
		Args: asUsageErrors(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(out)
	root.SetErr(errs)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	for _, verb := range []*cobra.Command{up(), down(), status(), kubeconfig(), fault(), serve(), inside("init"), inside("node")} {
		verb.Args = asUsageErrors(verb.Args)
		root.AddCommand(verb)
	}
	return root
}

// asUsageErrors makes wrong positional arguments usage errors; without a rule, a command accepts none.
func asUsageErrors(rule cobra.PositionalArgs) cobra.PositionalArgs {
	if rule == nil {
		rule = cobra.NoArgs
	}
	return func(c *cobra.Command, arguments []string) error {
		if err := rule(c, arguments); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// dirFlag adds --dir; the returned function returns the directory after flags are parsed.
func dirFlag(c *cobra.Command) func() (place.Dir, error) {
	path := c.Flags().String("dir", place.Default, "the sandbox's directory; another directory is another sandbox")
	return func() (place.Dir, error) {
		dir, err := place.At(*path)
		if err != nil {
			return "", usageError{fmt.Errorf("--dir: %w", err)}
		}
		return dir, nil
	}
}

// serve runs the supervisor; up starts it.
func serve() *cobra.Command {
	c := &cobra.Command{Use: "serve", Hidden: true, Short: "Run the sandbox; up starts this"}
	dir := dirFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		return supervisor.Run(c.Context(), d, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
	}
	return c
}

// inside returns the hidden command of one of the two processes, init and node, that the supervisor starts in the node's namespaces.
func inside(name string) *cobra.Command {
	c := &cobra.Command{Use: name, Hidden: true, Short: "Part of the node; serve starts this"}
	dir := dirFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		if name == "init" {
			return node.Init(d)
		}
		return node.Run(c.Context(), d, os.Stdin, os.Stdout)
	}
	return c
}
