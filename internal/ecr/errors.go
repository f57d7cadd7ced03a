package ecr

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

// mismatchError says that bytes are not the ones that a digest names.
type mismatchError struct{ wanted, got release.Digest }

func (e *mismatchError) Error() string {
	return fmt.Sprintf("ECR gave bytes of %s as %s", e.got, e.wanted)
}

// fault words an AWS error for people: what was done, AWS's code and message, and what to do. The SDK's own text is
// one long line with a request id, an HTTP status and nested operation names; it stays reachable by errors.As.
func fault(err error, doing, action string) error {
	var inner *release.Fault
	if errors.As(err, &inner) {
		return inner
	}
	return &release.Fault{Side: "AWS", Err: fmt.Errorf("%s: %w", doing, &told{err}), Do: advice(err, action)}
}

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

func advice(err error, action string) string {
	var (
		api      smithy.APIError
		mismatch *mismatchError
		network  net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &mismatch):
		return "do not use this image; look at the repository's history in CloudTrail"
	case errors.Is(err, errNoRegion):
		return "set AWS_REGION"
	case errors.As(err, &api):
		return adviceFor(api.ErrorCode(), action)
	case strings.Contains(err.Error(), "failed to refresh cached credentials"), strings.Contains(err.Error(), "get identity"):
		return "give AWS credentials: aws-actions/configure-aws-credentials in a workflow, `aws sso login` or AWS_PROFILE on a workstation"
	case errors.As(err, &network):
		return "check that AWS can be reached from here"
	}
	return ""
}

// adviceFor goes by AWS's code. Source: Amazon ECR API Reference, "Common Errors" and the actions' own errors.
func adviceFor(code, action string) string {
	switch code {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the AWS credentials have expired: get new ones and run it again"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return "AWS does not know these credentials: check the account, the keys and this machine's clock"
	case "AccessDeniedException", "AccessDenied":
		if action == "" {
			return "allow it in the role's policy"
		}
		return "allow " + action + " in the role's policy, and for another account's repository in that repository's policy"
	case "RepositoryNotFoundException":
		return "create the repository, or correct its name, account or region"
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded":
		return "AWS kept asking to slow down; run it again later"
	case "ServerException", "InternalFailure", "ServiceUnavailable", "InternalServerError":
		return "AWS failed; run it again"
	case "TooManyTagsException":
		return "the image has as many tags as ECR allows; remove some"
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
