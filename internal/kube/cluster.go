// Package cluster asks a Kubernetes cluster what it lets us do and what it is doing. It changes nothing there.
package kube

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const side = "cluster"

// Client asks one cluster. It may be used by several goroutines.
type Client struct {
	host    string
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
	// grace is how long a cause that may pass is borne with; it is as causes.go says but in tests.
	grace func(time.Duration) time.Duration
}

// New makes a client; it sends nothing. The configuration is left as it is.
func New(config *rest.Config) (*Client, error) {
	own := rest.CopyConfig(config)
	own.Timeout = 0 // would end watches; every request here has a context
	httpClient, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, release.NewFault(side, "see the credentials of the kubeconfig", err, "preparing access to %q", own.Host)
	}
	kube, err := kubernetes.NewForConfigAndClient(own, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", own.Host, err)
	}
	objects, err := dynamic.NewForConfigAndClient(own, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", own.Host, err)
	}
	return &Client{
		host: own.Host, kube: kube, dynamic: objects,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kube.Discovery())),
		grace:  func(duration time.Duration) time.Duration { return duration },
	}, nil
}
