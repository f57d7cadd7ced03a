package helm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/transport"
)

// grace is how long an operation's requests outlive its context: long enough to mark the release as failed, short
// enough for a runner that kills what it cancels after 7.5 s.
const grace = 2 * time.Second

// session is one operation's way to the cluster. Helm's actions take no context for their requests and go on in the
// background when they are stopped, so the session ends the requests instead.
type session struct {
	*access
	helm *action.Configuration
	end  context.CancelFunc // after it no request of the operation is answered
}

// open begins an operation. Nothing is sent.
func (c *Client) open(ctx context.Context) (*session, error) {
	life, end := outlive(ctx, grace)
	config := rest.CopyConfig(c.config)
	config.Wrap(during(life))
	config.WarningHandler, config.WarningHandlerWithContext = &warnings{log: c.log, told: map[string]bool{}}, nil
	discoverer, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		end()
		return nil, fault(err, "preparing the requests to %q", c.config.Host)
	}
	s := &session{end: end, helm: new(action.Configuration),
		access: &access{config: config, namespace: c.namespace, discovery: memory.NewMemCacheClient(discoverer)}}
	// The records of releases are Secrets, as Helm's own command keeps them.
	if err := s.helm.Init(s.access, c.namespace, "secrets", c.warn); err != nil {
		end()
		return nil, fault(err, "preparing Helm for namespace %q", c.namespace)
	}
	return s, nil
}

// warn passes on Helm's warnings and drops its chatter.
func (c *Client) warn(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); strings.HasPrefix(line, "WARNING") {
		c.log(line)
	}
}

// outlive is a context that lives on for a while after another has ended.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(by, end) })
	return life, func() { stop(); end() }
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// during ends every request when life ends, bodies that are still read included.
func during(life context.Context) transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithCancel(r.Context())
			context.AfterFunc(life, cancel)
			return next.RoundTrip(r.WithContext(ctx))
		})
	}
}

// patience is how long a chart's hooks may take: what is left of the context's time, or an hour.
func patience(ctx context.Context) time.Duration {
	if deadline, bounded := ctx.Deadline(); bounded {
		return max(time.Until(deadline), time.Second)
	}
	return time.Hour
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
