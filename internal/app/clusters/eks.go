package clusters

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/roles"
	"github.com/onedigest/onedigest/internal/eks"
	"github.com/onedigest/onedigest/internal/kube/kubeconfig"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"k8s.io/client-go/rest"
)

// configureEKS finds an EKS cluster by its name and makes tokens for it as they are needed. Credentials of another account
// than the one expected are refused before anything is sent to the cluster.
func configureEKS(ctx context.Context, run *app.RunContext, ref setting.ClusterRef) (*rest.Config, error) {
	role, err := roles.Credentials(ctx, run)
	if err != nil {
		return nil, err
	}
	cloud, err := eks.New(ctx, eks.Options{Environ: run.Process.Getenv, Credentials: role, Region: ref.Region, Secrets: run.Secrets, WorkTree: run.WorkTree()})
	if err != nil {
		return nil, err
	}
	if ref.Account != "" {
		caller, err := cloud.Caller(ctx)
		if err != nil {
			return nil, err
		}
		if err := caller.CheckAccount(ref.Account); err != nil {
			return nil, err
		}
	}
	found, err := cloud.Cluster(ctx, ref.Cluster)
	if err != nil {
		return nil, err
	}
	if ref.Account != "" && found.Account != ref.Account {
		return nil, &release.Refusal{Why: fmt.Sprintf("EKS cluster %s is in account %s, not in %s", found.ARN, found.Account, ref.Account),
			Do: "check --cluster, or correct --expect-account"}
	}
	run.Reporter.Infof("EKS cluster %s at %s", found.ARN, found.Endpoint)
	return kubeconfig.Bearer(found.Endpoint, found.CA, func(ctx context.Context) (string, time.Time, error) {
		token, expires, err := cloud.Token(ctx, ref.Cluster)
		run.Mask(token)
		return token, expires, err
	}), nil
}

// Caller returns who the run's AWS credentials are.
func Caller(ctx context.Context, run *app.RunContext, region string) (release.Caller, error) {
	role, err := roles.Credentials(ctx, run)
	if err != nil {
		return release.Caller{}, err
	}
	cloud, err := eks.New(ctx, eks.Options{Environ: run.Process.Getenv, Credentials: role, Region: region, Secrets: run.Secrets, WorkTree: run.WorkTree()})
	if err != nil {
		return release.Caller{}, err
	}
	return cloud.Caller(ctx)
}
