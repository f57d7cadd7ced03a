package localaws

import (
	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"

	"net/http"
	"os"
)

// Status describes a server; it is served without credentials.
type Status struct {
	PID          int      `json:"pid"`
	Address      string   `json:"address"`
	Account      string   `json:"account"`
	Region       string   `json:"region"`
	Repositories []string `json:"repositories"`
	Clusters     []string `json:"clusters,omitempty"`
	TokenSeconds float64  `json:"clusterTokenSeconds"` // how long a token for a cluster is valid
}

// Status describes this server and what it holds.
func (s *Server) Status() Status {
	return Status{
		PID: os.Getpid(), Address: s.Address(), Account: s.options.Account, Region: s.options.Region,
		Repositories: s.store.Names(), Clusters: s.eks.Names(), TokenSeconds: s.options.ClusterTokenLife.Seconds(),
	}
}

// serveStatus answers the localaws command.
func (s *Server) serveStatus(w http.ResponseWriter) {
	awsapi.WriteJSON(w, http.StatusOK, awsapi.JSONType, s.Status())
}
