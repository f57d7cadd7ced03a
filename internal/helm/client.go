// Package helm checks, renders, plans, installs, upgrades and rolls back releases, and heals those that a killed run left in
// progress. Its subpackages and itself are the only importers of helm.sh/helm/v3. Helm's own waiting is not used: it polls every
// two seconds, gives no reason, and rolls back before the evidence is captured.
package helm

import (
	"errors"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/renderer"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/client-go/rest"
)

// Requests per second to the apiserver for one kind of object, and the burst, if the config sets none. With the defaults of
// client-go, 5 and 10, a chart of 60 objects would be throttled.
const (
	requestsPerSecond = 50
	requestBurst      = 150
)

// setFieldManager sets the name under which Helm applies objects. By default it is the binary's, which differs from action to
// action.
var setFieldManager = sync.OnceFunc(func() { kube.ManagedFieldsManager = manifest.FieldManager })

// Client deploys into one namespace of one cluster. Check, Render and MissingKeys need no cluster. Several goroutines may use it
// at once, each for another release.
type Client struct {
	connection *connection
	namespace  string
	log        func(line string)
	charts     *chart.Cache
	authors    *authors
	logged     *sync.Map // lines that were logged already
	planned    *sync.Map // *plannedRendering by namespace and name of the release
	rendered   *sync.Map // *keptRendering by namespace and name of the release
	timeouts   timeouts
	renderer   renderer.Renderer
	collector  *collector
	schemas    chart.SchemaLoader
	unrecorded bool // the release has no records: another tool applies it
}

// timeouts are the limits of a client's waits.
type timeouts struct {
	otherHelm   time.Duration // for a revision that another Helm client has in progress, since its record was last written
	poll        time.Duration // between two reads of that record
	records     time.Duration // for the requests for an operation's records, after its context has ended
	unreachable time.Duration // for a cluster that does not answer a request
}

// New returns a client. It sends no request. Warnings of Helm and the apiserver are passed to log, which may be nil, and is
// called by several goroutines at once if the client is used by several.
func New(config *rest.Config, namespace string, log func(line string)) (*Client, error) {
	if config == nil || namespace == "" {
		return nil, errors.New("making a Helm client: it needs a cluster and a namespace")
	}
	setFieldManager()
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		config.QPS, config.Burst = requestsPerSecond, requestBurst
	}
	if log == nil {
		log = func(string) {}
	}
	// Helm's own --timeout is five minutes: a revision that is in progress for longer belongs to a killed run. A runner kills a
	// cancelled job after 7.5 s, which must suffice to mark the release as failed.
	return &Client{collector: new(collector), connection: newConnection(config), namespace: namespace, log: log, charts: new(chart.Cache), authors: new(authors), logged: new(sync.Map), planned: new(sync.Map), rendered: new(sync.Map),
		timeouts: timeouts{otherHelm: 5 * time.Minute, poll: 2 * time.Second, records: 2 * time.Second, unreachable: time.Minute}}, nil
}

// Offline returns a client without a cluster, for Check and MissingKeys only. It logs no warnings: the deploys that follow do.
func Offline() *Client {
	return &Client{collector: new(collector), log: func(string) {}, charts: new(chart.Cache)}
}

// RenderWith makes the client render charts with a renderer. Without it, charts are rendered in this process.
func (c *Client) RenderWith(renders renderer.Renderer) { c.renderer = renders }

// Collecting returns a copy of the client that adds the secret values of charts, values files and revisions to secrets before an error can quote them.
func (c *Client) Collecting(secrets *text.Secrets) *Client {
	other := *c
	other.collector = &collector{secrets: secrets}
	return &other
}

// LoadingSchemas returns a copy of the client that loads the documents to which charts' schemas refer with load.
func (c *Client) LoadingSchemas(load func(address string) ([]byte, error)) *Client {
	other := *c
	other.schemas = load
	return &other
}

// Unrecorded returns a copy of the client that renders as for a first install and reads no records of the release, which another tool applies.
func (c *Client) Unrecorded() *Client {
	other := *c
	other.unrecorded = true
	return &other
}

// In returns a client for another namespace of the same cluster. Both share the discovered API.
func (c *Client) In(namespace string) *Client {
	other := *c
	other.namespace = namespace
	return &other
}

// Check reports everything that is wrong with a deployment's chart and values and that can be found without the cluster: the
// chart loads, every values file is YAML, the values fit the chart's schema, the paths of the images exist, and the chart's own files fit into the release's record. Whether the templates render depends
// on the cluster: Render finds out. The error is an *release.InputError with all problems that can be found at once.
func (c *Client) Check(deployment release.Deployment) (err error) {
	c.collector.markPublic(deployment)
	loaded, err := chart.LoadWith(deployment, c.schemas)
	defer func() { c.collector.addDeployment(deployment, loaded, err) }()
	if err != nil {
		return err
	}
	if err := history.CheckSize(loaded.Record(deployment, &chart.Rendered{})); err != nil {
		return err
	}
	for _, note := range loaded.Notes {
		c.log("WARNING: " + note)
	}
	c.charts.Put(deployment, loaded)
	return nil
}

// MissingKeys returns the sorted dotted paths of the values that the other values files set and that the deployment's own files
// and assignments do not: values that were added for one environment and forgotten for another. A list counts as one value, and null
// as a value. It needs no cluster; the error is an *release.InputError.
func (c *Client) MissingKeys(deployment release.Deployment, otherFiles []string) ([]string, error) {
	return chart.MissingKeys(deployment, otherFiles)
}
