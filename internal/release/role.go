package release

import (
	"fmt"
	"regexp"
)

// RoleARN is the ARN of an IAM role.
type RoleARN struct {
	Partition string // such as aws
	Account   string // twelve digits
}

// rolePattern matches the ARN of a role in every partition. Source: AWS IAM User Guide, "IAM identifiers".
var rolePattern = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]{1,512}$`)

// ParseRoleARN reads the ARN of an IAM role.
func ParseRoleARN(text string) (RoleARN, error) {
	parts := rolePattern.FindStringSubmatch(text)
	if parts == nil {
		return RoleARN{}, fmt.Errorf("%q is not the ARN of a role, such as arn:aws:iam::123456789012:role/NAME", text)
	}
	return RoleARN{Partition: parts[1], Account: parts[2]}, nil
}
