// Command ecrlogin is a kubelet credential provider that asks Amazon ECR for the password of a registry: what
// ecr-credential-provider does on EKS. It reads a CredentialProviderRequest on standard input and writes a
// CredentialProviderResponse on standard output (kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/provider"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ecrlogin:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to release
	}
}

func run(ctx context.Context) error {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("reading the AWS settings: %w", err)
	}
	return provider.Answer(ctx, ecr.NewFromConfig(settings), os.Stdin, os.Stdout)
}
