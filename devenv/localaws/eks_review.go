package localaws

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
)

// tokenReview is what an API server asks its webhook, and the webhook's answer.
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

// ClusterPath is where a cluster is made known to a running server, by a signed PUT of it as JSON, below the server's URL.
func ClusterPath(cluster string) string { return eksPath + cluster }

// ReviewPath is where the webhook of a cluster is, below the server's URL.
func ReviewPath(cluster string) string { return eksPath + cluster + "/tokenreview" }

// reviews counts the webhook's answers.
type reviews struct{ taken, refused atomic.Int64 }

// TokenReviews is how many tokens the webhooks of all clusters have taken and refused so far.
func (s *Server) TokenReviews() (taken, refused int) {
	return int(s.reviews.taken.Load()), int(s.reviews.refused.Load())
}

// serveTokenReview answers a cluster's API server that has been given a token: whose it is, by STS's word and the
// cluster's access entries, or why it is nobody's. It asks for no credentials: the token is the credential.
func (s *Server) serveTokenReview(w http.ResponseWriter, r *http.Request, asked call) {
	body, ok := readBody(r, maxReviewBytes)
	var review tokenReview
	if !ok || json.Unmarshal(body, &review) != nil || review.APIVersion != reviewVersion || review.Kind != reviewKind {
		http.Error(w, "want a "+reviewKind+" of "+reviewVersion, http.StatusBadRequest)
		return
	}
	answer := tokenReview{APIVersion: reviewVersion, Kind: reviewKind}
	if user, err := s.review(asked.cluster, review.Spec.Token); err != nil {
		s.reviews.refused.Add(1)
		answer.Status.Error = err.Error()
	} else {
		s.reviews.taken.Add(1)
		answer.Status.Authenticated, answer.Status.User = true, user
	}
	writeJSON(w, http.StatusOK, jsonType, answer)
}

// review finds whose a token for a cluster is.
func (s *Server) review(name, token string) (*reviewUser, error) {
	cluster, found := s.clusters.find(name)
	if !found {
		return nil, fmt.Errorf("there is no cluster %q", name)
	}
	if err := s.checkClusterToken(name, token); err != nil {
		return nil, err
	}
	// The server has one pair of credentials, so whoever signed is its one principal.
	principal := s.Principal()
	entry := slices.IndexFunc(cluster.Access, func(e AccessEntry) bool { return e.Principal == principal || e.Principal == "" })
	if entry < 0 {
		return nil, errors.New("ARN is not mapped: " + principal)
	}
	// An access entry without a user name of its own gives a user its ARN for one.
	// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html (username)
	return &reviewUser{
		Username: principal,
		UID:      "aws-iam-authenticator:" + s.options.Account + ":" + s.options.AccessKeyID,
		Groups:   cluster.Access[entry].Groups,
		Extra: map[string][]string{
			"arn": {principal}, "canonicalArn": {principal}, "accessKeyId": {s.options.AccessKeyID},
			"principalId": {s.options.AccessKeyID}, "sessionName": {""},
		},
	}, nil
}
