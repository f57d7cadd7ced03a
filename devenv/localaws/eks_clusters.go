package localaws

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

// Cluster is an EKS cluster of the account. It is somebody else's: a server keeps no cluster over a restart, because the
// endpoint and the authority may be others by then.
type Cluster struct {
	Name     string        `json:"name"`
	Status   ClusterStatus `json:"status,omitempty"`   // "" is ACTIVE
	Endpoint string        `json:"endpoint,omitempty"` // https URL of its API server
	CA       []byte        `json:"ca,omitempty"`       // certificates of its authority, in PEM
	Access   []AccessEntry `json:"access,omitempty"`
}

// AccessEntry gives a principal of IAM a place in a cluster: it may log in, and belongs to those groups of Kubernetes.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
type AccessEntry struct {
	Principal string   `json:"principal"` // ARN of a user or a role; "" is the server's own, see Server.Principal
	Groups    []string `json:"groups,omitempty"`
}

// ClusterStatus is where a cluster is in its life.
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

// serves tells whether the API answers with the endpoint and the authority.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html ("aren't available until the
// cluster reaches the ACTIVE state")
func (s ClusterStatus) serves() bool { return s != ClusterCreating && s != ClusterPending }

// clusterName is a cluster's name.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html (name)
var clusterName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)

// CheckCluster tells whether a cluster can be had.
func CheckCluster(c Cluster) error {
	states := []ClusterStatus{"", ClusterCreating, ClusterActive, ClusterDeleting, ClusterFailed, ClusterUpdating, ClusterPending}
	switch {
	case !clusterName.MatchString(c.Name):
		return fmt.Errorf("cluster name %q is not 1 to 100 letters, digits, - and _, the first a letter or digit", c.Name)
	case !slices.Contains(states, c.Status):
		return fmt.Errorf("cluster %q: status %q is none of EKS's", c.Name, c.Status)
	case !c.Status.serves():
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

// clusters are the clusters of the account by name.
type clusters struct {
	mu     sync.Mutex
	byName map[string]madeCluster
}

type madeCluster struct {
	Cluster
	created time.Time
}

func (c *clusters) find(name string) (madeCluster, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.byName[name]
	return found, ok
}

func (c *clusters) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.byName))
}

// PutCluster makes a cluster known, or changes one.
func (s *Server) PutCluster(cluster Cluster) error {
	if err := CheckCluster(cluster); err != nil {
		return err
	}
	if cluster.Status == "" {
		cluster.Status = ClusterActive
	}
	s.clusters.mu.Lock()
	defer s.clusters.mu.Unlock()
	created := s.options.Now().UTC().Truncate(time.Millisecond)
	if before, found := s.clusters.byName[cluster.Name]; found {
		created = before.created
	}
	s.clusters.byName[cluster.Name] = madeCluster{cluster, created}
	return nil
}
