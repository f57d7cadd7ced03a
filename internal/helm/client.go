// Package helm renders, installs and upgrades releases. It is the only importer of helm.sh/helm/v3, and never uses
// Helm's own waiting: that polls every two seconds, gives no reason, and rolls back before the evidence is captured.
package helm

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// history bounds the revisions that a release keeps: Helm reads all of them at every upgrade.
const history = 10

// Client deploys into one namespace of one cluster.
type Client struct {
	access    *access
	namespace string
	log       func(line string)
}

// New makes a client. Nothing is sent. log is told what Helm says on the way; it may be nil.
func New(config *rest.Config, namespace string, log func(line string)) (*Client, error) {
	discoverer, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client for %q: %w", config.Host, err)
	}
	if log == nil {
		log = func(string) {}
	}
	cached := memory.NewMemCacheClient(discoverer)
	return &Client{access: &access{config: config, namespace: namespace, discovery: cached}, namespace: namespace, log: log}, nil
}

// configuration is what Helm's actions work with; the records of releases are Secrets, as Helm's own command keeps them.
func (c *Client) configuration() (*action.Configuration, error) {
	configuration := new(action.Configuration)
	debug := func(format string, args ...any) {
		if line := fmt.Sprintf(format, args...); strings.HasPrefix(line, "WARNING") {
			c.log(line)
		}
	}
	if err := configuration.Init(c.access, c.namespace, "secrets", debug); err != nil {
		return nil, release.NewFault("cluster", "", err, "preparing Helm for namespace %q", c.namespace)
	}
	return configuration, nil
}

func (c *Client) kubernetes() (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(c.access.config)
}

// access gives Helm the cluster; discovery is read once and shared.
type access struct {
	config    *rest.Config
	namespace string
	discovery discovery.CachedDiscoveryInterface
}

func (a *access) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(a.config), nil }

func (a *access) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return a.discovery, nil
}

func (a *access) ToRESTMapper() (meta.RESTMapper, error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(a.discovery)
	return restmapper.NewShortcutExpander(mapper, a.discovery, nil), nil
}

// ToRawKubeConfigLoader answers only the namespace: Helm asks it for nothing else.
func (a *access) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: a.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}
