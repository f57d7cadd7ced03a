// Package helm renders, installs and upgrades releases. It is the only importer of helm.sh/helm/v3, and never uses
// Helm's own waiting: that polls every two seconds, gives no reason, and rolls back before the evidence is captured.
package helm

import (
	"errors"

	"k8s.io/client-go/rest"
)

// history bounds the revisions that a release keeps: Helm reads all of them at every upgrade.
const history = 10

// Requests per second to the apiserver, and how many may come at once, where the config does not say. The library's own
// 5 and 10 make a chart of 60 objects wait for itself.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 150
)

// Client deploys into one namespace of one cluster. Check and Render need no cluster.
type Client struct {
	config    *rest.Config
	namespace string
	log       func(line string)
}

// New makes a client. Nothing is sent. log is told what Helm warns of on the way; it may be nil.
func New(config *rest.Config, namespace string, log func(line string)) (*Client, error) {
	if config == nil || namespace == "" {
		return nil, errors.New("making a Helm client: it needs a cluster and a namespace")
	}
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	}
	if log == nil {
		log = func(string) {}
	}
	return &Client{config: config, namespace: namespace, log: log}, nil
}
