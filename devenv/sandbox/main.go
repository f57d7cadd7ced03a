// Command sandbox is a real one-node Kubernetes cluster for a machine without Docker.
package main

import (
	"os"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
