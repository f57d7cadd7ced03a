package app

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/lease"
	"github.com/onedigest/onedigest/internal/setting"
	"k8s.io/client-go/rest"
)

// connect finds out how to reach the cluster: by its name in EKS, or by a kubeconfig.
func connect(ctx context.Context, desk *desk, place setting.ClusterRef) (*kube.Client, *rest.Config, error) {
	config, err := configure(ctx, desk, place)
	if err != nil {
		return nil, nil, err
	}
	client, err := kube.New(config)
	return client, config, err
}

func configure(ctx context.Context, desk *desk, place setting.ClusterRef) (*rest.Config, error) {
	if place.Cluster != "" {
		return configureEKS(ctx, desk, place)
	}
	kubeconfig := place.Kubeconfig
	if kubeconfig != "" && !filepath.IsAbs(kubeconfig) && !strings.ContainsRune(kubeconfig, filepath.ListSeparator) {
		kubeconfig = filepath.Join(desk.process.Dir, kubeconfig)
	}
	return kube.Connect(kube.Access{Kubeconfig: kubeconfig, Context: place.Context, Home: desk.process.Getenv("HOME")})
}

// clusters are the ways to the clusters of one run: one connection and one discovery cache to each, however many releases
// are deployed there.
type clusters struct {
	desk    *desk
	mu      sync.Mutex
	reached map[setting.ClusterRef]reached
}

// deployCluster is what a deploy needs of its cluster.
type deployCluster struct {
	*kube.Client
	*lease.Leases
}

type reached struct {
	cluster deployCluster
	helm    *helm.Client
}

func newClusters(desk *desk) *clusters {
	return &clusters{desk: desk, reached: map[setting.ClusterRef]reached{}}
}

// reach reads how to reach the cluster of a deploy.
func (c *clusters) reach(ctx context.Context, settings deploy.Settings) (reached, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, found := c.reached[settings.ClusterRef]; found {
		return known, nil
	}
	client, config, err := connect(ctx, c.desk, settings.ClusterRef)
	if err != nil {
		return reached{}, err
	}
	leases, err := lease.NewForConfig(config)
	if err != nil {
		return reached{}, err
	}
	chart, err := helm.New(config, settings.Namespace, func(line string) { c.desk.account.Raw(line) })
	if err != nil {
		return reached{}, err
	}
	c.reached[settings.ClusterRef] = reached{deployCluster{client, leases}, chart}
	return c.reached[settings.ClusterRef], nil
}

func newBuilders(desk *desk) *image.Builders {
	return image.New(image.Options{Environ: desk.process.Environ, Log: func(line string) { desk.account.Raw(line) }})
}
