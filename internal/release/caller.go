package release

import (
	"fmt"
	"regexp"
)

// Caller is the AWS identity of the current credentials.
type Caller struct {
	Account string // 12 digits
	ARN     string // of the user, or of the session of a role
}

// Source: AWS Account Management Reference Guide, "AWS account identifiers".
var accountIDPattern = regexp.MustCompile(`^\d{12}$`)

// IsAccountID reports whether a text is an AWS account's id: twelve digits.
func IsAccountID(text string) bool { return accountIDPattern.MatchString(text) }

// CheckAccount refuses credentials of another account; "" accepts any account. It also refuses a text that is not an account's
// id. The error is a *Refusal.
func (c Caller) CheckAccount(account string) error {
	if account == "" || account == c.Account && IsAccountID(account) {
		return nil
	}
	return &Refusal{
		Why: fmt.Sprintf("the AWS credentials belong to account %s (%s), not to %s", c.Account, c.ARN, account),
		Do:  "use a role of that account, or correct --expect-account",
	}
}
