package release

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Identity is who signed with a certificate of Sigstore: what the certificate says of the identity token it was issued for.
type Identity struct {
	Issuer     string // of the token
	Subject    string // the certificate's subject alternative name; on GitHub, the URL of the workflow that signs, with "@" and its ref
	Repository string // URL of the repository whose run it is; "" if the certificate names none
	Ref        string // of that repository; "" if the certificate names none
}

// GitHubIssuer is the issuer of the tokens of GitHub Actions on github.com. Source: GitHub Docs, "OpenID Connect reference".
const GitHubIssuer = "https://token.actions.githubusercontent.com"

const maxIdentity = 2048 // bytes of each part

// Parts of the text of an identity, before the issuer, the repository and the ref.
const (
	ofIssuer = " of "
	inRepo   = " in "
	atRef    = " at "
)

// Check returns an error if the identity has no issuer or no subject, or a part that is longer than 2048 bytes or is not one printable word.
func (i Identity) Check() error {
	if i.Issuer == "" || i.Subject == "" {
		return fmt.Errorf("the identity names no issuer or no subject")
	}
	for _, part := range []string{i.Issuer, i.Subject, i.Repository, i.Ref} {
		if len(part) > maxIdentity || strings.ContainsFunc(part, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return fmt.Errorf("the identity has a part of %d bytes that is too long or not one printable word", len(part))
		}
	}
	return nil
}

// String writes an identity that Check accepts as one text, which ParseIdentity reads.
func (i Identity) String() string {
	text := i.Subject + ofIssuer + i.Issuer
	if i.Repository != "" {
		text += inRepo + i.Repository
	}
	if i.Ref != "" {
		text += atRef + i.Ref
	}
	return text
}

// ParseIdentity reads what String writes; false if the text is something else, such as the ID of a key.
func ParseIdentity(text string) (Identity, bool) {
	words := strings.Split(text, " ")
	if len(words) < 3 || len(words)%2 == 0 {
		return Identity{}, false
	}
	read := Identity{Subject: words[0]}
	for i := 1; i < len(words); i += 2 {
		switch " " + words[i] + " " {
		case ofIssuer:
			read.Issuer = words[i+1]
		case inRepo:
			read.Repository = words[i+1]
		case atRef:
			read.Ref = words[i+1]
		default:
			return Identity{}, false
		}
	}
	return read, read.Check() == nil && read.String() == text
}

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

// RepositorySettings are settings of a registry's repository.
type RepositorySettings struct {
	Exists    bool
	Immutable bool     // a tag that names an image keeps naming it
	Except    []string // patterns of tags for which the opposite holds
}

// Fixes reports whether a tag that names an image keeps naming it. In a pattern of Except, * stands for any characters.
func (s RepositorySettings) Fixes(tag Tag) bool {
	excepted := slices.ContainsFunc(s.Except, func(pattern string) bool {
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(tag.String())
	})
	return s.Exists && s.Immutable != excepted
}
