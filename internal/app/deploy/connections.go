package deploy

import (
	"context"
	"net/url"
	"sync"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/helm/renderer"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/lease"
	"github.com/onedigest/onedigest/internal/kube/rollout"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// connections are those of one run: one connection and one discovery cache for each cluster, however many releases are
// deployed there.
type connections struct {
	run       *app.RunContext
	mu        sync.Mutex
	byCluster map[setting.ClusterRef]connection
}

type connection struct {
	cluster cluster
	helm    *helm.Client
}

func newConnections(run *app.RunContext) *connections {
	return &connections{run: run, byCluster: map[setting.ClusterRef]connection{}}
}

// cluster is what a deploy needs of its cluster.
type cluster struct {
	*kube.Client
	*lease.Leases
	*rollout.Watcher
	secrets *text.Secrets
}

// Address waits for the release's external address, which is not a secret, although a value or an environment variable may be equal to
// its host.
func (c cluster) Address(ctx context.Context, namespace, name string, address release.Address, report func(string)) (string, error) {
	found, err := c.Client.Address(ctx, namespace, name, release.Image{}, address, report)
	if parsed, parseErr := url.Parse(found); err == nil && parseErr == nil {
		c.secrets.MarkPublic(found, parsed.Host, parsed.Hostname())
	}
	return found, err
}

// connect connects to the cluster that the settings name.
func (c *connections) connect(ctx context.Context, settings deploy.Settings) (connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if existing, found := c.byCluster[settings.ClusterRef]; found {
		return existing, nil
	}
	charts := renderer.Renderer{Command: c.run.Process.Child}
	if !settings.Heal && !settings.RollbackFailedSmoke { // these render nothing
		charts = charts.StartEarly(ctx)
	}
	client, config, err := clusters.Connect(ctx, c.run, settings.ClusterRef)
	if err != nil {
		return connection{}, err
	}
	watcher, err := rollout.New(client)
	if err != nil {
		return connection{}, err
	}
	leases, err := lease.NewForConfig(config)
	if err != nil {
		return connection{}, err
	}
	chart, err := helm.New(config, settings.Namespace, c.run.Reporter.Raw)
	if err != nil {
		return connection{}, err
	}
	chart = chart.Collecting(c.run.Secrets)
	chart.RenderWith(charts)
	c.byCluster[settings.ClusterRef] = connection{cluster{client, leases, watcher, c.run.Secrets}, chart}
	return c.byCluster[settings.ClusterRef], nil
}
