package helm

import (
	"context"
	"path"
	"sync"

	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// connection is one cluster, and what is known of it: shared by all clients of it, so that ten deploys at once ask for the
// cluster's kinds once.
type connection struct {
	config *rest.Config

	turn  chan struct{} // holds one: who has it may ask
	mu    sync.Mutex
	known *knowledge
}

// knowledge is what an apiserver says of itself. It does not change; newer knowledge replaces it.
type knowledge struct {
	capabilities *chartutil.Capabilities
	mapper       meta.RESTMapper
	discovery    discovery.CachedDiscoveryInterface
	warning      string // that some of the kinds could not be asked for, "" if all could
}

func newConnection(config *rest.Config) *connection {
	c := &connection{config: config, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

func (c *connection) current() *knowledge {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// know is what is known of the cluster, asked for now if stale is what is known so far. A context that ends stops only its
// own waiting.
func (c *connection) know(ctx context.Context, stale *knowledge) (*knowledge, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if known := c.current(); known != stale {
		return known, nil
	}
	known, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = known
	return known, nil
}

func (c *connection) ask(ctx context.Context) (*knowledge, error) {
	client, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return nil, err
	}
	version, err := client.ServerVersionWithContext(ctx)
	if err != nil {
		return nil, err
	}
	cached := memory.NewMemCacheClient(client)
	kept := discovery.ToCachedDiscoveryInterfaceWithContext(cached)
	groups, resources, err := kept.ServerGroupsAndResourcesWithContext(ctx)
	known := &knowledge{discovery: cached}
	if discovery.IsGroupDiscoveryFailedError(err) { // one aggregated API is down: its kinds are missing, the others are there
		known.warning = "WARNING: " + told(err.Error())
	} else if err != nil {
		return nil, err
	}
	byVersion := map[string]bool{}
	for _, group := range groups {
		for _, version := range group.Versions {
			byVersion[version.GroupVersion] = true
		}
	}
	for _, list := range resources {
		for _, resource := range list.APIResources {
			byVersion[path.Join(list.GroupVersion, resource.Kind)] = true
		}
	}
	versions := make(chartutil.VersionSet, 0, len(byVersion))
	for version := range byVersion {
		versions = append(versions, version)
	}
	known.capabilities = &chartutil.Capabilities{APIVersions: versions, HelmVersion: chartutil.DefaultCapabilities.HelmVersion,
		KubeVersion: chartutil.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor}}
	mapped, err := restmapper.GetAPIGroupResourcesWithContext(ctx, kept)
	if err != nil {
		return nil, err
	}
	known.mapper = restmapper.NewDiscoveryRESTMapper(mapped)
	return known, nil
}
