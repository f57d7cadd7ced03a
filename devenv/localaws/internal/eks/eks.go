// Package eks is the fake EKS: DescribeCluster, the clusters registered with it, and the webhook that authenticates a cluster's
// tokens.
package eks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
)

// PathPrefix is the prefix of paths for which EKS has no API.
const PathPrefix = "/_localaws/eks/"

// Options describe the account and the region whose clusters an API serves.
type Options struct {
	Account   string
	Region    string
	Principal string         // ARN of the one user, who owns the credentials of Verifier
	Verifier  sigv4.Verifier // checks the signatures of requests and of tokens
	TokenLife time.Duration  // how long a token is valid after it was signed
	Now       func() time.Time
	URL       func() string // of the server; tokens must be signed for the STS there
}

// API serves EKS. It is safe for concurrent use. Make one with New.
type API struct {
	options  Options
	clusters clusters
	reviews  reviews
}

// New returns an API without clusters.
func New(options Options) *API {
	return &API{options: options, clusters: clusters{byName: map[string]registeredCluster{}}}
}

// Serve answers a call of EKS's REST-JSON protocol: DescribeCluster, PutCluster (which is not EKS's), and an error for any other.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html
func (a *API) Serve(w http.ResponseWriter, r *http.Request, operation, cluster string) {
	body, ok := awsapi.ReadBody(r, maxClusterBytes)
	if !ok {
		writeError(w, awsapi.NewError(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"The request is too long or was cut off."))
		return
	}
	if refusal := a.options.Verifier.Verify(r, body, "eks", time.Now()); refusal != nil {
		writeError(w, refusal)
		return
	}
	switch operation {
	case "DescribeCluster":
		a.describeCluster(w, cluster)
	case "PutCluster":
		a.servePutCluster(w, cluster, body)
	default:
		writeError(w, awsapi.NewError(http.StatusNotFound, "UnknownOperationException",
			"%s %s is not an operation of this server.", r.Method, r.URL.Path))
	}
}

func (a *API) describeCluster(w http.ResponseWriter, name string) {
	found, ok := a.clusters.find(name)
	if !ok {
		writeError(w, awsapi.NewError(http.StatusNotFound, "ResourceNotFoundException", "No cluster found for name: %s.", name))
		return
	}
	out := map[string]any{
		"name": name, "arn": a.clusterARN(name), "createdAt": awsapi.Epoch(found.created), "status": found.Status,
		"certificateAuthority": map[string]any{}, "accessConfig": map[string]any{"authenticationMode": "API"},
	}
	if found.Status.hasEndpoint() {
		out["endpoint"] = found.Endpoint
		out["certificateAuthority"] = map[string]any{"data": base64.StdEncoding.EncodeToString(found.CA)}
	}
	awsapi.WriteJSON(w, http.StatusOK, awsapi.JSONType, map[string]any{"cluster": out})
}

func (a *API) clusterARN(name string) string {
	return "arn:aws:eks:" + a.options.Region + ":" + a.options.Account + ":cluster/" + name
}

// maxClusterBytes is the most that a request may have.
const maxClusterBytes = 256 << 10

// servePutCluster is PutCluster for another process. EKS has no such call. It requires a signature all the same, because any web
// page in a browser can send a PUT to the local machine.
func (a *API) servePutCluster(w http.ResponseWriter, name string, body []byte) {
	var cluster Cluster
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&cluster)
	if err == nil && cluster.Name != name {
		err = fmt.Errorf("it names cluster %q", cluster.Name)
	}
	if err == nil {
		err = a.PutCluster(cluster)
	}
	if err != nil {
		writeError(w, awsapi.BadRequest("InvalidParameterException", "%v", err))
		return
	}
	awsapi.WriteJSON(w, http.StatusOK, awsapi.JSONType, struct{}{})
}

// forbidden are the errors with HTTP status 403 in the REST-JSON protocol and 400 in the JSON protocol.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/CommonErrors.html
var forbidden = []string{
	"MissingAuthenticationTokenException", "IncompleteSignatureException", "UnrecognizedClientException", "InvalidSignatureException",
}

// writeError writes an error in the form of REST-JSON.
// Source: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html, "Operation error serialization"
func writeError(w http.ResponseWriter, failure *awsapi.Error) {
	status := failure.Status
	if slices.Contains(forbidden, failure.Name) {
		status = http.StatusForbidden
	}
	w.Header().Set("X-Amzn-Errortype", failure.Name)
	awsapi.WriteJSON(w, status, awsapi.JSONType, map[string]string{"message": failure.Message})
}
