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

// Error wraps an error of AWS's SDK and prints one short line: AWS's code and message. The SDK's own text is longer: request ID,
// HTTP status, nested operation names. errors.As still finds the SDK's error.
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

// Code returns AWS's code of an error ("AccessDeniedException"), or "" if the error is not an answer of AWS.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// IsDenied reports whether AWS accepted the credentials but denied the operation.
func IsDenied(err error) bool {
	code := Code(err)
	return code == "AccessDeniedException" || code == "AccessDenied"
}

// Advice describes how to fix an error that any AWS service can return, or "" for other errors.
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

const credentialsAdvice = "give AWS credentials: the setting role, with id-token: write, in a workflow; `aws sso login` or AWS_PROFILE on a workstation"

// CredentialsAdvice is Advice for errors about credentials only; "" for any other error.
func CredentialsAdvice(err error) string {
	if Code(err) == "" && !errors.Is(err, context.Canceled) && isWithoutCredentials(err) {
		return credentialsAdvice
	}
	return ""
}

func isWithoutCredentials(err error) bool {
	return strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "get identity")
}

// adviceFor returns the advice for one of AWS's common error codes, "" for others.
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
