package helm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/storage"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/transport"
)

// session is one operation's way to the cluster. Helm's actions take no context for their requests, and go on in the
// background when they are stopped. So they are not told of the context: what they send ends with it, except for what
// concerns the release's records.
type session struct {
	*access
	client  *Client
	records *records
	kube    *kubeClient
	helm    *action.Configuration
	over    func() error                     // the context's error: nothing new may begin then
	pause   func(time.Duration) (going bool) // false when the context has ended
	end     context.CancelFunc               // after it no request of the operation is answered

	refresh   func() error // asks the cluster again for its kinds
	refreshed bool
}

// open begins an operation. The cluster is asked for its kinds, if that has not been done yet.
func (c *Client) open(ctx context.Context) (*session, error) {
	known, err := c.connection.know(ctx, nil)
	if err != nil {
		return nil, sorted(ctx, err, "asking %q what it serves", c.connection.config.Host)
	}
	if known.warning != "" {
		c.log(known.warning)
	}
	work, endWork := context.WithCancel(ctx)
	life, endLife := outlive(ctx, c.patience.grace)
	end := func() { endWork(); endLife() }
	said := &warnings{log: c.log, told: map[string]bool{}}
	config := func(life context.Context) *rest.Config {
		config := rest.CopyConfig(c.connection.config)
		config.Wrap(during(life))
		config.Wrap(persistent(life, c.patience.away, c.log))
		config.WarningHandler, config.WarningHandlerWithContext = said, nil
		return config
	}
	s := &session{client: c, over: ctx.Err, pause: pausing(ctx), end: end, access: &access{config: config(work), namespace: c.namespace}}
	s.known.Store(known)
	s.refresh = func() error { return s.know(ctx) }
	if s.records, err = newRecords(pausing(life), config(life), c.namespace, s.over, c.warn); err != nil {
		end()
		return nil, fault(err, "preparing the requests to %q", c.connection.config.Host)
	}
	s.kube = &kubeClient{Client: kube.New(s.access), session: s}
	s.kube.Log = c.warn
	s.helm = &action.Configuration{RESTClientGetter: s.access, KubeClient: s.kube, Releases: storage.Init(s.records), Log: c.warn,
		Capabilities: known.capabilities, HookOutputFunc: func(_, _, _ string) io.Writer { return io.Discard }}
	return s, nil
}

// pausing waits for a time, or for the end of the context.
func pausing(ctx context.Context) func(time.Duration) bool {
	return func(d time.Duration) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		}
	}
}

func (s *session) know(ctx context.Context) error {
	s.refreshed = true
	known, err := s.client.connection.know(ctx, s.known.Load())
	if err != nil {
		return sorted(ctx, err, "asking %q what it serves", s.config.Host)
	}
	s.known.Store(known)
	s.helm.Capabilities = known.capabilities
	return nil
}

// warn passes on Helm's warnings and drops its chatter.
func (c *Client) warn(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); strings.HasPrefix(line, "WARNING") {
		c.log(told(line))
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

// access gives Helm the cluster: the requests for objects, and what is known of the kinds.
type access struct {
	config    *rest.Config
	namespace string
	known     atomic.Pointer[knowledge]
}

func (a *access) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(a.config), nil }

func (a *access) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return a.known.Load().discovery, nil
}

func (a *access) ToRESTMapper() (meta.RESTMapper, error) { return a.known.Load().mapper, nil }

// ToRawKubeConfigLoader answers only the namespace: Helm asks it for nothing else.
func (a *access) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: a.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}
