package awsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
)

func TestErrorIsOneShortLine(t *testing.T) {
	t.Parallel()
	api := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no\n##[error]x\x1b[2J " + strings.Repeat("a", 1000)}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"AWS's answer":  {&smithy.OperationError{ServiceID: "ECR", OperationName: "PutImage", Err: api}, `AccessDeniedException: no ##\[error]x aaa`},
		"no answer":     {&smithy.OperationError{ServiceID: "ECR", OperationName: "PutImage", Err: errors.New("connection\nrefused")}, "connection refused"},
		"another error": {errors.New("reading\nthe profile"), "reading the profile"},
	} {
		wrapped := &Error{Err: test.err}
		if got := wrapped.Error(); !strings.HasPrefix(got, test.want) || len(got) > maxMessage || strings.ContainsAny(got, "\n\x1b") {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		if !errors.Is(wrapped, test.err) {
			t.Errorf("%s: the SDK's error is not reachable", name)
		}
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	code := func(code string) error {
		return &smithy.OperationError{Err: &smithy.GenericAPIError{Code: code, Message: "m"}}
	}
	for name, test := range map[string]struct {
		err    error
		want   string
		denied bool
	}{
		"expired":        {code("ExpiredTokenException"), "get new ones", false},
		"unknown":        {code("UnrecognizedClientException"), "does not know these credentials", false},
		"denied":         {code("AccessDeniedException"), "allow it in the role's policy", true},
		"throttled":      {code("ThrottlingException"), "run again later", false},
		"AWS's fault":    {code("ServerException"), "AWS failed", false},
		"no credentials": {errors.New("get identity: get credentials: failed to refresh cached credentials"), "give AWS credentials", false},
		"no network":     {fmt.Errorf("sending: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), "can be reached from here", false},
		"cancelled":      {fmt.Errorf("sending: %w", context.Canceled), "", false},
		"others":         {code("InvalidParameterException"), "", false},
	} {
		if got := Advice(test.err); test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		if got := IsDenied(test.err); got != test.denied {
			t.Errorf("%s: denied is %t", name, got)
		}
	}
}
