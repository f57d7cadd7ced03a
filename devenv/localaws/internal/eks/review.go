package eks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
)

// tokenReview is an API server's request to its webhook, and the webhook's answer.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
type tokenReview struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Spec       reviewSpec   `json:"spec"`
	Status     reviewStatus `json:"status"`
}

type reviewSpec struct {
	Token string `json:"token,omitempty"`
}

type reviewStatus struct {
	Authenticated bool        `json:"authenticated"`
	User          *reviewUser `json:"user,omitempty"`
	Error         string      `json:"error,omitempty"`
}

type reviewUser struct {
	Username string              `json:"username"`
	UID      string              `json:"uid"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

const (
	reviewVersion = "authentication.k8s.io/v1"
	reviewKind    = "TokenReview"

	maxReviewBytes = 64 << 10
)

// ClusterPath returns the path, below the server's URL, for registering a cluster with a running server by a signed PUT of its
// JSON.
func ClusterPath(cluster string) string { return PathPrefix + cluster }

// ReviewPath returns the path, below the server's URL, of the webhook that authenticates the tokens of a cluster.
func ReviewPath(cluster string) string { return PathPrefix + cluster + "/tokenreview" }

// reviews counts the webhook's answers.
type reviews struct{ accepted, refused atomic.Int64 }

// TokenReviews returns how many tokens the webhooks of all clusters have accepted and refused so far.
func (a *API) TokenReviews() (accepted, refused int) {
	return int(a.reviews.accepted.Load()), int(a.reviews.refused.Load())
}

// ServeTokenReview answers a cluster's API server: with the user of a token, by STS and the cluster's access entries, or with the
// reason why the token is not valid. It requires no credentials: the token is the credential.
func (a *API) ServeTokenReview(w http.ResponseWriter, r *http.Request, cluster string) {
	body, ok := awsapi.ReadBody(r, maxReviewBytes)
	var review tokenReview
	if !ok || json.Unmarshal(body, &review) != nil || review.APIVersion != reviewVersion || review.Kind != reviewKind {
		http.Error(w, "want a "+reviewKind+" of "+reviewVersion, http.StatusBadRequest)
		return
	}
	answer := tokenReview{APIVersion: reviewVersion, Kind: reviewKind}
	if user, err := a.review(cluster, review.Spec.Token); err != nil {
		a.reviews.refused.Add(1)
		answer.Status.Error = err.Error()
	} else {
		a.reviews.accepted.Add(1)
		answer.Status.Authenticated, answer.Status.User = true, user
	}
	awsapi.WriteJSON(w, http.StatusOK, awsapi.JSONType, answer)
}

// review finds the user of a token for a cluster.
func (a *API) review(name, token string) (*reviewUser, error) {
	cluster, found := a.clusters.find(name)
	if !found {
		return nil, fmt.Errorf("there is no cluster %q", name)
	}
	if err := a.checkToken(name, token); err != nil {
		return nil, err
	}
	// The server has one pair of credentials, so every valid signature is by its one principal.
	principal := a.options.Principal
	entry := slices.IndexFunc(cluster.Access, func(e AccessEntry) bool { return e.Principal == principal || e.Principal == "" })
	if entry < 0 {
		return nil, errors.New("ARN is not mapped: " + principal)
	}
	// An access entry without a user name gives the user its ARN as the name.
	// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html (username)
	return &reviewUser{
		Username: principal,
		UID:      "aws-iam-authenticator:" + a.options.Account + ":" + a.options.Verifier.AccessKeyID,
		Groups:   cluster.Access[entry].Groups,
		Extra: map[string][]string{
			"arn": {principal}, "canonicalArn": {principal}, "accessKeyId": {a.options.Verifier.AccessKeyID},
			"principalId": {a.options.Verifier.AccessKeyID}, "sessionName": {""},
		},
	}, nil
}
