package awsx

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/onedigest/onedigest/internal/text"
)

// maxMessage is the longest text of an Error, in bytes.
const maxMessage = 400

// Error is an error of AWS's SDK whose text is one short line: AWS's code and message. The SDK's own text, one long line with
// a request ID, an HTTP status and nested operation names, stays reachable by errors.As.
type Error struct{ Err error }

// Unwrap returns the SDK's error.
func (e *Error) Unwrap() error { return e.Err }

// Error implements error.
func (e *Error) Error() string {
	var (
		api       smithy.APIError
		operation *smithy.OperationError
	)
	switch {
	case errors.As(e.Err, &api):
		return text.Line(api.ErrorCode()+": "+api.ErrorMessage(), maxMessage)
	case errors.As(e.Err, &operation):
		return text.Line(operation.Err.Error(), maxMessage)
	}
	return text.Line(e.Err.Error(), maxMessage)
}

// Code is AWS's code of an error ("AccessDeniedException"), "" if AWS did not answer with one.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// IsDenied reports whether AWS accepts the credentials and refuses them the operation.
func IsDenied(err error) bool {
	code := Code(err)
	return code == "AccessDeniedException" || code == "AccessDenied"
}

// Advice says what to do about errors that any service of AWS returns, "" if it is not one of them.
// Source: the services' API references, "Common Errors".
func Advice(err error) string {
	var network net.Error
	switch code := Code(err); {
	case errors.Is(err, context.Canceled):
		return ""
	case code != "":
		return adviceFor(code)
	case isWithoutCredentials(err):
		return credentialsAdvice
	case errors.As(err, &network):
		return "check that AWS can be reached from here"
	}
	return ""
}

const credentialsAdvice = "give AWS credentials: aws-actions/configure-aws-credentials in a workflow, `aws sso login` or AWS_PROFILE on a workstation"

// CredentialsAdvice is Advice for an error of getting credentials, "" for any other.
func CredentialsAdvice(err error) string {
	if Code(err) == "" && !errors.Is(err, context.Canceled) && isWithoutCredentials(err) {
		return credentialsAdvice
	}
	return ""
}

func isWithoutCredentials(err error) bool {
	return strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "get identity")
}

func adviceFor(code string) string {
	switch code {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the AWS credentials have expired: get new ones and run again"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
		"IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return "AWS does not know these credentials: check the account, the keys and this machine's clock"
	case "AccessDeniedException", "AccessDenied":
		return "allow it in the role's policy"
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded":
		return "AWS throttled every attempt; run again later"
	case "ServerException", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException", "InternalServerError":
		return "AWS failed; run again"
	}
	return ""
}
