package helm

import (
	"context"
	"path"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/klog/v2"
)

// connection is one cluster and its API. All clients of the cluster share it, so that ten concurrent deploys discover the API
// once.
type connection struct {
	config *rest.Config

	turn chan struct{} // a semaphore of one: its element is taken during a discovery
	mu   sync.Mutex
	api  *clusterAPI
}

// clusterAPI is the version and the kinds that an apiserver serves. It is immutable.
type clusterAPI struct {
	capabilities *chartutil.Capabilities
	mapper       meta.RESTMapper
	discovery    discovery.CachedDiscoveryInterface
	warning      string // that some kinds could not be discovered, "" if all could
}

func newConnection(config *rest.Config) *connection {
	c := &connection{config: config, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// current returns the API as it was last discovered, nil before the first discovery.
func (c *connection) current() *clusterAPI {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.api
}

// apiNewerThan returns a cluster API other than stale: the current one if it is newer, or else a new discovery. It returns when
// ctx ends, even if another goroutine's discovery continues.
func (c *connection) apiNewerThan(ctx context.Context, stale *clusterAPI) (*clusterAPI, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if current := c.current(); current != stale {
		return current, nil
	}
	api, err := discover(ctx, c.config)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.api = api
	return api, nil
}

// discover asks a cluster for its version and its kinds. If an aggregated API is down, its kinds are missing.
func discover(ctx context.Context, config *rest.Config) (*clusterAPI, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	version, err := client.ServerVersionWithContext(ctx)
	if err != nil {
		return nil, err
	}
	cache := memory.NewMemCacheClient(client)
	cacheWithContext := discovery.ToCachedDiscoveryInterfaceWithContext(cache)
	silent := klog.NewContext(ctx, klog.Logger{}) // client-go logs the error, which is returned, to the process's stderr otherwise
	groups, resources, err := cacheWithContext.ServerGroupsAndResourcesWithContext(silent)
	api := &clusterAPI{discovery: cache}
	if discovery.IsGroupDiscoveryFailedError(err) {
		api.warning = "WARNING: " + failure.Sanitize(err.Error())
	} else if err != nil {
		return nil, err
	}
	served := map[string]bool{}
	for _, group := range groups {
		for _, version := range group.Versions {
			served[version.GroupVersion] = true
		}
	}
	for _, list := range resources {
		for _, resource := range list.APIResources {
			served[path.Join(list.GroupVersion, resource.Kind)] = true
		}
	}
	versions := make(chartutil.VersionSet, 0, len(served))
	for version := range served {
		versions = append(versions, version)
	}
	api.capabilities = &chartutil.Capabilities{APIVersions: versions, HelmVersion: chartutil.DefaultCapabilities.HelmVersion,
		KubeVersion: chartutil.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor}}
	mapped, err := restmapper.GetAPIGroupResourcesWithContext(ctx, cacheWithContext)
	if err != nil {
		return nil, err
	}
	api.mapper = restmapper.NewDiscoveryRESTMapper(mapped)
	return api, nil
}
