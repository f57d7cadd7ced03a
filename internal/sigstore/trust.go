// Package sigstore signs statements with certificates that Sigstore issues for identity tokens, and verifies such signatures against a trusted root.
package sigstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/onedigest/onedigest/internal/release"
)

// Trust are the authorities whose certificates, logs and timestamps count.
type Trust struct{ anchors []*verify.Verifier }

const maxRoots = 16

// ParseTrust reads a trusted root of Sigstore, or several, one a line, as `gh attestation trusted-root` prints them.
// Source: sigstore/protobuf-specs, sigstore_trustroot.proto, TrustedRoot in its JSON form.
func ParseTrust(content []byte) (*Trust, error) {
	if read, err := root.NewTrustedRootFromJSON(content); err == nil {
		return newTrust(read)
	}
	var roots []*root.TrustedRoot
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		read, err := root.NewTrustedRootFromJSON(line)
		if err != nil {
			return nil, fmt.Errorf("it is not a trusted root of Sigstore: %w", err)
		}
		if roots = append(roots, read); len(roots) > maxRoots {
			return nil, fmt.Errorf("it has more than %d trusted roots", maxRoots)
		}
	}
	return newTrust(roots...)
}

func newTrust(roots ...*root.TrustedRoot) (*Trust, error) {
	trust := new(Trust)
	for _, each := range roots {
		anchor, err := newAnchor(each)
		if err != nil {
			return nil, err
		}
		trust.anchors = append(trust.anchors, anchor)
	}
	if len(trust.anchors) == 0 {
		return nil, errors.New("it holds no trusted root of Sigstore")
	}
	return trust, nil
}

// newAnchor asks of a signature for what its root has: an entry in a transparency log if the root has logs, as that of the public instance does, and
// otherwise the time of a timestamp authority, as in GitHub's own instance for private repositories; an entry of a certificate log if the
// root has such logs. So what is asked for does not depend on the bundle.
func newAnchor(trusted root.TrustedMaterial) (*verify.Verifier, error) {
	var options []verify.VerifierOption
	switch {
	case len(trusted.FulcioCertificateAuthorities()) == 0:
		return nil, errors.New("the trusted root names no certificate authority")
	case len(trusted.RekorLogs()) > 0:
		options = append(options, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	case len(trusted.TimestampingAuthorities()) > 0:
		options = append(options, verify.WithSignedTimestamps(1))
	default:
		return nil, errors.New("the trusted root names neither a transparency log nor a timestamp authority")
	}
	if len(trusted.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	return verify.NewVerifier(trusted, options...)
}

// Verified is what a valid signature proves.
type Verified struct {
	Identity release.Identity
	Payload  []byte    // the bytes that were signed
	At       time.Time // when, as a log or a timestamp authority says
}

// Verify verifies a bundle with a certificate: the certificate's chain at the time of the signature, the entries in the logs, and the signature over the
// payload. Whose identity counts, and what the statement is about, is for the caller to compare.
func (t *Trust) Verify(encoded []byte) (Verified, error) {
	read := new(bundle.Bundle)
	if err := read.UnmarshalJSON(encoded); err != nil {
		return Verified{}, err
	}
	envelope := read.GetDsseEnvelope()
	if envelope == nil {
		return Verified{}, errors.New("it holds no envelope")
	}
	var refused error
	for _, anchor := range t.anchors {
		// The caller compares the digest of the subject and the identity.
		result, err := anchor.Verify(read, verify.NewPolicy(verify.WithoutArtifactUnsafe(), verify.WithoutIdentitiesUnsafe()))
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		if result.Signature == nil || result.Signature.Certificate == nil || len(result.VerifiedTimestamps) == 0 {
			return Verified{}, errors.New("it is not signed with a certificate at a known time")
		}
		certificate := result.Signature.Certificate
		verified := Verified{Payload: envelope.GetPayload(), At: result.VerifiedTimestamps[0].Timestamp.UTC(), Identity: release.Identity{
			Issuer: certificate.Issuer, Subject: certificate.SubjectAlternativeName,
			Repository: certificate.SourceRepositoryURI, Ref: certificate.SourceRepositoryRef,
		}}
		return verified, verified.Identity.Check()
	}
	return Verified{}, refused
}
