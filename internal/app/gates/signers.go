package gates

import (
	"context"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
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

// ReadSigner is a signer that counts in an environment.
type ReadSigner struct {
	policy.Signer
	OfJob bool  // its key is in the environment of a job
	Err   error // why its key, or the trusted root, cannot be read
}

// CheckSigners reads the key or the trusted root of each signer that counts in an environment, as a gate does. Without a file of rules, or without the environment in
// it, there are none. The error is that of the file.
func CheckSigners(ctx context.Context, run *app.RunContext, environment release.Environment) (found []ReadSigner, err error) {
	rules, err := readPolicy(run, "")
	if err != nil {
		return nil, err
	}
	rung, isListed := rules.Rung(environment)
	if !isListed {
		return nil, nil
	}
	gate, err := New(run, nil, rules, nil, nil)
	if err != nil {
		return nil, err
	}
	for _, signer := range rung.AllSigners(rules) {
		each := ReadSigner{Signer: signer}
		if signer.IsIdentity() {
			_, each.Err = gate.certificates(ctx)
		} else {
			var ref setting.KeyRef
			ref, _, each.Err = gate.keysOf(ctx, signer)
			each.OfJob = ref.Source == setting.KeyEnv
		}
		found = append(found, each)
	}
	return found, nil
}
