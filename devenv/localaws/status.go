package localaws

import (
	"net/http"
	"os"
)

// Status is what the server tells of itself without credentials.
type Status struct {
	PID          int      `json:"pid"`
	Address      string   `json:"address"`
	Account      string   `json:"account"`
	Region       string   `json:"region"`
	Repositories []string `json:"repositories"`
	Clusters     []string `json:"clusters,omitempty"`
	TokenSeconds float64  `json:"clusterTokenSeconds"` // how long a token for a cluster is good
}

// Status tells what this server is and holds.
func (s *Server) Status() Status {
	return Status{
		PID: os.Getpid(), Address: s.Address(), Account: s.options.Account, Region: s.options.Region,
		Repositories: s.store.names(), Clusters: s.clusters.names(), TokenSeconds: s.options.ClusterTokenLife.Seconds(),
	}
}

// serveStatus answers the command that started the server.
func (s *Server) serveStatus(w http.ResponseWriter) {
	writeJSON(w, http.StatusOK, jsonType, s.Status())
}
