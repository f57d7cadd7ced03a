package gates

import (
	"context"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/policy"
)

// Signers reads what a policy names to verify signatures.
type Signers struct{ gate *Gate }

// NewSigners returns the signers of a policy.
func NewSigners(run *app.RunContext, rules policy.Policy) (Signers, error) {
	gate, err := New(run, nil, rules, nil, nil)
	return Signers{gate}, err
}

// PublicKeys returns the keys of a signer in PEM.
func (s Signers) PublicKeys(ctx context.Context, signer policy.Signer) (list []string, err error) {
	_, read, err := s.gate.keysOf(ctx, signer)
	if err != nil {
		return nil, err
	}
	for _, key := range read {
		encoded, err := key.PEM()
		if err != nil {
			return nil, err
		}
		list = append(list, string(encoded))
	}
	return list, nil
}

// TrustedRoot returns the content of the policy's trusted root; nil if it names none.
func (s Signers) TrustedRoot() ([]byte, error) {
	if s.gate.policy.TrustedRoot == "" {
		return nil, nil
	}
	return s.gate.run.Workspace().Read("policy", s.gate.fromPolicyDir(s.gate.policy.TrustedRoot), "name a trusted root of Sigstore")
}
