package awsx_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/awsx"
)

// TestCredentialsAdvice: the host that gives credentials does not resolve, which says nothing about the service's region.
func TestCredentialsAdvice(t *testing.T) {
	t.Parallel()
	missing := &net.DNSError{Err: "no such host", Name: "sso.example.com", IsNotFound: true}
	for _, err := range []error{fmt.Errorf("get identity: get credentials: failed to refresh cached credentials, %w", missing), errors.New("get identity: none")} {
		if got := awsx.CredentialsAdvice(err); !strings.Contains(got, "give AWS credentials") || got != awsx.Advice(err) {
			t.Errorf("%v: got %q", err, got)
		}
	}
	if got := awsx.CredentialsAdvice(missing); got != "" {
		t.Errorf("got %q for an endpoint that does not resolve", got)
	}
}
