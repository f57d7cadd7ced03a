// Package status wires the status verb: the clusters with Helm's records, and the registry with its evidence.
package status

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/argocd"
	"github.com/onedigest/onedigest/internal/kube/lease"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/status"
	"github.com/onedigest/onedigest/internal/text"
)

// Command returns the status verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[status.Settings, status.Result]{
		Verb: status.Verb, Declare: (*status.Settings).Declare, Run: Run,
		Outputs: func(r status.Result) map[string]string {
			return map[string]string{"status": app.JSONOf(r.Releases)}
		},
		Page: Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *status.Settings, run *app.RunContext) (status.Result, error) {
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return status.Result{}, err
	}
	rules, err := gates.Load(run, settings.Policy)
	if err != nil {
		return status.Result{}, err
	}
	gate, err := gates.New(run, registry, rules, settings.VerifyKeys, nil)
	if err != nil {
		return status.Result{}, err
	}
	connections := newConnections(ctx, settings.Timeout, func(ctx context.Context, ref setting.ClusterRef) (status.Cluster, error) {
		return newCluster(ctx, run, ref)
	})
	defer connections.close()
	deps := status.Deps{Connect: connections.connect, Registry: registry, Evidence: gate, Policy: rules,
		Reporter: run.Reporter, Now: run.Process.Now}
	if !settings.ClusterOnly {
		if deps.Keys, err = gate.Named(ctx); err != nil {
			return status.Result{}, err
		}
	}
	if settings.Matrix != "" {
		if deps.Matrix, err = run.Workspace().Read("matrix", settings.Matrix, "name a YAML file (docs/matrix.md)"); err != nil {
			return status.Result{}, err
		}
	}
	result, err := status.Run(ctx, *settings, deps)
	for _, line := range result.Table() {
		run.Reporter.Infof("%s", line)
	}
	return result, err
}

// connections has one connection for each cluster, however many releases it has.
type connections struct {
	make  func(ref setting.ClusterRef) (status.Cluster, error) // within the time of the run, not of the release that needs it first
	end   context.CancelFunc                                   // ends the attempts
	tries sync.WaitGroup

	mu    sync.Mutex
	known map[setting.ClusterRef]*connection
}

type connection struct {
	made    chan struct{} // closed when the rest is set
	cluster status.Cluster
	err     error
}

// newConnections returns connections that are made in the context of a run, each within a time limit. The caller closes them.
func newConnections(run context.Context, limit time.Duration, connect func(context.Context, setting.ClusterRef) (status.Cluster, error)) *connections {
	run, end := context.WithCancel(run)
	return &connections{end: end, known: map[setting.ClusterRef]*connection{}, make: func(ref setting.ClusterRef) (status.Cluster, error) {
		ctx, cancel := context.WithTimeoutCause(run, limit, &release.Fault{Side: "cluster", Err: fmt.Errorf("connecting to it took longer than %s", text.Duration(limit)), Do: "try again, or give a longer --timeout"})
		defer cancel()
		cluster, err := connect(ctx, ref)
		if err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return cluster, err
	}}
}

// close ends the attempts that nobody waits for any more.
func (c *connections) close() {
	c.end()
	c.tries.Wait()
}

// connect connects to a cluster once, and waits for that until ctx ends. Others are connected to meanwhile. A release that waits no longer does not end the attempt for the others; an
// attempt that failed is made again for a release that asks later.
func (c *connections) connect(ctx context.Context, ref setting.ClusterRef) (status.Cluster, error) {
	c.mu.Lock()
	found := c.known[ref]
	if found == nil {
		found = &connection{made: make(chan struct{})}
		c.known[ref] = found
		c.tries.Go(func() {
			defer close(found.made)
			if found.cluster, found.err = c.make(ref); found.err != nil {
				c.mu.Lock()
				delete(c.known, ref)
				c.mu.Unlock()
			}
		})
	}
	c.mu.Unlock()
	select {
	case <-found.made:
		return found.cluster, found.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// cluster implements status.Cluster.
type cluster struct {
	*kube.Client
	*lease.Leases
	helm   *helm.Client
	target func(namespace, name string) release.Target
}

// Target names a release as records do.
func (c cluster) Target(namespace, name string) release.Target { return c.target(namespace, name) }

func newCluster(ctx context.Context, run *app.RunContext, ref setting.ClusterRef) (cluster, error) {
	client, config, err := clusters.Connect(ctx, run, ref)
	if err != nil {
		return cluster{}, err
	}
	leases, err := lease.NewForConfig(config)
	if err != nil {
		return cluster{}, err
	}
	revisions, err := helm.New(config, "default", run.Reporter.Raw)
	if err != nil {
		return cluster{}, err
	}
	return cluster{client, leases, revisions.Collecting(run.Secrets), func(namespace, name string) release.Target {
		return clusters.Target(run, ref, client.Host, namespace, name)
	}}, nil
}

func (c cluster) ByArgoCD(ctx context.Context, namespace, name string) (release.ByArgoCD, error) {
	return argocd.Release(ctx, c.Client, namespace, name)
}

func (cluster) Rules() []release.Permission { return kube.StatusPermissions }

func (c cluster) Revisions(ctx context.Context, namespace, name string) ([]release.Revision, error) {
	return c.helm.In(namespace).History(ctx, name)
}
