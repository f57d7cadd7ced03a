package eks

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A token is a presigned GetCallerIdentity request. The cluster sends it to STS, whose answer says who signed it. A signed header
// binds it to one cluster.
// Source: github.com/kubernetes-sigs/aws-iam-authenticator, README.md, "API Authorization from Outside a Cluster", and
// pkg/token/token.go
const (
	tokenPrefix   = "k8s-aws-v1." // #nosec G101 -- the prefix of every token
	clusterHeader = "x-k8s-aws-id"
	// presignSeconds is the X-Amz-Expires that aws-iam-authenticator sends. STS ignores it.
	presignSeconds = "60"
	// tokenLife is how long STS accepts a presigned request.
	tokenLife = 15 * time.Minute
	// tokenMargin is how long before it expires a token is replaced. It allows for requests in flight and clock skew.
	tokenMargin = time.Minute
)

// Token signs a bearer token for a cluster of the region. expires is when to replace it: after 14 minutes, or earlier if the
// credentials expire earlier. A token does not prove that the cluster accepts it: signing sends no request, unless the
// credentials must be refreshed.
func (c *Client) Token(ctx context.Context, cluster string) (token string, expires time.Time, err error) {
	if err := checkName(cluster); err != nil {
		return "", time.Time{}, err
	}
	doing := "signing a token for EKS cluster " + quote(cluster)
	credentials, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return "", time.Time{}, c.fault(err, doing)
	}
	expires = time.Now().Add(tokenLife - tokenMargin)
	if credentials.CanExpire && credentials.Expires.Before(expires) {
		expires = credentials.Expires
	}
	signed, err := c.presign.PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, sts.WithPresignClientFromClientOptions(
		sts.WithAPIOptions(
			smithyhttp.SetHeaderValue(clusterHeader, cluster),
			smithyhttp.SetHeaderValue("X-Amz-Expires", presignSeconds), // the signer moves it into the query
		)))
	if err != nil {
		return "", time.Time{}, c.fault(err, doing)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(signed.URL)), expires, nil
}
