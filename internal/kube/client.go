// Package kube asks a Kubernetes cluster what a release needs to know of it: permissions, the objects that it refers to, its address,
// its images. It creates the namespace of a release, marks the revision that a smoke has checked, and changes nothing else.
//
// Its subpackages: kubeconfig reads how a cluster is reached; rollout watches a release become ready; lease holds a release, so that
// runs exclude each other; forward connects to pods; store, diagnose and apierror serve them.
package kube

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/kube/kubeconfig"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Side is the system that every release.Fault of this package and its subpackages names as the failed one: the cluster.
const Side = apierror.Side

// Client reaches one cluster. It may be used by several goroutines.
type Client struct {
	Host    string            // of the apiserver, as in the configuration; must not be changed
	Dynamic dynamic.Interface // for objects of any kind; must not be changed

	config   *rest.Config
	http     *http.Client
	apis     *apis
	metadata metadata.Interface

	served     sync.Map // []metav1.APIResource by schema.GroupVersion, of custom kinds
	allowed    sync.Map // results of access reviews that allowed: authorization.ResourceAttributes
	everything sync.Map // whether this user may do everything, by namespace: func() bool
	applied    sync.Map // appliedObjects by types.NamespacedName: what a GitOps controller has applied of a release
	revisions  sync.Map // recordedRevision by types.NamespacedName of the release: the record that was read last
	observed   sync.Map // observation by listed: the last watch of pods or ReplicaSets

	secretReadsMu sync.Mutex
	secretReads   map[string]*secretRead // by "namespace/name"
}

// New makes a client; it sends nothing and does not change the configuration. From then on, client-go logs nothing in this process.
func New(config *rest.Config) (*Client, error) {
	kubeconfig.SilenceClientGo()
	config = rest.CopyConfig(config)
	config.Timeout = 0 // a timeout would end watches; every request has a context
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, release.NewFault(Side, "check the credentials of the kubeconfig", err, "preparing access to %q", config.Host)
	}
	groups, err := newAPIs(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", config.Host, err)
	}
	objects, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", config.Host, err)
	}
	ofMetadata, err := metadata.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", config.Host, err)
	}
	return &Client{Host: config.Host, Dynamic: objects, config: config, http: httpClient, apis: groups, metadata: ofMetadata}, nil
}

// RESTConfig returns what another client for the same cluster needs: a copy of the configuration, and an HTTP client. Clients
// with that HTTP client share its connections.
func (c *Client) RESTConfig() (*rest.Config, *http.Client) { return rest.CopyConfig(c.config), c.http }

// DiagnosedError says why a rollout cannot become ready, or was not ready in time: the cause's code, the object, the container, the
// reason.
type DiagnosedError struct{ Found release.Diagnosis }

// Diagnosis returns the evidence.
func (e *DiagnosedError) Diagnosis() release.Diagnosis { return e.Found }

func (e *DiagnosedError) Error() string {
	text := e.Found.Object.String()
	if e.Found.Code != "" {
		text = string(e.Found.Code) + " " + text
	}
	if e.Found.Container != "" {
		text += fmt.Sprintf(" container %q", e.Found.Container)
	}
	text += ": " + e.Found.Reason
	if e.Found.Message != "" {
		text += ": " + e.Found.Message
	}
	return text
}

// Fault returns a *release.Fault for a request to this cluster that failed; format and subjects say what was attempted. If ctx has ended, it wraps the context's error instead.
func (c *Client) Fault(ctx context.Context, err error, format string, subjects ...any) error {
	return apierror.Fault(ctx, c.Host, err, format, subjects...)
}
