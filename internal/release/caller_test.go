package release_test

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func TestCallerExpect(t *testing.T) {
	t.Parallel()
	caller := release.Caller{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/deploy/run"}
	for _, account := range []string{"", "123456789012"} {
		if err := caller.CheckAccount(account); err != nil {
			t.Errorf("%q: %v", account, err)
		}
	}
	for _, account := range []string{"210987654321", "12345678901", " 123456789012"} {
		err := caller.CheckAccount(account)
		if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), caller.ARN) || !strings.Contains(err.Error(), account) {
			t.Errorf("%q: got %v", account, err)
		}
	}
	if err := (release.Caller{Account: "x"}).CheckAccount("x"); err == nil {
		t.Error("accepted an account that is none")
	}
}
