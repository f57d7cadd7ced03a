package eks

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A token is a GetCallerIdentity that is signed and not sent: the cluster sends it to STS and learns who signed it. The
// header binds it to one cluster.
// Source: github.com/kubernetes-sigs/aws-iam-authenticator, README.md, "API Authorization from Outside a Cluster", and
// pkg/token/token.go
const (
	tokenPrefix   = "k8s-aws-v1." // #nosec G101 -- what every token begins with
	clusterHeader = "x-k8s-aws-id"
	// presignSeconds is the X-Amz-Expires that authenticators have always been given. STS ignores it.
	presignSeconds = "60"
	// tokenLife is for how long STS takes a presigned request.
	tokenLife = 15 * time.Minute
	// tokenMargin is how much earlier a token is not used any more, for requests under way and clocks that differ.
	tokenMargin = time.Minute
)

// Token is a bearer token for a cluster of the region, and until when it may be used: 14 minutes, or less if the
// credentials end before. No request is made for it, unless the credentials themselves have to be renewed; so it is no
// proof that the cluster will take it.
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
