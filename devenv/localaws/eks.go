package localaws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// serveEKS answers EKS's REST-JSON protocol: DescribeCluster, and a refusal for everything else.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html
func (s *Server) serveEKS(w http.ResponseWriter, r *http.Request, asked call) {
	body, ok := readBody(r, maxClusterBytes)
	if !ok {
		writeEKSError(w, &apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"The request is too long or broke off."})
		return
	}
	if refusal := s.authenticate(r, body, eksService, time.Now()); refusal != nil {
		writeEKSError(w, refusal)
		return
	}
	switch asked.route {
	case RouteDescribeCluster:
		s.describeCluster(w, asked.cluster)
	case RoutePutCluster:
		s.servePutCluster(w, asked.cluster, body)
	default:
		writeEKSError(w, &apiError{http.StatusNotFound, "UnknownOperationException",
			fmt.Sprintf("%s %s is not an operation of this server.", r.Method, r.URL.Path)})
	}
}

func (s *Server) describeCluster(w http.ResponseWriter, name string) {
	found, ok := s.clusters.find(name)
	if !ok {
		writeEKSError(w, &apiError{http.StatusNotFound, "ResourceNotFoundException", fmt.Sprintf("No cluster found for name: %s.", name)})
		return
	}
	out := map[string]any{
		"name": name, "arn": s.clusterARN(name), "createdAt": epoch(found.created), "status": found.Status,
		"certificateAuthority": map[string]any{}, "accessConfig": map[string]any{"authenticationMode": "API"},
	}
	if found.Status.serves() {
		out["endpoint"] = found.Endpoint
		out["certificateAuthority"] = map[string]any{"data": base64.StdEncoding.EncodeToString(found.CA)}
	}
	writeJSON(w, http.StatusOK, jsonType, map[string]any{"cluster": out})
}

func (s *Server) clusterARN(name string) string {
	return "arn:aws:eks:" + s.options.Region + ":" + s.options.Account + ":cluster/" + name
}

// maxClusterBytes bounds a cluster as it is told to a running server.
const maxClusterBytes = 256 << 10

// servePutCluster is PutCluster for another process. It is no call of EKS's, so it has a path of this server's own; it
// takes a signature all the same, because a web page that a person has open can send a PUT to their machine too.
func (s *Server) servePutCluster(w http.ResponseWriter, name string, body []byte) {
	var told Cluster
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&told)
	if err == nil && told.Name != name {
		err = fmt.Errorf("it names cluster %q", told.Name)
	}
	if err == nil {
		err = s.PutCluster(told)
	}
	if err != nil {
		writeEKSError(w, badRequest("InvalidParameterException", "%v", err))
		return
	}
	writeJSON(w, http.StatusOK, jsonType, struct{}{})
}

// eksRefused are the refusals that AWS answers 403 in the REST-JSON protocol, where the JSON protocol has 400.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/CommonErrors.html
var eksRefused = []string{
	"MissingAuthenticationTokenException", "IncompleteSignatureException", "UnrecognizedClientException", "InvalidSignatureException",
}

// writeEKSError words an error in the REST-JSON protocol's form.
// Source: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html, "Operation error serialization"
func writeEKSError(w http.ResponseWriter, failure *apiError) {
	status := failure.status
	if slices.Contains(eksRefused, failure.name) {
		status = http.StatusForbidden
	}
	w.Header().Set("X-Amzn-Errortype", failure.name)
	writeJSON(w, status, jsonType, map[string]string{"message": failure.message})
}
