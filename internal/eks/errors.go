package eks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"

	"github.com/aws/smithy-go"

	"github.com/onedigest/onedigest/internal/release"
)

// fault words an AWS error for people: what was done, AWS's code and message, and what to do. The SDK's own text is one
// long line with a request id, an HTTP status and nested operation names; it stays reachable by errors.As.
func fault(err error, doing, do string) error {
	return &release.Fault{Side: "AWS", Err: fmt.Errorf("%s: %w", doing, &told{err}), Do: do}
}

// fault is fault with the advice that goes with the error.
func (c *Client) fault(err error, doing string) error { return fault(err, doing, c.advice(err)) }

// told is an AWS error in one short safe line.
type told struct{ err error }

func (t *told) Unwrap() error { return t.err }

func (t *told) Error() string {
	var api smithy.APIError
	if errors.As(t.err, &api) {
		return safe(api.ErrorCode() + ": " + api.ErrorMessage())
	}
	var operation *smithy.OperationError
	if errors.As(t.err, &operation) {
		return safe(operation.Err.Error())
	}
	return safe(t.err.Error())
}

// denied tells whether AWS knows the credentials and forbids them what they ask.
func denied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "AccessDeniedException" || api.ErrorCode() == "AccessDenied")
}

// advice goes by AWS's code. Source: Amazon EKS API Reference, "Common Errors", and DescribeCluster's own errors.
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
		return "the AWS credentials have expired: get new ones and run it again"
	case "UnrecognizedClientException", "InvalidClientTokenId":
		return fmt.Sprintf("AWS does not know these credentials in %s: check the keys, and that the account has the region enabled", c.config.Region)
	case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return fmt.Sprintf("AWS does not take these credentials: check the keys, this machine's clock, and %s, which is %s", whereRegion, c.config.Region)
	case "AccessDeniedException", "AccessDenied":
		return "allow it in the role's policy"
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded":
		return "AWS kept asking to slow down; run it again later"
	case "ServerException", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException", "InternalServerError":
		return "AWS failed; run it again"
	}
	return ""
}

func quote(text string) string { return strconv.Quote(text) }

// safe makes text from outside fit for one line of at most 300 characters.
func safe(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + "…"
	}
	return text
}
