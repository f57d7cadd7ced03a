package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// noKeyless is the error of a program without keyless signing.
func noKeyless(name string) error {
	return release.BadSetting(name, "asks for keyless signing, which only the program onedigest has", "run the verb as onedigest VERB, or name a key")
}

// keylessSigner signs with certificates for the identity of the job.
func keylessSigner(ctx context.Context, run *app.RunContext, name string, ref setting.KeyRef) (signed.Signer, error) {
	if run.Process.Keyless == nil {
		return nil, noKeyless(name)
	}
	signer, err := run.Process.Keyless.Signer(ctx, run, name, ref.Name)
	if err != nil {
		return nil, err
	}
	run.Reporter.Infof("signing as %s", signer.Identity())
	return identitySigner{signer}, nil
}

type identitySigner struct{ app.KeylessSigner }

// ID returns the identity.
func (s identitySigner) ID() string { return s.Identity().String() }

// Verifier accepts what the same identity signed.
func (s identitySigner) Verifier() signed.Verifier {
	own := s.Identity()
	return verifier(s.Trust(), func(by release.Identity) bool { return by == own })
}

// Certificates reads a trusted root, "" for that of the public instance of Sigstore, and returns how to verify the certificates of the identities
// that count.
func Certificates(ctx context.Context, run *app.RunContext, name, file string) (func(counts func(release.Identity) bool) signed.Verifier, error) {
	if run.Process.Keyless == nil {
		return nil, noKeyless(name)
	}
	trust, err := run.Process.Keyless.Trust(ctx, run, name, file)
	if err != nil {
		return nil, err
	}
	return func(counts func(release.Identity) bool) signed.Verifier { return verifier(trust, counts) }, nil
}

func verifier(trust app.KeylessTrust, counts func(release.Identity) bool) signed.Verifier {
	return signed.VerifyFunc(func(e signed.Envelope) (string, error) {
		if !e.Keyless {
			return "", signed.ErrOtherKey
		}
		by, payload, at, err := trust.Verify(e.Bundle)
		switch {
		case err != nil:
			return "", err
		case !bytes.Equal(payload, e.Payload):
			return "", errors.New("the statement that was read is not the one that is signed")
		case !counts(by):
			return "", fmt.Errorf("it is signed by %s, who is not one of the signers that count", by)
		}
		if err := checkSigningTime(payload, at); err != nil {
			return "", err
		}
		return by.String(), nil
	})
}

// maxSigningSkew is how far a fact's own time may be from that of its signature: a verb signs right after what it states.
const maxSigningSkew = 10 * time.Minute

// checkSigningTime refuses a fact whose own time differs by more than maxSigningSkew from the time of its signature, which a transparency log or a timestamp
// authority attests: a gate orders facts, and tells their age, by their own time. An SBOM and provenance may be older than their signature; a statement
// that is no fact has no time to compare.
func checkSigningTime(statement []byte, signedAt time.Time) error {
	read, err := evidence.DecodeFact(statement)
	if err != nil || read.Kind == fact.Listed || read.Kind == fact.Built || read.At.IsZero() {
		return nil
	}
	if apart := read.At.Sub(signedAt).Abs(); apart > maxSigningSkew {
		return fmt.Errorf("it is dated %s and was signed at %s, more than %s apart", read.At.UTC().Format(time.RFC3339), signedAt.UTC().Format(time.RFC3339), text.Duration(maxSigningSkew))
	}
	return nil
}
