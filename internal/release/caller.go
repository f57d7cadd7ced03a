package release

import (
	"fmt"
	"regexp"
)

// Caller is whose AWS credentials are in use.
type Caller struct {
	Account string // 12 digits
	ARN     string // of the user, or of the session of a role
}

// accountIDPattern is what an AWS account's id looks like.
// Source: AWS Account Management Reference Guide, "AWS account identifiers".
var accountIDPattern = regexp.MustCompile(`^\d{12}$`)

// IsAccountID tells whether a text is an AWS account's id: twelve digits.
func IsAccountID(text string) bool { return accountIDPattern.MatchString(text) }

// CheckAccount refuses credentials of another account than the one that is meant; "" means any. A text that is no account's id
// is refused too, for it cannot be meant.
func (c Caller) CheckAccount(account string) error {
	if account == "" || account == c.Account && IsAccountID(account) {
		return nil
	}
	return &Refusal{
		Why: fmt.Sprintf("the AWS credentials are of account %s (%s), not of %s", c.Account, c.ARN, account),
		Do:  "use the role of the account that is meant, or correct --expect-account (INPUT_EXPECT_ACCOUNT)",
	}
}
