package kms

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
)

// policy is a key policy. What this server does not evaluate (conditions, NotAction, NotPrincipal) is refused when the key is made.
// Source: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
type policy struct {
	Version   string
	Statement []statement
}

// statement allows or denies actions to principals. Its resource is always the key.
type statement struct {
	Sid, Effect string
	Principal   struct{ AWS oneOrMore }
	Action      oneOrMore
	Resource    oneOrMore
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

// UnmarshalJSON accepts both.
func (o *oneOrMore) UnmarshalJSON(encoded []byte) error {
	var one string
	if json.Unmarshal(encoded, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	var more []string
	err := json.Unmarshal(encoded, &more)
	*o = more
	return err
}

// parsePolicy reads a policy; "" is the default one, which leaves the decision to IAM.
func parsePolicy(encoded string) (*policy, error) {
	if encoded == "" {
		return nil, nil
	}
	var raw struct{ Statement []map[string]json.RawMessage }
	var parsed policy
	if err := errors.Join(json.Unmarshal([]byte(encoded), &raw), json.Unmarshal([]byte(encoded), &parsed)); err != nil {
		return nil, err
	}
	for i, each := range parsed.Statement {
		for name := range raw.Statement[i] {
			if !slices.Contains([]string{"Sid", "Effect", "Principal", "Action", "Resource"}, name) {
				return nil, fmt.Errorf("this server does not evaluate %s", name)
			}
		}
		if each.Effect != "Allow" && each.Effect != "Deny" || len(each.Action) == 0 || len(each.Principal.AWS) == 0 {
			return nil, errors.New("a statement needs Effect, Principal.AWS and Action")
		}
	}
	return &parsed, nil
}

// allows reports whether a principal of the account may do something with the key. A statement for the account's root leaves it to IAM, which
// allows this server's principal everything; what no statement allows is denied.
// Source: https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html
func (p *policy) allows(account, principal, action string) bool {
	if p == nil {
		return true
	}
	allowed := false
	for _, each := range p.Statement {
		covers := slices.ContainsFunc(each.Principal.AWS, func(named string) bool {
			return named == "*" || named == principal || named == account || named == "arn:aws:iam::"+account+":root"
		}) && slices.ContainsFunc(each.Action, func(pattern string) bool {
			matched, err := path.Match(pattern, action)
			return err == nil && matched
		})
		switch {
		case covers && each.Effect == "Deny":
			return false
		case covers:
			allowed = true
		}
	}
	return allowed
}
