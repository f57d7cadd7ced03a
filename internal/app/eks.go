package app

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/eks"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"k8s.io/client-go/rest"
)

// configureEKS finds an EKS cluster by its name and makes tokens for it as they are needed. The account is held to what is
// expected before the cluster is asked for anything.
func configureEKS(ctx context.Context, desk *desk, place setting.ClusterRef) (*rest.Config, error) {
	cloud, err := eks.New(ctx, eks.Options{Environ: desk.process.Getenv, Region: place.Region})
	if err != nil {
		return nil, err
	}
	if place.Account != "" {
		caller, err := cloud.Caller(ctx)
		if err != nil {
			return nil, err
		}
		if err := caller.CheckAccount(place.Account); err != nil {
			return nil, err
		}
	}
	found, err := cloud.Cluster(ctx, place.Cluster)
	if err != nil {
		return nil, err
	}
	if place.Account != "" && found.Account != place.Account {
		return nil, &release.Refusal{Why: fmt.Sprintf("EKS cluster %s is in account %s, not in %s", found.ARN, found.Account, place.Account),
			Do: "name the cluster that is meant, or correct --expect-account (INPUT_EXPECT_ACCOUNT)"}
	}
	desk.account.Infof("EKS cluster %s at %s", found.ARN, found.Endpoint)
	return kube.Bearer(found.Endpoint, found.CA, func(ctx context.Context) (string, time.Time, error) {
		return cloud.Token(ctx, place.Cluster)
	}), nil
}
