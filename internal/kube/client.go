// Package kube reaches a Kubernetes cluster: credentials and access, the namespace of a release, the objects that a release
// refers to, its addresses and its images. It creates the namespace when it is told to, and changes nothing else.
//
// Its subpackages build on the Client: rollout watches a release become ready and reads only; lease writes the Lease by which
// concurrent runs exclude each other; store and diagnose serve them.
package kube

import (
	"fmt"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Side is the side that a release.Fault of this package and its subpackages names.
const Side = apierror.Side

// Client reaches one cluster. It may be used by several goroutines. The fields are for the subpackages and are not to be set.
type Client struct {
	Host    string // as the kubeconfig names it
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	Mapper  meta.RESTMapper

	apis *apis
}

// New makes a client; it sends nothing. The configuration is left as it is.
func New(config *rest.Config) (*Client, error) {
	own := rest.CopyConfig(config)
	own.Timeout = 0 // would end watches; every request here has a context
	httpClient, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, release.NewFault(Side, "see the credentials of the kubeconfig", err, "preparing access to %q", own.Host)
	}
	groups, err := newAPIs(own, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", own.Host, err)
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
		Host: own.Host, Kube: kube, Dynamic: objects, apis: groups,
		Mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kube.Discovery())),
	}, nil
}
