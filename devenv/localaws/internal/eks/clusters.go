package eks

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cluster is an EKS cluster of the account. A server forgets its clusters when it ends: something else runs them, and the endpoint and
// the authority may have changed by the next start.
type Cluster struct {
	Name     string        `json:"name"`
	Status   ClusterStatus `json:"status,omitempty"`   // "" is ACTIVE
	Endpoint string        `json:"endpoint,omitempty"` // https URL of its API server
	CA       []byte        `json:"ca,omitempty"`       // certificates of its authority, in PEM
	Access   []AccessEntry `json:"access,omitempty"`
}

// AccessEntry lets an IAM principal log in to a cluster, as a member of Kubernetes groups.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
type AccessEntry struct {
	Principal string   `json:"principal"` // ARN of a user or a role; "" is the one user that the server's credentials belong to
	Groups    []string `json:"groups,omitempty"`
}

// ClusterStatus is a cluster's state.
type ClusterStatus string

// The states of a cluster.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html (status)
const (
	ClusterCreating ClusterStatus = "CREATING"
	ClusterActive   ClusterStatus = "ACTIVE"
	ClusterDeleting ClusterStatus = "DELETING"
	ClusterFailed   ClusterStatus = "FAILED"
	ClusterUpdating ClusterStatus = "UPDATING"
	ClusterPending  ClusterStatus = "PENDING"
)

// hasEndpoint reports whether the API returns the endpoint and the authority.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html ("aren't available until the
// cluster reaches the ACTIVE state")
func (s ClusterStatus) hasEndpoint() bool { return s != ClusterCreating && s != ClusterPending }

// clusterName matches a cluster's name.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html (name)
var clusterName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)

// CheckCluster returns an error for a cluster that EKS could not have: a bad name, status, endpoint or authority, or an authority with a private key.
func CheckCluster(c Cluster) error {
	states := []ClusterStatus{"", ClusterCreating, ClusterActive, ClusterDeleting, ClusterFailed, ClusterUpdating, ClusterPending}
	switch {
	case !clusterName.MatchString(c.Name):
		return fmt.Errorf("cluster name %q is not 1 to 100 letters, digits, - and _, the first a letter or digit", c.Name)
	case !slices.Contains(states, c.Status):
		return fmt.Errorf("cluster %q: status %q is not one of EKS's", c.Name, c.Status)
	case !c.Status.hasEndpoint():
		return nil
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil || endpoint.Scheme != "https" || endpoint.Host == "" {
		return fmt.Errorf("cluster %q: endpoint %q is not an https URL", c.Name, c.Endpoint)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(c.CA) {
		return fmt.Errorf("cluster %q: the authority holds no certificate in PEM", c.Name)
	}
	for block, rest := pem.Decode(c.CA); block != nil; block, rest = pem.Decode(rest) {
		if strings.Contains(block.Type, "KEY") {
			return fmt.Errorf("cluster %q: the authority holds a private key", c.Name)
		}
	}
	return nil
}

// clusters are the account's clusters by name.
type clusters struct {
	mu     sync.Mutex
	byName map[string]registeredCluster
}

type registeredCluster struct {
	Cluster
	created time.Time
}

func (c *clusters) find(name string) (registeredCluster, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.byName[name]
	return found, ok
}

// Names lists the clusters, sorted.
func (a *API) Names() []string { return a.clusters.names() }

func (c *clusters) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.byName))
}

// PutCluster registers a cluster, or changes one.
func (a *API) PutCluster(cluster Cluster) error {
	if err := CheckCluster(cluster); err != nil {
		return err
	}
	if cluster.Status == "" {
		cluster.Status = ClusterActive
	}
	a.clusters.mu.Lock()
	defer a.clusters.mu.Unlock()
	created := a.options.Now().UTC().Truncate(time.Millisecond)
	if existing, found := a.clusters.byName[cluster.Name]; found {
		created = existing.created
	}
	a.clusters.byName[cluster.Name] = registeredCluster{cluster, created}
	return nil
}
