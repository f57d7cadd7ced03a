// Package signed wraps a statement into a signed envelope that cosign verifies with a public key: DSSE in a Sigstore bundle v0.3.
package signed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
)

const (
	// MediaType is that of the bundle, and the artifact type of its referrer. Source: sigstore/protobuf-specs, sigstore_bundle.proto.
	MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// StatementType is the payload type of the envelope, which Sigstore's verifiers require. Source: in-toto attestation spec v1, envelope.md.
	StatementType = "application/vnd.in-toto+json"
	// AnnotationContent is on the referrer's manifest, and says what the bundle holds.
	AnnotationContent = "dev.sigstore.bundle.content"
	// AnnotationPredicateType is on the referrer's manifest. cosign reads only bundles with the type that it looks for.
	AnnotationPredicateType = "dev.sigstore.bundle.predicateType"
	// ContentEnvelope is the value of AnnotationContent.
	ContentEnvelope = "dsse-envelope"

	// Limit is the largest bundle, in bytes: a statement of 712 KiB as base64, with room for a certificate chain, within the 1 MiB that is read of a
	// referrer.
	Limit = 1000 << 10

	maxSignature = 1024 // bytes
)

// Signer signs statements.
type Signer interface {
	// SignStatement returns a bundle with a statement and its signature.
	SignStatement(ctx context.Context, statement []byte) ([]byte, error)
	// ID returns what Verify returns for the signer's bundles: a key's ID, or an identity.
	ID() string
	// Verifier accepts the signer's bundles and no others.
	Verifier() Verifier
}

// Verifier verifies who signed.
type Verifier interface {
	// Verify returns the ID of who signed a payload. The error is ErrOtherKey if it was another key, or else says why the signature does not count.
	Verify(e Envelope) (id string, err error)
}

// ErrOtherKey is the error of a signature that was not made with a key.
var ErrOtherKey = errors.New("the signature was not made with this key")

// KeyHolder signs messages with one key.
type KeyHolder interface {
	// Sign returns the ASN.1 form of an ECDSA signature over the SHA-256 digest of a message.
	Sign(ctx context.Context, message []byte) ([]byte, error)
	// Key returns the public key.
	Key() Key
}

// WithKey returns a signer that signs with a key.
func WithKey(holder KeyHolder) *KeySigner { return &KeySigner{holder} }

// KeySigner signs with the key of its holder.
type KeySigner struct{ KeyHolder }

// SignStatement returns a bundle with a statement and its signature.
func (s *KeySigner) SignStatement(ctx context.Context, statement []byte) ([]byte, error) {
	return Sign(ctx, statement, s)
}

// ID returns the key's ID.
func (s *KeySigner) ID() string { return s.Key().ID }

// Verifier returns the public key.
func (s *KeySigner) Verifier() Verifier { return s.Key() }

// bundle is the part of a Sigstore bundle that is used. Source: sigstore/protobuf-specs, sigstore_bundle.proto, in its JSON form.
type bundle struct {
	MediaType string   `json:"mediaType"`
	Material  material `json:"verificationMaterial"`
	Envelope  envelope `json:"dsseEnvelope"`
}

// material names what verifies the signature: a key that the verifier has, or a certificate.
type material struct {
	PublicKey   *publicKey      `json:"publicKey,omitempty"`
	Certificate json.RawMessage `json:"certificate,omitempty"`
	Chain       json.RawMessage `json:"x509CertificateChain,omitempty"`
}

type publicKey struct {
	Hint string `json:"hint,omitempty"`
}

// envelope is a DSSE envelope. Source: secure-systems-lab/dsse, envelope.md.
type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig []byte `json:"sig"`
}

// Sign returns a bundle with a statement and the signature of a key.
func Sign(ctx context.Context, statement []byte, signer KeyHolder) ([]byte, error) {
	sig, err := signer.Sign(ctx, signedBytes(StatementType, statement))
	if err != nil {
		return nil, err
	}
	key := signer.Key()
	if err := key.verify(signedBytes(StatementType, statement), sig); err != nil {
		return nil, fmt.Errorf("the new signature does not match its own public key %s: %w", key.ID, err)
	}
	encoded, err := json.Marshal(bundle{
		MediaType: MediaType,
		Material:  material{PublicKey: &publicKey{Hint: key.ID}},
		Envelope:  envelope{Payload: statement, PayloadType: StatementType, Signatures: []signature{{Sig: sig}}},
	})
	if err == nil && len(encoded) > Limit {
		err = fmt.Errorf("the signed statement is %d bytes long, limit %d", len(encoded), Limit)
	}
	return encoded, err
}

// signedBytes returns the message that DSSE signs: the type and the payload with their lengths, so that neither can be taken for the other.
// Source: secure-systems-lab/dsse, protocol.md, "Signature Definition" (PAE).
func signedBytes(payloadType string, payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload)), payload...)
}

// Envelope is a parsed bundle. Nothing in it is trusted before Verify.
type Envelope struct {
	Payload []byte // the statement's own bytes
	Hint    string // the key that signed it, as the bundle claims; "" if it names none
	Keyless bool   // signed with a certificate
	Bundle  []byte // the whole bundle
	sig     []byte
}

// Parse reads a bundle with one signature over an in-toto statement. It verifies nothing. A bundle of another version, with another payload
// type, with several signatures or with a field twice is an error.
func Parse(encoded []byte) (Envelope, error) {
	parsed, err := parse(encoded)
	if err != nil {
		return Envelope{}, fmt.Errorf("reading a signed record: %w", err)
	}
	return parsed, nil
}

// parse is Parse without the context that it adds to errors.
func parse(encoded []byte) (Envelope, error) {
	if len(encoded) > Limit {
		return Envelope{}, fmt.Errorf("it is %d bytes long, limit %d", len(encoded), Limit)
	}
	var read bundle
	if err := strictjson.Decode(encoded, &read); err != nil {
		return Envelope{}, err
	}
	certificates := len(read.Material.Certificate) > 0 || len(read.Material.Chain) > 0
	switch {
	case read.MediaType != MediaType:
		return Envelope{}, fmt.Errorf("media type %q is not %s", read.MediaType, MediaType)
	case read.Envelope.PayloadType != StatementType:
		return Envelope{}, fmt.Errorf("payload type %q is not %s", read.Envelope.PayloadType, StatementType)
	case len(read.Envelope.Payload) == 0:
		return Envelope{}, errors.New("it has no payload")
	case len(read.Envelope.Signatures) != 1:
		return Envelope{}, fmt.Errorf("it has %d signatures, want one", len(read.Envelope.Signatures))
	case len(read.Envelope.Signatures[0].Sig) == 0 || len(read.Envelope.Signatures[0].Sig) > maxSignature:
		return Envelope{}, fmt.Errorf("its signature is %d bytes long, want 1 to %d", len(read.Envelope.Signatures[0].Sig), maxSignature)
	case certificates == (read.Material.PublicKey != nil):
		return Envelope{}, errors.New("it must name either a public key or a certificate")
	}
	result := Envelope{Payload: read.Envelope.Payload, Keyless: certificates, Bundle: encoded, sig: read.Envelope.Signatures[0].Sig}
	if read.Material.PublicKey != nil {
		result.Hint = read.Material.PublicKey.Hint
	}
	return result, nil
}

// UntrustedError reports that nobody who is trusted made a signature.
type UntrustedError struct {
	Hint    string // the key that signed it, as the bundle claims; "" if it names none
	Keyless bool   // it was signed with a certificate
	Trusted int    // number of trusted signers
	Why     error  // why the certificate does not count; nil if no identity is trusted, or a key signed
}

// Error names the key that the bundle claims.
func (e *UntrustedError) Error() string {
	switch {
	case e.Keyless && e.Why != nil:
		return "its certificate does not count: " + e.Why.Error()
	case e.Keyless:
		return "it is signed with a certificate, which a key cannot verify"
	case e.Hint == "":
		return fmt.Sprintf("none of %d trusted keys signed it", e.Trusted)
	}
	return fmt.Sprintf("none of %d trusted keys signed it; it names the key %q", e.Trusted, e.Hint)
}

// Unwrap returns why the certificate does not count.
func (e *UntrustedError) Unwrap() error { return e.Why }

// Verify returns the ID of the key or the identity that signed the payload. If none of the trusted did, the error is an *UntrustedError. The hint of
// the bundle is not used: its writer chooses it.
func (e Envelope) Verify(trusted []Verifier) (id string, err error) {
	untrusted := &UntrustedError{Hint: e.Hint, Keyless: e.Keyless, Trusted: len(trusted)}
	for _, each := range trusted {
		id, err := each.Verify(e)
		switch {
		case err == nil:
			return id, nil
		case !errors.Is(err, ErrOtherKey):
			untrusted.Why = err
		}
	}
	return "", untrusted
}

// Verifiers returns keys as verifiers.
func Verifiers(keys ...Key) []Verifier {
	verifiers := make([]Verifier, len(keys))
	for i, key := range keys {
		verifiers[i] = key
	}
	return verifiers
}

// VerifyFunc is a function as a Verifier.
type VerifyFunc func(e Envelope) (id string, err error)

// Verify calls the function.
func (f VerifyFunc) Verify(e Envelope) (id string, err error) { return f(e) }
