package eks

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// fault makes a *release.Fault that says what was attempted, AWS's code and message, and how to fix it.
func fault(err error, doing, do string) error {
	return &release.Fault{Side: "AWS", Err: fmt.Errorf("%s: %w", doing, &awsx.Error{Err: err}), Do: do}
}

// fault is like the function fault, with advice for the client's region.
func (c *Client) fault(err error, doing string) error { return fault(err, doing, c.advice(err)) }

// advice describes how to fix an error. Source: Amazon EKS API Reference, "Common Errors", and DescribeCluster's own errors.
func (c *Client) advice(err error) string {
	switch awsx.Code(err) {
	case "UnrecognizedClientException", "InvalidClientTokenId":
		return fmt.Sprintf("AWS does not know these credentials in %s: check the keys, and that the account has the region enabled", c.config.Region)
	case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return fmt.Sprintf("AWS does not accept these credentials: check the keys, this machine's clock, and --region, which is %s", c.config.Region)
	}
	if advice := awsx.CredentialsAdvice(err); advice != "" {
		return advice // the name that does not resolve may be that of the host that issues credentials
	}
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return fmt.Sprintf("check --region: AWS has no endpoint for %s", c.config.Region)
	}
	return awsx.Advice(err)
}

func quote(s string) string { return strconv.Quote(s) }

// sanitize makes text from AWS one printable line of at most 300 bytes.
func sanitize(s string) string { return text.Line(s, 300) }
