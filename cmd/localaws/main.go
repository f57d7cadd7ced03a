// Command localaws runs a local fake of AWS: ECR, EKS, STS and a container registry with ECR's rules.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/onedigest/onedigest/devenv/localaws/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command.Run(ctx, command.Process{
		Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Executable: os.Executable,
	})
	stop()
	os.Exit(code)
}
