// Package clusters connects the verbs to a cluster: by a kubeconfig, or by its name in EKS.
package clusters

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/kubeconfig"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"k8s.io/client-go/rest"
)

// Connect returns a client of the cluster, and the configuration that it was made from.
func Connect(ctx context.Context, run *app.RunContext, ref setting.ClusterRef) (*kube.Client, *rest.Config, error) {
	config, err := configure(ctx, run, ref)
	if err != nil {
		return nil, nil, err
	}
	kubeconfig.CollectSecrets(config, run.Secrets)
	client, err := kube.New(config)
	return client, config, err
}

// Name names a cluster in what is recorded: by EKS's name, or by the host of its API server, with the path of its address.
func Name(ref setting.ClusterRef, server string) string {
	if ref.Cluster != "" {
		return ref.Cluster
	}
	return hostOf(server)
}

// Target names a release in what is recorded, without secrets. server is the address of the API server.
func Target(run *app.RunContext, ref setting.ClusterRef, server, namespace, name string) release.Target {
	if ref.Cluster == "" {
		return release.Target{Cluster: serverName(run, server), Namespace: namespace, Release: name}
	}
	return release.Target{Cluster: run.Secrets.Pseudonym(ref.Cluster), Server: serverName(run, server), Namespace: namespace, Release: name}
}

// serverName names an API server in a record. A secret name is hashed in the spelling that it has, which alone is known to be the secret's.
func serverName(run *app.RunContext, server string) string {
	host := hostOf(server)
	if pseudonym := run.Secrets.Pseudonym(host); pseudonym != host {
		return pseudonym
	}
	return run.Secrets.Pseudonym(release.ServerName(host))
}

// hostOf returns the host of an address, with its port and its path if it has them: one host may serve several clusters by their paths.
func hostOf(server string) string {
	if parsed, err := url.Parse(server); err == nil && parsed.Host != "" {
		return parsed.Host + strings.TrimRight(parsed.Path, "/")
	}
	return server
}

// configure returns the configuration for a cluster of EKS or of a kubeconfig.
func configure(ctx context.Context, run *app.RunContext, ref setting.ClusterRef) (*rest.Config, error) {
	if ref.Cluster != "" {
		return configureEKS(ctx, run, ref)
	}
	file := ref.Kubeconfig
	if file != "" && !filepath.IsAbs(file) && !strings.ContainsRune(file, filepath.ListSeparator) {
		file = filepath.Join(run.Process.Dir, file)
	}
	access := kubeconfig.Access{Kubeconfig: file, Context: ref.Context, Home: run.Process.Getenv("HOME"), Secrets: run.Secrets}
	if !ref.AllowWorkTree {
		access.WorkTree = kubeconfig.WorkTree(run.WorkTree())
	}
	return kubeconfig.Load(access)
}
