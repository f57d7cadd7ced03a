package localaws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A token for an EKS cluster is a presigned GetCallerIdentity: whoever holds it can have STS say who signed it, and do
// nothing else with it. The cluster's name is in a signed header, so that a token for one cluster opens no other.
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, README.md, "API Authorization from Outside a Cluster",
// and pkg/token/token.go (Verify)
const (
	clusterTokenPrefix = "k8s-aws-v1." // #nosec G101 -- what every token begins with
	clusterHeader      = "x-k8s-aws-id"

	maxClusterToken   = 4 << 10
	maxClusterExpires = 15 * time.Minute // of X-Amz-Expires, which STS ignores
)

// clusterTokenParameters are what the query of a token may have.
var clusterTokenParameters = []string{
	"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token",
	"X-Amz-Signature", "X-Amz-SignedHeaders",
}

// checkClusterToken tells why a token is none for the cluster; nil if it is one.
func (s *Server) checkClusterToken(cluster, token string) error {
	address, err := readClusterToken(token)
	if err != nil {
		return err
	}
	if at, err := url.Parse(s.URL()); err != nil || at.Host == "" || address.Scheme != at.Scheme || address.Host != at.Host {
		return fmt.Errorf("unexpected host %q in pre-signed URL: STS is at %s", address.Host, s.URL())
	}
	signed, err := time.Parse(amzTime, address.Query().Get("X-Amz-Date"))
	now := s.options.Now()
	switch {
	case err != nil:
		return errors.New("X-Amz-Date parameter is no time")
	case !now.Before(signed.Add(s.options.ClusterTokenLife)):
		return fmt.Errorf("X-Amz-Date parameter is expired (%s expiration) %s", s.options.ClusterTokenLife, signed)
	}
	// From here on it is STS that answers, as it would to the request itself.
	request := &http.Request{
		Method: http.MethodGet, URL: address, Host: address.Host, Header: http.Header{},
		Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	request.Header.Set(clusterHeader, cluster)
	if refusal := s.authenticate(request, nil, stsService, now); refusal != nil {
		return fmt.Errorf("sts getCallerIdentity failed: %w", refusal)
	}
	return nil
}

// readClusterToken takes a token apart and refuses what could make STS do anything but tell a signer's name.
func readClusterToken(token string) (*url.URL, error) {
	encoded, found := strings.CutPrefix(token, clusterTokenPrefix)
	switch {
	case len(token) > maxClusterToken:
		return nil, errors.New("token is too large")
	case !found:
		return nil, fmt.Errorf("token is missing expected %q prefix", clusterTokenPrefix)
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("token is not base64url without padding")
	}
	address, err := url.Parse(string(text))
	if err != nil {
		return nil, errors.New("token is not a URL")
	}
	query, err := url.ParseQuery(address.RawQuery)
	switch {
	case err != nil:
		return nil, errors.New("malformed query parameter")
	case address.Path != "/" || address.User != nil || address.Fragment != "":
		return nil, errors.New("unexpected path in pre-signed URL")
	}
	for name, values := range query {
		if !slices.Contains(clusterTokenParameters, name) {
			return nil, fmt.Errorf("non-whitelisted query parameter %q", name)
		}
		if len(values) != 1 {
			return nil, errors.New("query parameter with multiple values not supported")
		}
	}
	expires, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	switch {
	case query.Get("Action") != "GetCallerIdentity" || query.Get("Version") != stsVersion:
		return nil, errors.New("unexpected action parameter in pre-signed URL")
	case !slices.Contains(strings.Split(query.Get("X-Amz-SignedHeaders"), ";"), clusterHeader):
		return nil, fmt.Errorf("client did not sign the %s header in the pre-signed URL", clusterHeader)
	case err != nil || expires < 0 || time.Duration(expires)*time.Second > maxClusterExpires:
		return nil, errors.New("invalid X-Amz-Expires parameter in pre-signed URL")
	}
	return address, nil
}
