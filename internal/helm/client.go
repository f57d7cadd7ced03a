// Package helm renders, installs, upgrades, plans and rolls back releases, and mends those that a dead run left behind. It is
// the only importer of helm.sh/helm/v3, and never uses Helm's own waiting: that polls every two seconds, gives no reason, and
// rolls back before the evidence is captured.
package helm

import (
	"errors"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/client-go/rest"
)

// history bounds the revisions that a release keeps, and those that are read of one.
const history = 10

// Requests per second to the apiserver of one kind of object, and how many may come at once, where the config does not say.
// The library's own 5 and 10 make a chart of 60 objects wait for itself.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 150
)

// fieldManager is whom the apiserver names as the owner of the fields that a deploy sets.
const fieldManager = "onedigest"

// named gives Helm the field manager's name. It would take the binary's, which differs from action to action.
var named = sync.OnceFunc(func() { kube.ManagedFieldsManager = fieldManager })

// Client deploys into one namespace of one cluster. Check, Render and MissingKeys need no cluster. It may be used by several
// goroutines at once, each with a release of its own.
type Client struct {
	connection *connection
	namespace  string
	log        func(line string)
	prepared   *preparedCharts
	runs       *runs
	patience   patience
}

// patience is how long things are waited for.
type patience struct {
	foreign time.Duration // a foreign Helm's pending revision, without a sign of life
	look    time.Duration // between two looks at it
	grace   time.Duration // the requests for an operation's own record, when its context has ended
	away    time.Duration // a cluster that does not answer a request
}

// New makes a client. Nothing is sent. log is told what Helm and the apiserver warn of on the way; it may be nil, and is
// called by several goroutines at once if the client is used so.
func New(config *rest.Config, namespace string, log func(line string)) (*Client, error) {
	if config == nil || namespace == "" {
		return nil, errors.New("making a Helm client: it needs a cluster and a namespace")
	}
	named()
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	}
	if log == nil {
		log = func(string) {}
	}
	// Helm's own --timeout is five minutes: a revision that is pending for longer is a dead run's. A runner kills what it
	// cancels after 7.5 s, which must do for marking the release as failed.
	return &Client{connection: newConnection(config), namespace: namespace, log: log, prepared: new(preparedCharts), runs: new(runs),
		patience: patience{foreign: 5 * time.Minute, look: 2 * time.Second, grace: 2 * time.Second, away: time.Minute}}, nil
}

// In is a client of another namespace of the same cluster. Both share what they learn of the cluster.
func (c *Client) In(namespace string) *Client {
	other := *c
	other.namespace = namespace
	return &other
}
