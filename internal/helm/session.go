package helm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/transport"
)

// session is one operation's connection to the cluster. Helm's actions accept no context for requests, and continue in the
// background when they are stopped. Therefore all requests end with the operation's context; only those for the release's records
// get some more time.
type session struct {
	*restGetter
	client  *Client
	store   *history.Store
	kube    *kubeClient
	helm    *action.Configuration
	stopped func() error                  // the context's error: nothing new may begin after it
	sleep   func(time.Duration) (ok bool) // false if the context has ended
	close   context.CancelFunc            // ends all requests
	// renderFiles renders templates, until the operation's context ends. Their lookups are asked with the configuration.
	renderFiles   func(*rest.Config, *helmchart.Chart, chartutil.Values) (map[string]string, error)
	lookups       atomic.Int64 // requests for lookups of templates
	hiddenLookups atomic.Int64 // how often templates looked Secrets up and found none, because the deployment hides them
}

// open begins an operation. It discovers the cluster's API if that has not been done yet.
func (c *Client) open(ctx context.Context) (*session, error) {
	api, err := c.connection.apiNewerThan(ctx, nil)
	if err != nil {
		return nil, failure.Classify(ctx, err, "asking %q for its API", c.connection.config.Host)
	}
	if api.warning != "" {
		c.log(api.warning)
	}
	requests, endRequests := context.WithCancel(ctx)
	records, endRecords := withGrace(ctx, c.timeouts.records)
	closeAll := func() { endRequests(); endRecords() }
	warnings := &warnings{log: c.log, seen: map[string]bool{}}
	configFor := func(lifetime context.Context) *rest.Config {
		config := rest.CopyConfig(c.connection.config)
		config.Wrap(limitTo(lifetime))
		config.Wrap(httpx.RetryUnanswered(lifetime, c.timeouts.unreachable, c.log))
		config.Wrap(retryQuotaConflicts(lifetime))
		config.WarningHandler, config.WarningHandlerWithContext = warnings, nil
		return config
	}
	s := &session{client: c, stopped: ctx.Err, sleep: sleeper(ctx), close: closeAll, restGetter: &restGetter{config: configFor(requests), namespace: c.namespace}}
	s.api.Store(api)
	s.renderFiles = func(config *rest.Config, chart *helmchart.Chart, values chartutil.Values) (map[string]string, error) {
		return c.renderer.Render(ctx, config, chart, values)
	}
	s.store, err = history.NewStore(history.Options{Config: configFor(records), Namespace: c.namespace, Stopped: s.stopped, Sleep: sleeper(records), Log: c.logOnce,
		AuthorOf: func(*helmrelease.Release) (history.Author, error) { return history.Author{}, nil }, Collect: c.collector.addRevision, Redact: c.collector.redact})
	if err != nil {
		closeAll()
		return nil, failure.Fault(err, "preparing the requests to %q", c.connection.config.Host)
	}
	cluster := &objects.Cluster{Client: kube.New(s.restGetter), Mapper: func() meta.RESTMapper { return s.api.Load().mapper }, Refresh: s.refreshOnce(ctx)}
	cluster.Log = c.logHelm
	s.kube = &kubeClient{Release: &objects.Release{Cluster: cluster}, session: s, skipped: map[release.Object]bool{}, passed: map[release.Object]bool{}}
	s.helm = &action.Configuration{RESTClientGetter: s.restGetter, KubeClient: s.kube, Releases: storage.Init(s.store), Log: c.logHelm,
		Capabilities: api.capabilities, HookOutputFunc: func(_, _, _ string) io.Writer { return io.Discard }}
	return s, nil
}

// beginChange prepares the session for changing or planning a release.
func (s *session) beginChange(name string, state history.State, wait func(release.Phase, []release.Object) error) {
	s.kube.Name, s.kube.TargetNamespace, s.kube.AppliedBefore = name, s.namespace, state.AppliedManifests()
	s.kube.wait = wait
}

// refreshOnce returns a function that discovers the cluster's API again the first time it is called.
func (s *session) refreshOnce(ctx context.Context) func() (bool, error) {
	done := false
	return func() (bool, error) {
		if done {
			return false, nil
		}
		done = true
		return true, s.refresh(ctx)
	}
}

// refresh discovers the cluster's API again.
func (s *session) refresh(ctx context.Context) error {
	api, err := s.client.connection.apiNewerThan(ctx, s.api.Load())
	if err != nil {
		return failure.Classify(ctx, err, "asking %q for its API", s.config.Host)
	}
	s.api.Store(api)
	s.helm.Capabilities = api.capabilities
	return nil
}

// target describes the release's next revision and the cluster to the renderer.
func (s *session) target(deployment release.Deployment, state history.State) chart.Target {
	config := s.config
	if deployment.HideSecrets {
		config = withoutSecrets(config, &s.hiddenLookups)
	}
	config = counting(config, &s.lookups)
	render := func(chart *helmchart.Chart, values chartutil.Values) (map[string]string, error) {
		return s.renderFiles(config, chart, values)
	}
	return chart.Target{Render: render, Capabilities: s.api.Load().capabilities, Revision: state.NextRevision(), Install: state.Install}
}

// logOnce logs a line unless this client has logged it before: several operations of one deploy read the same release records and
// would repeat their warnings.
func (c *Client) logOnce(line string) {
	if _, logged := c.logged.LoadOrStore(line, true); !logged {
		c.log(line)
	}
}

// logHelm logs Helm's warnings, and drops its debug output.
func (c *Client) logHelm(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); strings.HasPrefix(line, "WARNING") {
		c.log(failure.Sanitize(line))
	}
}

// sleeper returns a function that sleeps for a time, and returns false if ctx ends first.
func sleeper(ctx context.Context) func(time.Duration) bool {
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

// withGrace returns a context that ends some time after its parent.
func withGrace(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(grace, cancel) })
	return ctx, func() { stop(); cancel() }
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// limitTo makes every request end when a context ends, also while its body is being read.
func limitTo(lifetime context.Context) transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithCancel(r.Context())
			context.AfterFunc(lifetime, cancel)
			return next.RoundTrip(r.WithContext(ctx))
		})
	}
}

// restGetter gives Helm access to the cluster: the configuration of the requests, and the API as it was last discovered.
type restGetter struct {
	config    *rest.Config
	namespace string
	api       atomic.Pointer[clusterAPI]
}

func (g *restGetter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

func (g *restGetter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.api.Load().discovery, nil
}

func (g *restGetter) ToRESTMapper() (meta.RESTMapper, error) { return g.api.Load().mapper, nil }

// ToRawKubeConfigLoader returns a kubeconfig with the namespace only, because Helm reads nothing else of it.
func (g *restGetter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}
