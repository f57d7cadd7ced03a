package eks

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

	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
)

// A token for an EKS cluster is a presigned GetCallerIdentity: its holder can ask STS who signed it, and nothing else. The cluster's
// name is in a signed header, so that a token for one cluster is not valid for another.
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, README.md, "API Authorization from Outside a Cluster",
// and pkg/token/token.go (Verify)
const (
	tokenPrefix   = "k8s-aws-v1." // #nosec G101 -- what every token begins with
	clusterHeader = "x-k8s-aws-id"

	maxToken   = 4 << 10
	maxExpires = 15 * time.Minute // of X-Amz-Expires, which STS ignores
)

// tokenParameters are the parameters that a token's query may have.
var tokenParameters = []string{
	"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token",
	"X-Amz-Signature", "X-Amz-SignedHeaders",
}

// checkToken returns an error for a token that is not valid for the cluster.
func (a *API) checkToken(cluster, token string) error {
	address, err := parseToken(token)
	if err != nil {
		return err
	}
	if at, err := url.Parse(a.options.URL()); err != nil || at.Host == "" || address.Scheme != at.Scheme || address.Host != at.Host {
		return fmt.Errorf("unexpected host %q in pre-signed URL: STS is at %s", address.Host, a.options.URL())
	}
	signed, err := time.Parse(sigv4.TimeFormat, address.Query().Get("X-Amz-Date"))
	now := a.options.Now()
	switch {
	case err != nil:
		return errors.New("X-Amz-Date parameter is not a time")
	case !now.Before(signed.Add(a.options.TokenLife)):
		return fmt.Errorf("X-Amz-Date parameter is expired (%s expiration) %s", a.options.TokenLife, signed)
	}
	// STS would answer the same to the request itself.
	request := &http.Request{
		Method: http.MethodGet, URL: address, Host: address.Host, Header: http.Header{},
		Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	request.Header.Set(clusterHeader, cluster)
	if refusal := a.options.Verifier.Verify(request, nil, "sts", now); refusal != nil {
		return fmt.Errorf("sts getCallerIdentity failed: %w", refusal)
	}
	return nil
}

// parseToken decodes a token and refuses what could make STS do anything but return the signer's identity.
func parseToken(token string) (*url.URL, error) {
	encoded, found := strings.CutPrefix(token, tokenPrefix)
	switch {
	case len(token) > maxToken:
		return nil, errors.New("token is too large")
	case !found:
		return nil, fmt.Errorf("token is missing expected %q prefix", tokenPrefix)
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
		if !slices.Contains(tokenParameters, name) {
			return nil, fmt.Errorf("non-whitelisted query parameter %q", name)
		}
		if len(values) != 1 {
			return nil, errors.New("query parameter with multiple values not supported")
		}
	}
	expires, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	switch {
	case query.Get("Action") != "GetCallerIdentity" || query.Get("Version") != "2011-06-15":
		return nil, errors.New("unexpected action parameter in pre-signed URL")
	case !slices.Contains(strings.Split(query.Get("X-Amz-SignedHeaders"), ";"), clusterHeader):
		return nil, fmt.Errorf("client did not sign the %s header in the pre-signed URL", clusterHeader)
	case err != nil || expires < 0 || time.Duration(expires)*time.Second > maxExpires:
		return nil, errors.New("invalid X-Amz-Expires parameter in pre-signed URL")
	}
	return address, nil
}
