package eks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// fault is a *release.Fault that says what was attempted, AWS's code and message, and what to do. The SDK's own text, one long
// line with a request ID, an HTTP status and nested operation names, stays reachable by errors.As.
func fault(err error, doing, do string) error {
	return &release.Fault{Side: "AWS", Err: fmt.Errorf("%s: %w", doing, &apiError{err}), Do: do}
}

// fault is the function fault with the advice for the error.
func (c *Client) fault(err error, doing string) error { return fault(err, doing, c.advice(err)) }

// apiError is an AWS error whose text is one short printable line.
type apiError struct{ err error }

func (e *apiError) Unwrap() error { return e.err }

func (e *apiError) Error() string {
	var api smithy.APIError
	if errors.As(e.err, &api) {
		return sanitize(api.ErrorCode() + ": " + api.ErrorMessage())
	}
	var operation *smithy.OperationError
	if errors.As(e.err, &operation) {
		return sanitize(operation.Err.Error())
	}
	return sanitize(e.err.Error())
}

// denied tells whether AWS accepts the credentials and refuses them the operation.
func denied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "AccessDeniedException" || api.ErrorCode() == "AccessDenied")
}

// advice says what to do about an error, by AWS's error code. Source: Amazon EKS API Reference, "Common Errors", and DescribeCluster's own errors.
func (c *Client) advice(err error) string {
	var (
		api     smithy.APIError
		unknown *net.DNSError
		network net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &api):
		return c.adviceFor(api.ErrorCode())
	case strings.Contains(err.Error(), "failed to refresh cached credentials"), strings.Contains(err.Error(), "get identity"):
		return "give AWS credentials: aws-actions/configure-aws-credentials in a workflow, `aws sso login` or AWS_PROFILE on a workstation"
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return fmt.Sprintf("check %s: AWS has no endpoint of that name for %s", whereRegion, c.config.Region)
	case errors.As(err, &network):
		return "check that AWS can be reached from here"
	}
	return ""
}

func (c *Client) adviceFor(code string) string {
	switch code {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the AWS credentials have expired: get new ones and run again"
	case "UnrecognizedClientException", "InvalidClientTokenId":
		return fmt.Sprintf("AWS does not know these credentials in %s: check the keys, and that the account has the region enabled", c.config.Region)
	case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return fmt.Sprintf("AWS does not accept these credentials: check the keys, this machine's clock, and %s, which is %s", whereRegion, c.config.Region)
	case "AccessDeniedException", "AccessDenied":
		return "allow it in the role's policy"
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded":
		return "AWS throttled every attempt; run again later"
	case "ServerException", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException", "InternalServerError":
		return "AWS failed; run again"
	}
	return ""
}

func quote(text string) string { return strconv.Quote(text) }

// sanitize is text from AWS as one line of at most 300 bytes.
func sanitize(s string) string { return text.Line(s, 300) }
