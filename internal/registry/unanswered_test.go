package registry

import (
	"context"
	"errors"
	"net"
	"testing"
)

// TestFaultsThatAreNoAnswer: a refusal and wrong bytes are answers; an outage is none.
func TestFaultsThatAreNoAnswer(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: &blockedError{to: "169.254.169.254", why: "a metadata service"}}
	for err, want := range map[error]bool{
		&statusError{Status: 429}: true, &statusError{Status: 503}: true, &statusError{Status: 401}: false, &statusError{Status: 403}: false,
		&mismatchError{}: false, refused: false, &net.OpError{Op: "dial", Err: errors.New("refused")}: true, &net.DNSError{IsNotFound: true}: true, context.DeadlineExceeded: true,
	} {
		if got := isUnanswered(err); got != want {
			t.Errorf("%v: got %v", err, got)
		}
	}
}
