// Package uninstall wires the uninstall verb: the cluster, its Leases and Helm.
package uninstall

import (
	"context"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/hooks"
	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/argocd"
	"github.com/onedigest/onedigest/internal/kube/lease"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/uninstall"
)

// Command returns the uninstall verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[uninstall.Settings, uninstall.Result]{
		Verb: uninstall.Verb, Declare: (*uninstall.Settings).Declare, Run: Run,
		Outputs: func(r uninstall.Result) map[string]string {
			return map[string]string{"outcome": string(r.Outcome), "stays": app.JSONOf(r.Kept)}
		},
		Page: Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *uninstall.Settings, run *app.RunContext) (uninstall.Result, error) {
	rules, err := gates.Load(run, settings.Policy)
	if err != nil {
		return uninstall.Result{}, err
	}
	client, config, err := clusters.Connect(ctx, run, settings.ClusterRef)
	if err != nil {
		return uninstall.Result{}, err
	}
	leases, err := lease.NewForConfig(config)
	if err != nil {
		return uninstall.Result{}, err
	}
	chart, err := helm.New(config, settings.Namespace, run.Reporter.Raw)
	if err != nil {
		return uninstall.Result{}, err
	}
	return uninstall.Run(ctx, *settings, uninstall.Deps{Cluster: cluster{client, leases}, Chart: releases{chart.Collecting(run.Secrets), helm.UninstallOptions{NoHooks: settings.NoHooks, Explain: hooks.Explain(client, settings.Namespace, run.Reporter)}}, Policy: rules, Ask: run.Process.Ask,
		Reporter: run.Reporter, Holder: run.Holder()})
}

// releases implements uninstall.Chart.
type releases struct {
	*helm.Client
	options helm.UninstallOptions
}

func (r releases) Uninstall(ctx context.Context, name string) error {
	return r.UninstallWith(ctx, name, r.options)
}

// cluster implements uninstall.Cluster.
type cluster struct {
	*kube.Client
	*lease.Leases
}

func (c cluster) ByArgoCD(ctx context.Context, namespace, name string) (release.ByArgoCD, error) {
	return argocd.Release(ctx, c.Client, namespace, name)
}

func (cluster) Rules() []release.Permission { return kube.UninstallPermissions }

func (cluster) NamespaceRule() release.Permission { return kube.DeleteNamespacePermission() }

func (c cluster) Namespace(ctx context.Context, namespace, name string) (uninstall.NamespaceUse, error) {
	use, err := c.UseOfNamespace(ctx, namespace, name)
	return uninstall.NamespaceUse(use), err
}
