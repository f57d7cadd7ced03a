package signed

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// The types of PEM blocks. Source: cosign, pkg/cosign/keys.go, for the encrypted ones.
const (
	pemPublic    = "PUBLIC KEY"
	pemPKCS8     = "PRIVATE KEY"
	pemEC        = "EC PRIVATE KEY"
	pemCosign    = "ENCRYPTED COSIGN PRIVATE KEY"
	pemSigstore  = "ENCRYPTED SIGSTORE PRIVATE KEY"
	wantedFormat = "an ECDSA P-256 key in PEM"
)

// Key is an ECDSA public key on the curve P-256.
type Key struct {
	ID     string // base64 of the SHA-256 digest of the key's PKIX form, which is cosign's hint
	public *ecdsa.PublicKey
}

// NewKey accepts an ECDSA key with the curve P-256.
func NewKey(public any) (Key, error) {
	key, ok := public.(*ecdsa.PublicKey)
	switch {
	case !ok:
		return Key{}, fmt.Errorf("it is a %T, want ECDSA with the curve P-256", public)
	case key.Curve != elliptic.P256():
		return Key{}, fmt.Errorf("it is an ECDSA key with the curve %s, want P-256", key.Curve.Params().Name)
	}
	encoded, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256(encoded)
	return Key{ID: base64.StdEncoding.EncodeToString(sum[:]), public: key}, nil
}

// ParseKeys reads the public keys of a PEM file, at least one.
func ParseKeys(content []byte) (keys []Key, err error) {
	for len(content) > 0 {
		block, rest := pem.Decode(content)
		if block == nil {
			break
		}
		if block.Type != pemPublic {
			return nil, fmt.Errorf("it holds a block %q, want %q", block.Type, pemPublic)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		key, err := NewKey(public)
		if err != nil {
			return nil, err
		}
		keys, content = append(keys, key), rest
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("it holds no block %q", pemPublic)
	}
	return keys, nil
}

// PEM returns the key in the form that cosign's --key reads.
func (k Key) PEM() ([]byte, error) {
	encoded, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: encoded}), nil
}

// Verify returns the key's ID if the key signed the payload, otherwise ErrOtherKey.
func (k Key) Verify(e Envelope) (id string, err error) {
	if e.Keyless || k.verify(signedBytes(StatementType, e.Payload), e.sig) != nil {
		return "", ErrOtherKey
	}
	return k.ID, nil
}

// verify returns an error if a signature over the SHA-256 digest of a message was not made with the key.
func (k Key) verify(message, sig []byte) error {
	sum := sha256.Sum256(message)
	if k.public == nil || !ecdsa.VerifyASN1(k.public, sum[:], sig) {
		return ErrOtherKey
	}
	return nil
}

// memoryKey holds a private key in memory.
type memoryKey struct {
	private *ecdsa.PrivateKey
	key     Key
}

// ParseSigner reads a private key in PEM: PKCS #8, SEC 1, or cosign's encrypted form, which the password decrypts. No error quotes the content.
func ParseSigner(content []byte, password string) (*KeySigner, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("it is not " + wantedFormat)
	}
	encoded := block.Bytes
	switch block.Type {
	case pemPKCS8, pemEC:
	case pemCosign, pemSigstore:
		var err error
		if encoded, err = encrypted.Decrypt(encoded, []byte(password)); err != nil {
			return nil, errors.New("the password does not decrypt it")
		}
	default:
		return nil, fmt.Errorf("its PEM block is not a private key, want %s", wantedFormat)
	}
	private, err := parsePrivate(block.Type, encoded)
	if err != nil {
		return nil, err
	}
	key, err := NewKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return WithKey(memoryKey{private: private, key: key}), nil
}

// parsePrivate parses the decrypted content of a PEM block of the given type: SEC 1 or PKCS #8. Its errors quote nothing of the content.
func parsePrivate(kind string, encoded []byte) (*ecdsa.PrivateKey, error) {
	if kind == pemEC {
		private, err := x509.ParseECPrivateKey(encoded)
		if err != nil {
			return nil, errors.New("it is not " + wantedFormat)
		}
		return private, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(encoded)
	if err != nil {
		return nil, errors.New("it is not " + wantedFormat)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is not " + wantedFormat)
	}
	return private, nil
}

// Sign signs the SHA-256 digest of a message.
func (s memoryKey) Sign(_ context.Context, message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, s.private, sum[:])
}

// Key returns the public key.
func (s memoryKey) Key() Key { return s.key }
